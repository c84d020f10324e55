//! How full the regions of MEMORY are (`--print-memory-usage`), in GNU ld's words and columns.
//!
//! Source: ld/ldlang.c, lang_print_memory_usage and lang_print_memory_size.

use super::regions::Regions;

/// The table as text.
pub(super) fn text(regions: &Regions) -> String {
    let mut text = "Memory region         Used Size  Region Size  %age Used\n".to_owned();
    for region in regions.of_script() {
        let used = region.current.wrapping_sub(region.origin);
        text += &format!("{:>16}: {}{}", region.name, size(used), size(region.length));
        if region.length != 0 {
            let percent = used as f64 * 100.0 / region.length as f64;
            text += &format!("    {percent:6.2}%");
        }
        text.push('\n');
    }
    text
}

/// A size in the greatest unit that it is a multiple of.
fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GB"), (20, "MB"), (10, "KB")] {
        if bytes.trailing_zeros() >= shift {
            return format!("{:>10} {unit}", bytes >> shift);
        }
    }
    format!(" {bytes:>10} B")
}
