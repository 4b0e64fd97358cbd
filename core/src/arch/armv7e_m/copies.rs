//! The functions that the compiler calls to copy and to fill memory, in less than 100 bytes. Those that come with it are
//! faster, and have 1.6 KB. Words may lie anywhere: these processors read and write them so.

use core::arch::global_asm;

/// What the functions' names begin with: nothing, so that the compiler finds them. A test has others of these names.
#[cfg(not(test))]
macro_rules! prefixed {
    ($name:literal) => {
        $name
    };
}

/// The symbol for tests, beside which the real one may be linked.
#[cfg(test)]
macro_rules! prefixed {
    ($name:literal) => {
        concat!("small_", $name)
    };
}

/// A place that is known by several names.
macro_rules! entry {
    ($($name:literal),+) => {
        concat!($(".global ", prefixed!($name), "\n.type ", prefixed!($name), ", %function\n", prefixed!($name), ":\n"),+)
    };
}

global_asm!(
    ".pushsection .text.small_copies, \"ax\", %progbits",
    ".p2align 2",
    // Target, source, length. The target stays in r0: it is what the C function returns.
    entry!("memcpy", "__aeabi_memcpy", "__aeabi_memcpy4", "__aeabi_memcpy8"),
    "mov r12, r0",
    "1:",
    "subs r2, r2, #4",
    "itt hs",
    "ldrhs r3, [r1], #4",
    "strhs r3, [r12], #4",
    "bhs 1b",
    "adds r2, r2, #4",
    "2:",
    "subs r2, r2, #1",
    "itt hs",
    "ldrbhs r3, [r1], #1",
    "strbhs r3, [r12], #1",
    "bhi 2b",
    "bx lr",
    // Target, value, length.
    entry!("memset"),
    "mov r3, r1",
    "mov r1, r2",
    "mov r2, r3",
    // Target, length, value.
    entry!("__aeabi_memset", "__aeabi_memset4", "__aeabi_memset8"),
    "uxtb r2, r2",
    "orr r2, r2, r2, lsl #8",
    "orr r2, r2, r2, lsl #16",
    "b 3f",
    // Target, length.
    entry!("__aeabi_memclr", "__aeabi_memclr4", "__aeabi_memclr8"),
    "mov r2, #0",
    "3:",
    "mov r3, r0",
    "4:",
    "subs r1, r1, #4",
    "it hs",
    "strhs r2, [r3], #4",
    "bhs 4b",
    "adds r1, r1, #4",
    "5:",
    "subs r1, r1, #1",
    "it hs",
    "strbhs r2, [r3], #1",
    "bhi 5b",
    "bx lr",
    ".popsection",
);

#[cfg(test)]
mod tests {
    use core::ffi::c_int;

    unsafe extern "C" {
        fn small_memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8;
        fn small_memset(to: *mut u8, value: c_int, length: usize) -> *mut u8;
        fn small___aeabi_memset(to: *mut u8, length: usize, value: c_int);
        fn small___aeabi_memclr(to: *mut u8, length: usize);
    }

    #[test]
    fn copies_and_fills_what_it_is_asked_for() {
        let source: [u8; 64] = core::array::from_fn(|at| at as u8 + 1);
        for length in 0..48 {
            for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
                let changed = |write: &dyn Fn(*mut u8)| {
                    let mut target = [0xEE; 64];
                    write(target[to..to + length].as_mut_ptr());
                    target
                };
                let expected = |value: &dyn Fn(usize) -> u8| {
                    core::array::from_fn(|at| if (to..to + length).contains(&at) { value(at - to) } else { 0xEE })
                };
                let copied = changed(&|target| {
                    // SAFETY: both sides have `length` bytes from there on, and are different arrays.
                    assert_eq!(unsafe { small_memcpy(target, source.as_ptr().add(from), length) }, target);
                });
                assert_eq!(copied, expected(&|at| source[from + at]));
                let filled = changed(&|target| {
                    // SAFETY: the target has `length` bytes from there on.
                    assert_eq!(unsafe { small_memset(target, 0x1A5, length) }, target);
                });
                assert_eq!(filled, expected(&|_| 0xA5));
                let filled = changed(&|target| {
                    // SAFETY: as above.
                    unsafe { small___aeabi_memset(target, length, 0x17) }
                });
                assert_eq!(filled, expected(&|_| 0x17));
                let cleared = changed(&|target| {
                    // SAFETY: as above.
                    unsafe { small___aeabi_memclr(target, length) }
                });
                assert_eq!(cleared, expected(&|_| 0));
            }
        }
    }
}
