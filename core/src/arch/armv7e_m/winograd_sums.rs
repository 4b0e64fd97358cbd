//! Sums of products of transformed tiles and weights, in assembly.

use core::arch::naked_asm;

/// A pair of input channels of 4 tiles and 2 output channels: 11 instructions for 16 products.
macro_rules! step {
    () => {
        "
        ldm r1!, {{r2, r3}}
        ldm r0!, {{r12, lr}}
        smlad r4, r12, r2, r4
        smlad r8, r12, r3, r8
        smlad r5, lr, r2, r5
        smlad r9, lr, r3, r9
        ldm r0!, {{r12, lr}}
        smlad r6, r12, r2, r6
        smlad r10, r12, r3, r10
        smlad r7, lr, r2, r7
        smlad r11, lr, r3, r11
        "
    };
}

/// For each of 16 positions the sums of `4 * eighths` words, of 4 tiles and 2 output channels: `tiles` is
/// `[16][4 * eighths][4]`, `weights` `[16][4 * eighths][2]`, `sums` `[16][2][4]`.
///
/// # Safety
/// There is as much of everything, at multiples of 4 bytes, and `eighths` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn products(tiles: *const u32, weights: *const u32, eighths: usize, sums: *mut i32) {
    // The stack: sums, bytes of the tiles' words for a position, their end, positions left.
    naked_asm!(
        architecture!(),
        "
        push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
        sub sp, sp, #20
        lsl r2, r2, #6
        str r3, [sp]
        str r2, [sp, #4]
        add r2, r2, r0
        str r2, [sp, #8]
        mov r3, #16
        str r3, [sp, #12]
        2:
        mov r4, #0
        mov r5, #0
        mov r6, #0
        mov r7, #0
        mov r8, #0
        mov r9, #0
        mov r10, #0
        mov r11, #0
        3:
        ",
        step!(),
        step!(),
        step!(),
        step!(),
        "
        ldr r2, [sp, #8]
        cmp r0, r2
        bne 3b
        ldr r3, [sp]
        stm r3!, {{r4, r5, r6, r7, r8, r9, r10, r11}}
        str r3, [sp]
        ldr r3, [sp, #4]
        add r2, r2, r3
        str r2, [sp, #8]
        ldr r3, [sp, #12]
        subs r3, r3, #1
        str r3, [sp, #12]
        bne 2b
        add sp, sp, #20
        pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
        "
    )
}
