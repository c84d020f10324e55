//! Images without headers: `--oformat binary`, OUTPUT_FORMAT(binary).
//!
//! Source: bfd/binary.c, `binary_set_section_contents`.

use super::layout::ImageLayout;
use crate::buffer::Buffer;
use crate::error::{LinkError, Result};
use crate::id::OutputId;
use crate::options::{Options, OutputFormat};
use crate::output::{OutputSection, Traits};
use crate::script::Sources;
use crate::write::FileLayout;

/// The name of the format in scripts.
const NAME: &str = "binary";

/// Bytes that a file may have: load addresses far from each other would make one of zeros that fills
/// every disk.
const MAX_SIZE: u64 = 1 << 36;

/// Whether the output has no headers.
pub(super) fn is_wanted(options: &Options, sources: &Sources) -> bool {
    match &options.output_format {
        Some(format) => *format == OutputFormat::Binary,
        None => sources.output_format(options.byte_order) == Some(NAME),
    }
}

/// The contents of loaded sections, from the lowest load address on, with zeros in between; `None` if
/// the output has headers. `bytes` is the ELF file.
///
/// # Errors
/// Load addresses that are too far from each other.
pub(super) fn extract(
    options: &Options,
    sources: &Sources,
    layout: &ImageLayout<'_>,
    file: &FileLayout,
    bytes: &[u8],
) -> Result<Option<Buffer>> {
    if !is_wanted(options, sources) {
        return Ok(None);
    }
    let loaded: Vec<(OutputId, &OutputSection<'_>)> = layout
        .outputs
        .order
        .iter()
        .map(|&id| (id, &layout.outputs.sections[id]))
        .filter(|(_, section)| is_loaded(section))
        .collect();
    let addresses = loaded.iter().map(|(_, section)| section.load_address);
    let lowest = addresses.min().unwrap_or(0);
    let mut size = 0;
    for (_, section) in &loaded {
        let end = (section.load_address - lowest).saturating_add(section.size);
        if end > MAX_SIZE {
            return Err(LinkError::BadSection {
                file: "output".to_owned(),
                section: String::from_utf8_lossy(section.name).into_owned(),
                what: format!(
                    "it is loaded at {:#x}, too far behind {lowest:#x} for a binary file",
                    section.load_address
                ),
            });
        }
        size = size.max(end);
    }
    let mut out = Buffer::zeroed(size as usize);
    for (id, section) in loaded {
        let from = file.offset_of(id) as usize;
        let to = (section.load_address - lowest) as usize;
        let length = section.size as usize;
        if let (Some(source), Some(target)) =
            (bytes.get(from..from + length), out.get_mut(to..to + length))
        {
            target.copy_from_slice(source);
        }
    }
    Ok(Some(out))
}

fn is_loaded(section: &OutputSection<'_>) -> bool {
    section.traits.contains(Traits::ALLOC | Traits::LOAD)
        && section.has_contents()
        && section.size > 0
        && !section.never_allocated
}
