//! Sums of products: the inner loops in assembly, since inline assembly can name neither r6 nor r7 and gives the compiler
//! no register to spare.

use core::arch::{asm, naked_asm};

/// What [`sum`] reads.
#[repr(C)]
pub(super) struct Products {
    /// [`Widened`] patches, `8 * steps` words.
    pub(super) patches: *const u32,
    pub(super) steps: usize,
    /// Blocks of 4 channels by 4 k, those of the next 4 channels `next_quad` bytes later.
    pub(super) weights: *const i8,
    pub(super) next_quad: usize,
    /// `[channel][pixel]`.
    pub(super) sums: *mut i32,
    /// Pairs of channels, an even number.
    pub(super) pairs: usize,
    /// One entry per channel, or null.
    pub(super) bias: *const i32,
}

/// 4 k of 4 pixels and 2 channels: 26 instructions of 4 bytes.
macro_rules! step {
    () => {
        "
        ldrd r2, r3, [r1]
        sxtb16 r2, r2
        sxtb16 r3, r3
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
        ldrd r2, r3, [r1], #16
        sxtb16 r2, r2, ror #8
        sxtb16 r3, r3, ror #8
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

/// Sums the products of [`Products`]: bias and products of the first part of a patch, or, with a null pointer for the
/// biases, what a further part adds to the sums.
///
/// # Safety
/// There is as much of everything as the fields say, `steps` at least 1 and `pairs` at least 2.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn sum(products: &Products) {
    // The stack: patches, their end, the way into the loop, weights, bytes from a quad's second pair to the next quad,
    // sums, pairs left, biases. Four steps are unrolled; the first round enters where as many are left as it needs.
    naked_asm!(
        architecture!(),
        "
        push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
        sub sp, sp, #36
        ldm r0, {{r1, r2, r3, r4, r5, r6, r7}}
        str r1, [sp]
        add r1, r1, r2, lsl #5
        str r1, [sp, #4]
        sub r2, r2, #1
        and r2, r2, #3
        rsb r2, r2, #3
        mov r1, #104
        mul r2, r2, r1
        adr r1, 3f
        add r1, r1, r2
        str r1, [sp, #8]
        str r3, [sp, #12]
        sub r4, r4, #8
        str r4, [sp, #16]
        str r5, [sp, #20]
        str r6, [sp, #24]
        str r7, [sp, #28]
        2:
        ldr r2, [sp, #28]
        cmp r2, #0
        bne 4f
        ldr r2, [sp, #20]
        ldm r2, {{r4, r5, r6, r7, r8, r9, r10, r11}}
        b 5f
        4:
        ldm r2!, {{r4, r8}}
        str r2, [sp, #28]
        mov r5, r4
        mov r6, r4
        mov r7, r4
        mov r9, r8
        mov r10, r8
        mov r11, r8
        5:
        ldr r3, [sp, #8]
        ldr r0, [sp]
        ldr r1, [sp, #12]
        mov pc, r3
        .p2align 2
        3:
        ",
        step!(),
        step!(),
        step!(),
        step!(),
        "
        ldr r2, [sp, #4]
        cmp r0, r2
        bne 3b
        ldr r2, [sp, #20]
        ldr r3, [sp, #24]
        stm r2!, {{r4, r5, r6, r7, r8, r9, r10, r11}}
        str r2, [sp, #20]
        subs r3, r3, #1
        beq 6f
        str r3, [sp, #24]
        ldr r1, [sp, #12]
        tst r3, #1
        ite eq
        ldreq r2, [sp, #16]
        movne r2, #8
        add r1, r1, r2
        str r1, [sp, #12]
        b 2b
        6:
        add sp, sp, #36
        pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
        "
    )
}

/// Widens `steps` times 4 elements of two neighbouring pixels, the first of which goes to `to`.
///
/// # Safety
/// Both patches have as many elements, `to` has 8 words for each step, `steps` is at least 1.
#[inline(always)]
pub(super) unsafe fn widen_two(a: *const i8, b: *const i8, to: *mut u32, steps: usize) {
    // SAFETY: the caller says that all of it is there.
    unsafe {
        asm!(
            "2:",
            "ldr {y}, [{a}], #4",
            "ldr {z}, [{b}], #4",
            "subs {steps}, {steps}, #1",
            "sxtb16 r2, {y}",
            "sxtb16 r3, {z}",
            "strd r2, r3, [{to}], #16",
            "sxtb16 r2, {y}, ror #8",
            "sxtb16 r3, {z}, ror #8",
            "strd r2, r3, [{to}], #16",
            "bne 2b",
            a = inout(reg) a => _, b = inout(reg) b => _, to = inout(reg) to => _, steps = inout(reg) steps => _,
            y = out(reg) _, z = out(reg) _, out("r2") _, out("r3") _,
            options(nostack),
        );
    }
}

/// Sums of one patch with one block of 4 channels, without bias.
///
/// # Safety
/// The patch has `4 * steps` elements, the block `16 * steps`.
pub(super) unsafe fn dot4(patch: *const i8, block: *const i8, steps: usize) -> [i32; 4] {
    let [mut a, mut b, mut c, mut d] = [0_i32; 4];
    let (mut patch, mut block) = (patch, block);
    for _ in 0..steps {
        // SAFETY: the caller says that another 4 elements and 16 weights are there.
        unsafe {
            asm!(
                "ldr {w}, [{patch}], #4",
                "sxtb16 {even}, {w}",
                "sxtb16 {odd}, {w}, ror #8",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {a}, {t}, {even}, {a}",
                "smlad {a}, {w}, {odd}, {a}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {b}, {t}, {even}, {b}",
                "smlad {b}, {w}, {odd}, {b}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {c}, {t}, {even}, {c}",
                "smlad {c}, {w}, {odd}, {c}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {d}, {t}, {even}, {d}",
                "smlad {d}, {w}, {odd}, {d}",
                patch = inout(reg) patch, block = inout(reg) block,
                a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
                w = out(reg) _, t = out(reg) _, even = out(reg) _, odd = out(reg) _,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
    [a, b, c, d]
}
