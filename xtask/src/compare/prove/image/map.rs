//! GNU ld's `-Map`: which input sections are in which output section, in order.

/// One input section in the output, as a map has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The output section's name.
    pub(super) output: String,
    /// The input section's name.
    pub(super) section: String,
    pub(super) address: u64,
    /// The size in the output; less than the section's where strings were merged.
    pub(super) size: u64,
    /// `dir/file.o`, or `dir/lib.a(member.o)`.
    pub(super) file: String,
}

/// Reads the memory map of a map file.
///
/// A line in the first column begins an output section, one with a space an input section; a
/// long name stands alone on its line and the rest on the next. All else (patterns, symbols,
/// fill, sizes before relaxing) says nothing about places.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    let mut lines = text.lines();
    lines.find(|line| *line == "Linker script and memory map");
    let mut entries = Vec::new();
    let mut output = String::new();
    // A name whose address is on the next line.
    let mut waiting: Option<String> = None;
    for line in lines {
        let alone = waiting.take();
        let first = line.chars().next();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (first, words.as_slice()) {
            (Some(c), [name, ..]) if !c.is_whitespace() => {
                output.clear();
                output.push_str(name);
            }
            (Some(_), [name]) if is_item(line) => waiting = Some((*name).to_owned()),
            (Some(_), [name, address, size, file @ ..]) if is_item(line) => {
                entries.extend(entry(&output, name, address, size, file));
            }
            (Some(_), [address, size, file @ ..]) => {
                if let Some(name) = alone {
                    entries.extend(entry(&output, &name, address, size, file));
                }
            }
            _ => {}
        }
    }
    entries
}

/// Whether a line names an input section: one space, and no pattern or fill.
fn is_item(line: &str) -> bool {
    let name = line.strip_prefix(' ').unwrap_or_default();
    !name.starts_with([' ', '*', '('])
}

fn entry(output: &str, section: &str, address: &str, size: &str, file: &[&str]) -> Option<Entry> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let (address, size) = (number(address)?, number(size)?);
    if file.is_empty() || file == ["linker", "stubs"] {
        return None;
    }
    Some(Entry {
        output: output.to_owned(),
        section: section.to_owned(),
        address,
        size,
        file: file.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_lines() {
        let text = "\
Discarded input sections

 .text          0x00000000        0x4 gone.o

Linker script and memory map

LOAD vmlinux.a
                0x10100000                        . = 0x10100000

.text           0x10181000   0x6e6380
                0x10181000                        . = ALIGN (0x8)
 *(.text.hot .text.hot.*)
 .text.hot.stub
                0x10181000      0xa60 linker stubs
 .text.hot      0x10181a60      0x9e0 arch/parisc/kernel/pacache.o
                0x10181a60                flush_tlb_all_local
 *fill*         0x10182440      0xbc0 
 .text.a_very_long_name
                0x10183000        0x8 lib/lib.a(m.o)

.rodata
                0x1096fc1c       0x10
 .rodata.str1.4
                0x1096fc1c      0x6af init/main.o
                                0x6ec (size before relaxing)
";
        let entries = parse(text);
        let shown: Vec<_> = entries
            .iter()
            .map(|e| (&*e.output, &*e.section, e.address, e.size, &*e.file))
            .collect();
        assert_eq!(
            shown,
            [
                (
                    ".text",
                    ".text.hot",
                    0x1018_1a60,
                    0x9e0,
                    "arch/parisc/kernel/pacache.o"
                ),
                (
                    ".text",
                    ".text.a_very_long_name",
                    0x1018_3000,
                    8,
                    "lib/lib.a(m.o)"
                ),
                (
                    ".rodata",
                    ".rodata.str1.4",
                    0x1096_fc1c,
                    0x6af,
                    "init/main.o"
                ),
            ]
        );
    }
}
