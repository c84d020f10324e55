//! What an output cannot be: larger than its class can tell, or mostly padding. Sizes of sections
//! without contents and alignments are bounded by nothing in an input, so a damaged one could ask for
//! any amount of memory and file.

use klink_arch::{Arch, Class};

use super::{Body, FileLayout, Header, Sizes};
use crate::error::{LinkError, Result};
use crate::id::OutputId;
use crate::output::Outputs;
use crate::resolve::Resolved;
use crate::symtab::SymbolTable;

/// Bytes of the file that no input and no statement gives. Kernels' largest alignments are 16 MiB
/// (x86, `CONFIG_PHYSICAL_ALIGN`), and room without contents in front of contents is rare.
const MAX_PADDING: u64 = 256 << 20;

/// `r_info` of ELF32 has 24 bits for the symbol (ELF gABI chapter 4, `ELF32_R_SYM`).
const MAX_SYMBOLS_32: usize = 1 << 24;

/// What a file is judged by.
pub(crate) struct Limits<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub outputs: &'l Outputs<'a>,
    pub symbols: &'l SymbolTable,
    pub arch: &'static Arch,
    /// Bytes of an output section that inputs, statements and stubs give.
    pub given: &'l dyn Fn(OutputId) -> u64,
}

impl FileLayout {
    /// Refuses a file that cannot be written.
    ///
    /// # Errors
    /// [`LinkError::BadSection`], naming the section and what asks for too much.
    pub(crate) fn check_limits(&self, limits: &Limits<'_, '_>) -> Result<()> {
        let sizes = Sizes::of(limits.arch.class);
        let mut given = sizes.header + self.headers.len() as u64 * sizes.section;
        let mut worst = (0, None);
        for (header, body) in self.headers.iter().zip(&self.bodies) {
            limits.check_class(self, header, body)?;
        }
        for (header, body) in self.with_bytes() {
            let Body::Contents(id) = body else {
                given = given.saturating_add(header.size);
                continue;
            };
            let bytes = (limits.given)(id);
            given = given.saturating_add(bytes);
            // The section itself may be padded, or the way to it.
            let padding = header.size.saturating_sub(bytes).max(header.align);
            worst = worst.max((padding, Some(id)));
        }
        let padding = self.size.saturating_sub(given);
        match worst {
            (_, Some(id)) if padding > MAX_PADDING => Err(limits.padded(id, padding)),
            _ => limits.check_counts(self),
        }
    }
}

impl Limits<'_, '_> {
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
        let section = &self.outputs.sections[id];
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
