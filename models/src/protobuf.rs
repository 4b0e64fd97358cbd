//! What a protobuf message costs to decode, found before it is decoded.
//!
//! An empty message takes two bytes in a file and hundreds as a structure in memory, so a small file can ask for gigabytes.
//! The walk follows the wire format (<https://protobuf.dev/programming-guides/encoding>) and knows which fields are
//! messages from a table; it makes nothing.

/// Messages in messages are followed this deep, as the decoder does.
const DEPTH: u32 = 100;

/// A kind of message.
pub(crate) struct Message {
    /// Bytes of the structure it becomes.
    pub(crate) size: usize,
    /// Which fields are messages.
    pub(crate) messages: &'static [(u32, &'static Message)],
    /// Which fields are packed numbers of variable length; they become 8 bytes each.
    pub(crate) packed: &'static [u32],
}

/// Bytes that a message's fields become, at most; `None` where the bytes are no message.
pub(crate) fn cost(bytes: &[u8], message: &Message) -> Option<u64> {
    walk(bytes, message, DEPTH)
}

fn walk(mut bytes: &[u8], message: &Message, depth: u32) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    let mut cost = 0_u64;
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = u32::try_from(tag >> 3).ok()?;
        match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                cost += size_of::<u64>() as u64;
            }
            1 => cost += skip(&mut bytes, 8)?.len() as u64,
            5 => cost += skip(&mut bytes, 4)?.len() as u64,
            2 => {
                let length = varint(&mut bytes)?;
                let content = skip(&mut bytes, length)?;
                let of_field = message.messages.iter().find(|(known, _)| *known == field);
                cost += match of_field {
                    // A vector of structures doubles when it is full.
                    Some((_, inner)) => 2 * inner.size as u64 + walk(content, inner, depth)?,
                    None if message.packed.contains(&field) => 8 * content.len() as u64,
                    None => 2 * size_of::<String>() as u64 + content.len() as u64,
                };
            }
            // Groups: skipped by the decoder, and written by nobody.
            3 | 4 => {}
            _ => return None,
        }
    }
    Some(cost)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (content, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    static LEAF: Message = Message { size: 100, messages: &[], packed: &[2] };
    static ROOT: Message = Message { size: 0, messages: &[(1, &LEAF), (7, &ROOT)], packed: &[] };

    #[test]
    fn empty_messages_cost_their_structure() {
        assert_eq!(cost(&[0x0a, 0], &ROOT), Some(200));
        // Three packed numbers in field 2 of the inner message.
        assert_eq!(cost(&[0x0a, 5, 0x12, 3, 1, 2, 3], &ROOT), Some(200 + 24));
        // A string of two bytes, a number, and eight and four bytes.
        assert_eq!(cost(&[0x12, 2, b'a', b'b'], &ROOT), Some(50));
        assert_eq!(cost(&[0x08, 0x96, 0x01, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 0, 0], &ROOT), Some(20));
    }

    #[test]
    fn what_is_cut_or_too_deep_is_none() {
        assert_eq!(cost(&[0x0a, 9, 1], &ROOT), None);
        assert_eq!(cost(&[0xff; 11], &ROOT), None);
        let mut deep = Vec::new();
        for _ in 0..101 {
            let mut outer = vec![0x3a];
            let mut length = deep.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(&deep);
            deep = outer;
        }
        assert_eq!(cost(&deep, &ROOT), None);
    }
}
