//! Memory for an output file.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Bytes from which memory comes in huge pages, where the system has them: a fault for each 4 KiB of a
/// kernel image costs more than filling it.
const HUGE_FROM: usize = 4 << 20;

/// The bytes of an output file, zero at first.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Buffer {
    /// A buffer of `size` bytes.
    pub(crate) fn zeroed(size: usize) -> Self {
        if size >= HUGE_FROM
            && let Ok(map) = MmapMut::map_anon(size)
        {
            #[cfg(target_os = "linux")]
            // Without huge pages it is only slower.
            let _ = map.advise(memmap2::Advice::HugePage);
            return Self(Memory::Large(map));
        }
        Self(Memory::Small(vec![0; size]))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Large(map) => map,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Large(map) => map,
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Small(bytes))
    }
}
