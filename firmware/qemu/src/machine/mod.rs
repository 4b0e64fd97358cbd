//! The machine under a program: its arguments, output, files and memory.

#[cfg(target_os = "none")]
mod bare;
#[cfg(not(target_os = "none"))]
mod host;

#[cfg(target_os = "none")]
pub use bare::{Arguments, exit, external, print, read, stack_used};
#[cfg(not(target_os = "none"))]
pub use host::{Arguments, exit, external, print, read, stack_used};

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::line::Line;

/// What a program ends with: an error is printed.
pub type Outcome = Result<(), &'static str>;

/// Memory that exists once, at a multiple of 16, and is handed out once.
#[repr(C, align(16))]
pub struct Memory<const SIZE: usize, T = i8> {
    bytes: UnsafeCell<[T; SIZE]>,
    taken: AtomicBool,
}

// SAFETY: the bytes are reached through `take` alone, and by one caller.
#[allow(unsafe_code)]
unsafe impl<const SIZE: usize, T: Send> Sync for Memory<SIZE, T> {}

impl<const SIZE: usize, T: Copy> Memory<SIZE, T> {
    /// Filled with `value`.
    #[must_use]
    pub const fn filled(value: T) -> Self {
        Self { bytes: UnsafeCell::new([value; SIZE]), taken: AtomicBool::new(false) }
    }

    /// The memory, for the first caller.
    #[allow(unsafe_code)]
    #[allow(clippy::mut_from_ref, reason = "handed out once")]
    pub fn take(&'static self) -> Option<&'static mut [T; SIZE]> {
        // Load and store, since a Cortex-M0 has no swap; these programs have one thread and no interrupts.
        if self.taken.load(Ordering::Acquire) {
            return None;
        }
        self.taken.store(true, Ordering::Release);
        // SAFETY: nobody else has it: see above.
        Some(unsafe { &mut *self.bytes.get() })
    }
}

/// Runs a program and ends the machine with its outcome.
pub fn run(program: fn() -> Outcome) -> ! {
    let outcome = program();
    if let Some(bytes) = stack_used() {
        Line::new().text("stack: ").number(bytes as i32).print();
    }
    match outcome {
        Ok(()) => exit(0),
        Err(error) => {
            Line::new().text("error: ").text(error).print();
            exit(1)
        }
    }
}

/// The entry point: runs a `fn() -> Outcome`.
#[macro_export]
macro_rules! program {
    ($program:path) => {
        #[cfg(all(target_arch = "arm", target_os = "none"))]
        #[cortex_m_rt::entry]
        fn main() -> ! {
            $crate::machine::run($program)
        }

        #[cfg(all(target_arch = "riscv32", target_os = "none"))]
        #[riscv_rt::entry]
        #[allow(missing_docs, reason = "the attribute makes a public function of it")]
        fn main() -> ! {
            $crate::machine::run($program)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            $crate::machine::run($program)
        }
    };
}
