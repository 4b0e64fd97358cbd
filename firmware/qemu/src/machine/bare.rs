//! A machine without an operating system; the host helps by semihosting.

use core::ffi::CStr;

use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::{self, Read, Write};

/// The program's arguments, at most 255 bytes.
#[derive(Debug)]
pub struct Arguments {
    /// Each with a line end.
    text: [u8; 256],
    length: usize,
}

impl Arguments {
    /// Those that it was started with, its own name left out.
    #[must_use]
    pub fn get() -> Self {
        let mut text = [0; 256];
        let mut length = 0;
        if let Ok(arguments) = env::args::<256>() {
            for argument in (&arguments).flatten().skip(1) {
                let Some(place) = text.get_mut(length..=length + argument.len()) else { break };
                if let Some((end, word)) = place.split_last_mut() {
                    word.copy_from_slice(argument.as_bytes());
                    *end = b'\n';
                }
                length += argument.len() + 1;
            }
        }
        Self { text, length }
    }

    /// The argument of this index.
    #[must_use]
    pub fn nth(&self, index: usize) -> Option<&str> {
        let argument = self.text.get(..self.length)?.split(|byte| *byte == b'\n').nth(index)?;
        core::str::from_utf8(argument).ok().filter(|argument| !argument.is_empty())
    }
}

/// Ends the machine.
pub fn exit(code: u8) -> ! {
    semihosting::process::exit(i32::from(code))
}

/// Writes bytes to the standard output of the machine that runs QEMU.
pub fn print(bytes: &[u8]) {
    if let Ok(mut out) = io::stdout() {
        let _ = out.write_all(bytes);
    }
}

/// Fills `bytes` from the host's file at `path`, from `skip` times its length on; `false` where there is not as much.
pub fn read(path: &str, skip: usize, bytes: &mut [u8]) -> bool {
    let mut name = [0; 128];
    let Some(place) = name.get_mut(..path.len()) else { return false };
    place.copy_from_slice(path.as_bytes());
    let Ok(path) = CStr::from_bytes_until_nul(&name) else { return false };
    let Ok(mut file) = File::open(path) else { return false };
    (0..=skip).all(|_| fill(&mut file, bytes))
}

fn fill(file: &mut File, mut bytes: &mut [u8]) -> bool {
    while !bytes.is_empty() {
        match file.read(bytes) {
            Ok(count @ 1..) => bytes = bytes.get_mut(count..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

/// Where the external memory of `mps2-an500` begins, 16 MiB of it.
const EXTERNAL: usize = 0x6000_0000;

/// `length` bytes that have been loaded to the external memory; the host's file plays no part.
#[must_use]
#[allow(unsafe_code)]
pub fn external(_: &str, length: usize) -> Option<&'static [u8]> {
    if length > 16 << 20 {
        return None;
    }
    // SAFETY: on the only machine that this program runs on there is memory, and nothing writes to it.
    Some(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(EXTERNAL), length) })
}

/// Bytes of the stack that were ever used: what is no longer as the runtime painted it before `main`.
#[cfg(target_arch = "arm")]
#[must_use]
#[allow(unsafe_code)]
pub fn stack_used() -> Option<usize> {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let start = &raw const _stack_start;
    let mut end = &raw const _stack_end;
    // SAFETY: the linker script says that the stack lies between the two, and the words below its use are plain memory.
    while end < start && unsafe { end.read_volatile() } == cortex_m_rt::STACK_PAINT_VALUE {
        end = end.wrapping_add(1);
    }
    Some(start as usize - end as usize)
}

/// This runtime does not paint it.
#[cfg(not(target_arch = "arm"))]
#[must_use]
pub fn stack_used() -> Option<usize> {
    None
}

/// The handlers of the interrupts: as many as `mps2` has. None of them is ever enabled.
#[cfg(target_arch = "arm")]
#[used]
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
#[allow(unsafe_code, non_upper_case_globals, reason = "the runtime's linker script asks for this name and place")]
static __INTERRUPTS: [unsafe extern "C" fn(); 32] = {
    unsafe extern "C" {
        fn DefaultHandler();
    }
    [DefaultHandler; 32]
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    print(b"panicked\n");
    exit(101)
}
