//! What a pickle would import, found without running it.
//!
//! A pickle is a program for a stack machine. The reader of checkpoints builds no Python object and calls nothing, so a
//! hostile one is harmless; it is refused all the same, so that nobody passes it on to a program that would run it.
//! This walk goes through all instructions, whether their results are used or not. Their arguments are those of
//! Python's `pickletools`.

/// `module.name` of everything that a state dict is made of.
const ALLOWED: [&str; 15] = [
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.ShortStorage",
    "torch.Size",
];

/// Why a pickle is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It ends in the middle, or has an instruction that doesn't exist.
    Damaged,
    /// It asks for this.
    Forbidden(String),
}

/// A pickle that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// Its length in bytes.
    pub(super) length: usize,
    /// Its instructions: each may leave an object on the stack.
    pub(super) instructions: usize,
}

/// Checks that the pickle at the start of `bytes` imports nothing but what a state dict needs.
pub(super) fn check(bytes: &[u8]) -> Result<Checked, Refusal> {
    let mut walk = Walk { bytes, at: 0 };
    let mut instructions = 0;
    loop {
        instructions += 1;
        let [opcode] = walk.take()?;
        match opcode {
            b'.' => return Ok(Checked { length: walk.at, instructions }),
            b'c' => {
                let name = format!("{}.{}", walk.line()?, walk.line()?);
                if !ALLOWED.contains(&name.as_str()) {
                    return Err(Refusal::Forbidden(name));
                }
            }
            b'i' => return Err(Refusal::Forbidden(format!("{}.{}", walk.line()?, walk.line()?))),
            // Names on the stack, classes on the stack and numbers in a registry: `torch.save` writes none of them.
            0x93 => return Err(Refusal::Forbidden("a computed name (STACK_GLOBAL)".into())),
            b'o' => return Err(Refusal::Forbidden("a computed class (OBJ)".into())),
            0x82..=0x84 => return Err(Refusal::Forbidden("the extension registry (EXT)".into())),
            b'('
            | b')'
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'Q'
            | b'R'
            | b']'
            | b'a'
            | b'b'
            | b'd'
            | b'e'
            | b'l'
            | b's'
            | b't'
            | b'u'
            | b'}'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x92
            | 0x94 => {}
            b'F' | b'I' | b'L' | b'P' | b'S' | b'V' | b'g' | b'p' => drop(walk.line()?),
            b'K' | b'h' | b'q' | 0x80 => walk.skip(1)?,
            b'M' => walk.skip(2)?,
            b'J' | b'j' | b'r' => walk.skip(4)?,
            b'G' | 0x95 => walk.skip(8)?,
            b'C' | b'U' | 0x8a | 0x8c => {
                let [length] = walk.take()?;
                walk.skip(u64::from(length))?;
            }
            b'B' | b'T' | b'X' | 0x8b => {
                let length = u32::from_le_bytes(walk.take()?);
                walk.skip(u64::from(length))?;
            }
            0x8d | 0x8e | 0x96 => {
                let length = u64::from_le_bytes(walk.take()?);
                walk.skip(length)?;
            }
            _ => return Err(Refusal::Damaged),
        }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(Refusal::Damaged)?;
        self.at += N;
        Ok(*taken)
    }

    fn skip(&mut self, count: u64) -> Result<(), Refusal> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count <= left => {
                self.at += count;
                Ok(())
            }
            _ => Err(Refusal::Damaged),
        }
    }

    /// The text up to the end of the line, and over it.
    fn line(&mut self) -> Result<String, Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Refusal::Damaged)?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(pickle: &[u8]) -> String {
        match check(pickle) {
            Err(Refusal::Forbidden(name)) => name,
            other => panic!("{other:?}"),
        }
    }

    // The pickles are what Python's `pickle.dumps` and `pickletools.dis` show.
    #[test]
    fn a_state_dict_passes_and_its_length_is_known() {
        let pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00wq\x02K\x01s.rest";
        assert_eq!(check(pickle), Ok(Checked { length: pickle.len() - 4, instructions: 11 }));
        assert_eq!(check(b"I1\n."), Ok(Checked { length: 4, instructions: 2 }));
    }

    #[test]
    fn a_call_of_the_system_is_named_even_if_its_result_is_dropped() {
        assert_eq!(
            forbidden(b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03."),
            "posix.system"
        );
        assert_eq!(forbidden(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R0}."), "os.system");
        assert_eq!(forbidden(b"(S'true'\nios\nsystem\n."), "os.system");
        assert_eq!(forbidden(b"\x80\x02cbuiltins\neval\n."), "builtins.eval");
        assert!(forbidden(b"\x80\x04\x8c\x05posix\x8c\x06system\x93.").contains("STACK_GLOBAL"));
        assert!(forbidden(b"\x80\x02\x82\x01.").contains("EXT"));
    }

    #[test]
    fn cut_pickles_are_damaged() {
        let whole = b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00wK\x01s.";
        for length in 0..whole.len() {
            assert_eq!(check(&whole[..length]), Err(Refusal::Damaged), "{length}");
        }
        assert_eq!(check(b"\x80\x02B\xff\xff\xff\xff."), Err(Refusal::Damaged));
        assert_eq!(check(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), Err(Refusal::Damaged));
        assert_eq!(check(b"\xff."), Err(Refusal::Damaged));
    }
}
