//! What an output cannot be: larger than its class can tell, or mostly padding. Sizes of sections
//! without contents and alignments are bounded by nothing in an input, so a damaged one could ask for
//! any amount of memory and file.

use klink_arch::Class;
use object::elf;

use super::{Body, FileLayout, Header, Output, Sizes};
use crate::error::{LinkError, Result};
use crate::id::OutputId;
use crate::output::Piece;

/// Bytes of the file that no input and no statement gives. Kernels' largest alignments are 16 MiB
/// (x86, `CONFIG_PHYSICAL_ALIGN`), and room without contents in front of contents is rare.
const MAX_PADDING: u64 = 256 << 20;

/// `r_info` of ELF32 has 24 bits for the symbol (ELF gABI chapter 4, `ELF32_R_SYM`).
const MAX_SYMBOLS_32: usize = 1 << 24;

impl Output<'_, '_> {
    /// Refuses a file that cannot be written.
    ///
    /// # Errors
    /// [`LinkError::BadSection`], naming the section and what asks for too much.
    pub(super) fn check_limits(&self, file: &FileLayout, sizes: &Sizes) -> Result<()> {
        let mut given = sizes.header + file.headers.len() as u64 * sizes.section;
        let mut worst = (0, None);
        for (header, body) in file.headers.iter().zip(&file.bodies) {
            self.check_class(file, header, body)?;
            if header.section_type == elf::SHT_NOBITS.0 {
                continue;
            }
            let Body::Contents(id) = *body else {
                given = given.saturating_add(header.size);
                continue;
            };
            let bytes = self.given_bytes(id);
            given = given.saturating_add(bytes);
            // The section itself may be padded, or the way to it.
            let padding = header.size.saturating_sub(bytes).max(header.align);
            worst = worst.max((padding, Some(id)));
        }
        let padding = file.size.saturating_sub(given);
        match worst {
            (_, Some(id)) if padding > MAX_PADDING => Err(self.padded(id, padding)),
            _ => self.check_counts(file),
        }
    }

    /// Bytes of an output section that inputs, statements and stubs give.
    fn given_bytes(&self, id: OutputId) -> u64 {
        let section = &self.layout.outputs.sections[id];
        let pieces = section.pieces.iter().map(|piece| match *piece {
            Piece::Section(input) => self.resolved.section(input).data.len() as u64,
            Piece::Island(_) => 0,
            Piece::Statement(number) => self.statement_bytes[number as usize].len() as u64,
        });
        let stubs = self.layout.module.as_ref().map_or(0, |module| {
            let stubs = module.stubs(id).iter();
            stubs.map(|stub| stub.size).sum()
        });
        pieces.sum::<u64>() + stubs
    }

    /// ELF32 has 32 bits for every size and offset.
    fn check_class(&self, file: &FileLayout, header: &Header, body: &Body) -> Result<()> {
        let most = match self.arch.class {
            Class::Elf32 => u64::from(u32::MAX),
            Class::Elf64 => u64::MAX - 1,
        };
        if header.size.max(header.offset).max(header.align) <= most && file.size <= most {
            return Ok(());
        }
        match *body {
            Body::Contents(id) => Err(self.too_large(id, header.size.max(header.align))),
            _ if file.size > most => Ok(()), // a section with contents is to blame
            _ => Err(self.bad_output("a table", "it is larger than an ELF32 file can be")),
        }
    }

    fn check_counts(&self, file: &FileLayout) -> Result<()> {
        let symbols = self.symbols.symbols.len();
        if self.arch.class == Class::Elf32 && symbols > MAX_SYMBOLS_32 {
            let what = format!("{symbols} symbols are more than ELF32's 16777216");
            return Err(self.bad_output(".symtab", &what));
        }
        let names = self
            .symbols
            .strings
            .bytes()
            .len()
            .max(file.names.bytes().len());
        if u32::try_from(names).is_err() {
            let what = format!("{names} bytes of names are more than 32 bits can tell");
            return Err(self.bad_output(".strtab", &what));
        }
        Ok(())
    }

    fn too_large(&self, id: OutputId, number: u64) -> LinkError {
        self.blame(
            id,
            &format!(
                "size or alignment {number:#x} is more than an ELF file of this class can tell"
            ),
        )
    }

    fn padded(&self, id: OutputId, padding: u64) -> LinkError {
        self.blame(
            id,
            &format!(
                "alignments and room without contents would make {padding} bytes of padding in the \
                 output, more than {MAX_PADDING}"
            ),
        )
    }

    /// Names the input of `id` that asks for most.
    fn blame(&self, id: OutputId, what: &str) -> LinkError {
        let section = &self.layout.outputs.sections[id];
        let asks = section.sections().map(|input| {
            let section = self.resolved.section(input);
            let room = section.size.saturating_sub(section.data.len() as u64);
            (room.max(section.align), input)
        });
        match asks.max() {
            Some((most, input)) if most > u64::from(u16::MAX) => {
                let (object, _) = self.resolved.section_place(input);
                LinkError::BadSection {
                    file: self.resolved.objects[object].name.clone(),
                    section: String::from_utf8_lossy(self.resolved.section(input).name)
                        .into_owned(),
                    what: format!("absurd size or alignment {most:#x}: {what}"),
                }
            }
            _ => self.bad_output(&String::from_utf8_lossy(section.name), what),
        }
    }

    fn bad_output(&self, section: &str, what: &str) -> LinkError {
        LinkError::BadSection {
            file: "output".to_owned(),
            section: section.to_owned(),
            what: what.to_owned(),
        }
    }
}
