//! Sections that the linker makes: the build-id, a note whose bytes are a digest of the rest of the
//! output, and the stack note of `-z execstack` and `-z noexecstack`.

use klink_arch::Arch;
use object::elf;

use crate::id::{Id, ObjectId, SectionId};
use crate::input::{InputSection, Storage};
use crate::options::{BuildId, Options};
use crate::output::{Outputs, Placements};
use crate::resolve::{MadePlace, Resolved};
use crate::write::FileLayout;

/// Name of the note's section.
const NAME: &[u8] = b".note.gnu.build-id";
/// Bytes in front of the digest: sizes, type, and the name `GNU` (ELF gABI, "Note Section").
const NOTE_HEADER: usize = 16;

fn digest_size(style: &BuildId) -> Option<usize> {
    match style {
        BuildId::None => None,
        BuildId::Sha1 => Some(20),
        BuildId::Md5 | BuildId::Uuid => Some(16),
        BuildId::Hex(bytes) => Some(bytes.len()),
    }
}

/// The build-id's note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildIdNote {
    pub section: SectionId,
    /// Size of the digest, which stands behind the note's header and name.
    pub size: usize,
}

impl BuildIdNote {
    /// Where the digest stands in the file, if the file has the section's bytes.
    pub(crate) fn place(
        self,
        file: &FileLayout,
        outputs: &Outputs<'_>,
        placements: &Placements,
    ) -> Option<BuildIdPlace> {
        let output = placements.output(self.section)?;
        let note = file.offset_of(output) + placements.offset(self.section);
        outputs.sections[output]
            .has_contents()
            .then(|| BuildIdPlace {
                start: note as usize + NOTE_HEADER,
                size: self.size,
            })
    }
}

/// Adds the note, its digest still zero, as the last section of the first object, where GNU ld has
/// it too (ld/ldelf.c, `ldelf_after_open`): its place among orphans follows from that.
pub(crate) fn add_build_id<'a>(
    options: &Options,
    resolved: &mut Resolved<'a>,
    storage: &'a Storage,
) -> Option<BuildIdNote> {
    let size = digest_size(&options.build_id)?;
    let first = ObjectId::from_index(0);
    if resolved.objects.is_empty() {
        return None;
    }
    let word = |value: u32| {
        if resolved.objects[first].ident.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let mut note = Vec::with_capacity(NOTE_HEADER + size);
    note.extend(word(4));
    note.extend(word(size as u32));
    note.extend(word(elf::NT_GNU_BUILD_ID.0));
    note.extend(b"GNU\0");
    note.resize(NOTE_HEADER + size, 0);
    let data = storage.names.alloc(note);
    let note = InputSection {
        align: 4,
        ..InputSection::plain(NAME, elf::SHT_NOTE.0, elf::SHF_ALLOC.0, data)
    };
    Some(BuildIdNote {
        section: resolved.add_made(note, MadePlace::Behind(first)),
        size,
    })
}

/// Adds an empty `.note.GNU-stack` if `-z execstack` or `-z noexecstack` was given and the first
/// object has none, as GNU ld does for relocatable output (ld/ldelf.c, `ldelf_after_open`). Where the
/// emulation has an input of its own, for stubs, that is the first object.
pub(crate) fn add_stack_note(options: &Options, resolved: &mut Resolved<'_>, arch: &Arch) {
    const NAME: &[u8] = b".note.GNU-stack";
    let Some(executable) = options.executable_stack else {
        return;
    };
    let first = resolved.objects.iter().next();
    let has_one =
        first.is_some_and(|first| first.sections.iter().any(|section| section.name == NAME));
    if first.is_none() || has_one && !arch.has_stub_input {
        return;
    }
    let flags = if executable { elf::SHF_EXECINSTR.0 } else { 0 };
    let place = if arch.has_stub_input {
        MadePlace::Front
    } else {
        MadePlace::Behind(ObjectId::from_index(0))
    };
    resolved.add_made(
        InputSection::plain(NAME, elf::SHT_PROGBITS.0, flags, &[]),
        place,
    );
}

/// Where the digest of a build-id stands in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildIdPlace {
    /// Offset in the file, in bytes.
    pub start: usize,
    /// Bytes of the digest.
    pub size: usize,
}

impl BuildIdPlace {
    /// The digest of an output that has `digest`, in which the build-id is still zero. It is BLAKE3, cut
    /// to the style's size, as lld has it: a build-id is a name for the output and no signature, and SHA-1
    /// without help from the processor takes half of a module link's time.
    fn value(self, options: &Options, digest: impl FnOnce() -> blake3::Hash) -> Vec<u8> {
        let mut value = match &options.build_id {
            BuildId::None => Vec::new(),
            BuildId::Hex(given) => given.clone(),
            BuildId::Sha1 | BuildId::Md5 | BuildId::Uuid => digest().as_bytes().to_vec(),
        };
        value.truncate(self.size);
        value
    }

    /// As [`Self::value`], of an output with these bytes.
    pub(crate) fn compute(self, options: &Options, bytes: &[u8]) -> Vec<u8> {
        self.value(options, || blake3::hash(bytes))
    }

    /// Puts the value to its place in the output's bytes.
    pub(crate) fn fill(
        self,
        options: &Options,
        bytes: &mut [u8],
        digest: impl FnOnce(&[u8]) -> blake3::Hash,
    ) {
        let value = self.value(options, || digest(bytes));
        if let Some(place) = bytes.get_mut(self.start..self.start + value.len()) {
            place.copy_from_slice(&value);
        }
    }
}
