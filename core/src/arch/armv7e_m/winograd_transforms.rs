//! The transforms of tiles on the way in and of sums on the way out, in assembly.

use core::arch::naked_asm;

/// `B'` of 4 words of two int16 that come in r8, r12, r10 and r11, into r8 to r11.
macro_rules! line {
    () => {
        "
        ssub16 r8, r8, r10
        sadd16 r9, r12, r10
        ssub16 r10, r10, r12
        ssub16 r11, r12, r11
        "
    };
}

/// 4 channels of a row of 4 pixels, whose addresses r0 passes over: even bytes, then odd ones, to where r1 passes over.
macro_rules! row {
    () => {
        concat!(
            "
            ldm r0!, {{r4, r5, r6, r7}}
            ldr r4, [r4, lr]
            ldr r5, [r5, lr]
            ldr r6, [r6, lr]
            ldr r7, [r7, lr]
            sxtb16 r8, r4
            sxtb16 r12, r5
            sxtb16 r10, r6
            sxtb16 r11, r7
            ",
            line!(),
            "
            stm r1!, {{r8, r9, r10, r11}}
            sxtb16 r8, r4, ror #8
            sxtb16 r12, r5, ror #8
            sxtb16 r10, r6, ror #8
            sxtb16 r11, r7, ror #8
            ",
            line!(),
            "
            stm r1!, {{r8, r9, r10, r11}}
            "
        )
    };
}

/// A column of 4 words on the stack to its 4 positions; r2 goes on to the next column's.
macro_rules! column {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "ldr r8, [sp, #",
            $a,
            "]\nldr r12, [sp, #",
            $b,
            "]\nldr r10, [sp, #",
            $c,
            "]\nldr r11, [sp, #",
            $d,
            "]\n",
            line!(),
            "
            str r8, [r2]
            str r9, [r2, r4]
            str r10, [r2, r4, lsl #1]
            str r11, [r2, r5]
            add r2, r2, r3
            "
        )
    };
}

/// `B' d B` of one tile, two channels in a word: 0 and 2 of four, then 1 and 3. `out` is `[16][2 * quads][4]` words from
/// the tile's first one on, `step` bytes from one position to the next.
///
/// # Safety
/// `pixels` has the addresses of 16 pixels of `4 * quads` channels, and `out` all those words. `quads` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn transform_tile(pixels: *const *const i8, quads: usize, out: *mut u32, step: usize) {
    // The stack: 4 rows of 4 even and 4 odd words, pixels, quads left. lr counts channels.
    naked_asm!(
        architecture!(),
        "
        push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
        sub sp, sp, #140
        str r0, [sp, #128]
        str r1, [sp, #132]
        mov lr, #0
        2:
        ldr r0, [sp, #128]
        mov r1, sp
        ",
        row!(),
        row!(),
        row!(),
        row!(),
        "
        lsl r4, r3, #2
        add r5, r4, r4, lsl #1
        ",
        column!(0, 32, 64, 96),
        column!(4, 36, 68, 100),
        column!(8, 40, 72, 104),
        column!(12, 44, 76, 108),
        "
        sub r2, r2, r4
        add r2, r2, #16
        ",
        column!(16, 48, 80, 112),
        column!(20, 52, 84, 116),
        column!(24, 56, 88, 120),
        column!(28, 60, 92, 124),
        "
        sub r2, r2, r4
        add r2, r2, #16
        add lr, lr, #4
        ldr r0, [sp, #132]
        subs r0, r0, #1
        str r0, [sp, #132]
        bne 2b
        add sp, sp, #140
        pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
        "
    )
}

/// A column of `A' m`: r4 gets the upper value, r5 the lower one.
macro_rules! sum_column {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "ldr r4, [r0, #",
            $a,
            "]\nldr r5, [r0, #",
            $b,
            "]\nldr r6, [r0, #",
            $c,
            "]\nldr r7, [r0, #",
            $d,
            "]\n",
            "
            add r4, r4, r5
            sub r5, r5, r6
            add r4, r4, r6
            sub r5, r5, r7
            "
        )
    };
}

/// `A' m A`, divided by 4, and the bias, of 2 output channels of 4 tiles: `products` is `[16][2][4]`, `sums` `[4][16][4]`
/// from the first channel's on.
///
/// # Safety
/// There is as much of everything; `bias` has two entries.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn transform_back(products: *const i32, bias: *const i32, sums: *mut i32) {
    // r3 bias, r8 and r9 upper outputs, r10 and r11 lower ones, r12 tiles left, lr channels left.
    naked_asm!(
        architecture!(),
        "
        push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
        mov lr, #2
        2:
        ldr r3, [r1], #4
        mov r12, #4
        3:
        ",
        sum_column!(0, 128, 256, 384),
        "
        mov r8, r4
        mov r10, r5
        ",
        sum_column!(32, 160, 288, 416),
        "
        add r8, r8, r4
        mov r9, r4
        add r10, r10, r5
        mov r11, r5
        ",
        sum_column!(64, 192, 320, 448),
        "
        add r8, r8, r4
        sub r9, r9, r4
        add r10, r10, r5
        sub r11, r11, r5
        ",
        sum_column!(96, 224, 352, 480),
        "
        sub r9, r9, r4
        sub r11, r11, r5
        add r8, r3, r8, asr #2
        add r9, r3, r9, asr #2
        add r10, r3, r10, asr #2
        add r11, r3, r11, asr #2
        str r9, [r2, #256]
        str r10, [r2, #512]
        str r11, [r2, #768]
        str r8, [r2], #4
        add r0, r0, #4
        subs r12, r12, #1
        bne 3b
        subs lr, lr, #1
        bne 2b
        pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
        "
    )
}
