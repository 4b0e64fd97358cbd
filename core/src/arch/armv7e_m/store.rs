//! From sums to int8, in assembly.

use core::arch::naked_asm;

/// What [`store`] reads.
#[repr(C)]
pub(super) struct Store {
    pub(super) multiplier: *const i32,
    pub(super) shift: *const i32,
    /// `2 * zero point + 1`: shifted left by `shift - 33` it is the zero point and the rounding half.
    pub(super) zero_point: i32,
    /// Elements from one pixel to the next.
    pub(super) stride: usize,
    pub(super) out: *mut i8,
    /// Behind the first pixel's last channel.
    pub(super) end: *mut i8,
    pub(super) min: i32,
    pub(super) max: i32,
}

/// A register limited to r0 below and lr above.
macro_rules! clamp {
    ($register:literal) => {
        concat!(
            "cmp ",
            $register,
            ", r0\nit lt\nmovlt ",
            $register,
            ", r0\ncmp ",
            $register,
            ", lr\nit gt\nmovgt ",
            $register,
            ", lr\n",
        )
    };
}

/// A function that requantises the sums of 4 pixels and stores them, with what has to be done to the values after they
/// are saturated to 8 bits.
macro_rules! store {
    ($name:ident $(, $clamp:expr)*) => {
        /// Requantises `[channel][pixel]` sums of 4 pixels and stores them:
        /// `(hi32(sum * multiplier) + ((2 * zero_point + 1) << (shift - 33))) >> (shift - 32)`, then clamped.
        ///
        /// # Safety
        /// `rule` has a multiplier and a shift, 33 to 54, for each channel, at least one, and `sums` as many times 4;
        /// `out..end` can be written, and the same `stride`, twice `stride` and three times `stride` behind it.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(rule: &Store, sums: *const i32) {
            // r0, lr scratch; r1 sums, r2 shifts, r3 multipliers, r8 zero point, r9 and r10 one and three strides, r11
            // output; the stack has its end and the limits.
            naked_asm!(
                architecture!(),
                "
                push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
                sub sp, sp, #12
                ldm r0!, {{r2, r3, r8, r9, r11, r12}}
                str r12, [sp]
                ldm r0, {{r4, r5}}
                str r4, [sp, #4]
                str r5, [sp, #8]
                mov r0, r2
                mov r2, r3
                mov r3, r0
                add r10, r9, r9, lsl #1
                2:
                ldr r12, [r2], #4
                ldr r0, [r3], #4
                sub r12, r12, #33
                ldm r1!, {{r4, r5, r6, r7}}
                lsl lr, r8, r12
                add r12, r12, #1
                smmla r4, r4, r0, lr
                smmla r5, r5, r0, lr
                smmla r6, r6, r0, lr
                smmla r7, r7, r0, lr
                asr r4, r4, r12
                asr r5, r5, r12
                asr r6, r6, r12
                asr r7, r7, r12
                ssat r4, #8, r4
                ssat r5, #8, r5
                ssat r6, #8, r6
                ssat r7, #8, r7
                ",
                $($clamp,)*
                "
                ldr r0, [sp]
                strb r5, [r11, r9]
                strb r6, [r11, r9, lsl #1]
                strb r7, [r11, r10]
                strb r4, [r11], #1
                cmp r11, r0
                bne 2b
                add sp, sp, #12
                pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
                "
            )
        }
    };
}

store!(store);
store!(store_clamped, "ldr r0, [sp, #4]\nldr lr, [sp, #8]\n", clamp!("r4"), clamp!("r5"), clamp!("r6"), clamp!("r7"));
