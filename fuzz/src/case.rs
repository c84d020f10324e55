//! The form of the inputs of the targets `link` and `image`: two bytes of flags, a script, and up to three files.
//!
//! ```text
//! flags: u16 | length: u16, script | length: u16, file | length: u16, file | the rest: a file
//! ```
//! Numbers are little-endian. A length that reaches past the end takes all that is there, so that
//! every byte string is a case.

/// A case for the targets `link` and `image`.
#[derive(Clone, Debug, Default)]
pub struct Case<'a> {
    /// What is asked for; see `targets/link.rs` and `targets/image.rs`.
    pub flags: u16,
    /// The linker script; empty for none.
    pub script: &'a [u8],
    /// Objects or archives.
    pub files: Vec<&'a [u8]>,
}

fn number(bytes: &mut &[u8]) -> u16 {
    let (number, rest) = bytes.split_at((*bytes).len().min(2));
    *bytes = rest;
    match number {
        [low, high] => u16::from_le_bytes([*low, *high]),
        _ => 0,
    }
}

fn part<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(number(bytes)).min(bytes.len());
    let (part, rest) = bytes.split_at(length);
    *bytes = rest;
    part
}

impl<'a> Case<'a> {
    /// Takes a byte string apart.
    pub fn decode(mut bytes: &'a [u8]) -> Self {
        let flags = number(&mut bytes);
        let script = part(&mut bytes);
        let mut files = vec![part(&mut bytes), part(&mut bytes), bytes];
        files.retain(|file| !file.is_empty());
        Self {
            flags,
            script,
            files,
        }
    }

    /// Puts a case together; only the first three files count.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.flags.to_le_bytes().to_vec();
        let empty: &[u8] = &[];
        let file = |number: usize| self.files.get(number).copied().unwrap_or(empty);
        for part in [self.script, file(0), file(1)] {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(&part[..usize::from(length)]);
        }
        bytes.extend(file(2));
        bytes
    }
}
