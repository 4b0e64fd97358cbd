//! The host, for the output that the machines' is compared with.

use std::fs::File;
use std::io::{Read, Write};

/// The program's arguments.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those that it was started with.
    #[must_use]
    pub fn get() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The argument of this index.
    #[must_use]
    pub fn nth(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(String::as_str)
    }
}

/// Ends the program.
pub fn exit(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

/// Writes bytes to standard output.
pub fn print(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

/// Fills `bytes` from the file at `path`, from `skip` times its length on; `false` where there is not as much.
pub fn read(path: &str, skip: usize, bytes: &mut [u8]) -> bool {
    let filled = File::open(path).and_then(|mut file| {
        for _ in 0..=skip {
            file.read_exact(bytes)?;
        }
        Ok(())
    });
    filled.is_ok()
}

/// The file at `path`, of `length` bytes, at a multiple of 16; it stays in memory.
#[must_use]
pub fn external(path: &str, length: usize) -> Option<&'static [u8]> {
    let blocks: &'static mut [u128] = vec![0; length.div_ceil(16)].leak();
    let bytes = bytemuck::cast_slice_mut::<_, u8>(blocks).get_mut(..length)?;
    read(path, 0, bytes).then_some(bytes)
}

/// The host's stack is not measured.
#[must_use]
pub fn stack_used() -> Option<usize> {
    None
}
