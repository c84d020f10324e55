//! Makes every byte of the image again from the inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use klink_arch::Values;

use super::super::super::elf::{
    Elf, Home, Relocation, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, STT_FILE, Section,
    SectionId, Symbol,
};
use super::super::hppa;
use super::merged::Finder;
use super::{EDITED, ImageProof, InputId, Link, ObjectId, Pieces};

/// The section whose entries GNU ld sorts by their first word (BFD, `elf-hppa.h`,
/// `elf_hppa_sort_unwind`, which goes by this name too), and their size.
const SORTED: &str = ".PARISC.unwind";
const SORTED_ENTRY: usize = 16;

/// `PT_LOAD`
const PT_LOAD: u32 = 1;

/// Whether an output section's entries are in another order than the inputs'.
pub(super) fn is_sorted(image: &Elf<'_>, output: SectionId) -> bool {
    image.section_name(output) == SORTED
}

/// Verifies the places of all input sections against the whole image.
pub(super) fn verify(link: &Link<'_>, pieces: &Pieces) -> ImageProof {
    let covered = covered(link, pieces);
    let gaps = gaps(link, pieces, &covered);
    let mut verifier = Verifier {
        link,
        pieces,
        finder: Finder::new(link, gaps.clone(), pieces.merged.keys().copied()),
        definitions: definitions(link, pieces),
        bases: segment_bases(link.image),
        gp: global_pointer(link),
        sorted: BTreeMap::new(),
        stubs: BTreeMap::new(),
        proof: ImageProof::default(),
    };
    let mut inputs: Vec<_> = pieces.at.iter().collect();
    inputs.sort_unstable_by_key(|(_, place)| **place);
    for (&input, &(address, output)) in inputs {
        verifier.section(input, address, output);
    }
    verifier.compare_sorted();
    verifier.overlaps(&covered);
    verifier.made();
    verifier.uncovered(gaps);
    verifier.symbols();
    verifier
        .proof
        .problems
        .sort_by_key(|text| !text.contains("branch"));
    verifier.proof
}

/// Addresses of the inputs in each output section: start, end, which.
type Covered = BTreeMap<SectionId, Vec<(u64, u64, InputId)>>;

fn covered(link: &Link<'_>, pieces: &Pieces) -> Covered {
    let mut covered: Covered = BTreeMap::new();
    for (&input, &(address, output)) in &pieces.at {
        let section = link.object(input.0).elf.section(input.1);
        let Some(section) = section.filter(|s| s.size > 0) else {
            continue;
        };
        let end = address.saturating_add(section.size);
        covered
            .entry(output)
            .or_default()
            .push((address, end, input));
    }
    for ranges in covered.values_mut() {
        ranges.sort_unstable();
    }
    covered
}

/// The parts of each allocated output section that no input covers.
fn gaps(
    link: &Link<'_>,
    pieces: &Pieces,
    covered: &Covered,
) -> HashMap<SectionId, Vec<(u64, u64)>> {
    let mut gaps = HashMap::new();
    for output in &link.image.sections {
        if !output.has(SHF_ALLOC) || output.sh_type == SHT_NOBITS {
            continue;
        }
        let mut at = output.addr;
        let list: &mut Vec<_> = gaps.entry(output.id).or_default();
        let inputs = covered.get(&output.id).into_iter().flatten();
        let inputs = inputs.map(|&(start, end, _)| (start, end));
        let made = pieces.made.iter().filter(|made| made.output == output.id);
        let mut ranges: Vec<_> = inputs.chain(made.map(|m| (m.start, m.end))).collect();
        ranges.sort_unstable();
        for (start, end) in ranges {
            if start > at {
                list.push((at, start));
            }
            at = at.max(end);
        }
        let end = output.addr.saturating_add(output.size);
        if end > at {
            list.push((at, end));
        }
    }
    gaps
}

/// Where the inputs define each global name: the first strong definition, or the first weak.
fn definitions<'a>(link: &Link<'a>, pieces: &Pieces) -> HashMap<&'a str, (InputId, u64, bool)> {
    const STB_WEAK: u8 = 2;
    let mut definitions: HashMap<&str, (InputId, u64, bool)> = HashMap::new();
    for (number, object) in link.objects.iter().enumerate() {
        for symbol in object.elf.symbols.iter().skip(1) {
            let Home::Section(section) = symbol.home else {
                continue;
            };
            let input = (ObjectId(number), section);
            let placed = pieces.at.contains_key(&input) || pieces.merged.contains_key(&input);
            if symbol.is_local() || !placed {
                continue;
            }
            let strong = symbol.bind != STB_WEAK;
            let known = definitions.get(&*symbol.name);
            if known.is_none_or(|&(.., known_strong)| strong && !known_strong) {
                definitions.insert(&symbol.name, (input, symbol.value, strong));
            }
        }
    }
    definitions
}

/// The lowest segments that hold read-only and writable sections: what SEGREL counts from.
/// Source: BFD, `elf32-hppa.c`, `hppa_record_segment_addr`.
fn segment_bases(image: &Elf<'_>) -> (u64, u64) {
    let base = |writable: bool| {
        let sections = image.sections.iter().filter(|s| {
            s.has(SHF_ALLOC) && s.has(SHF_WRITE) == writable && s.sh_type != SHT_NOBITS
        });
        let segments = sections.filter_map(|section| {
            let holds = |segment: &&super::super::super::elf::Segment| {
                segment.p_type == PT_LOAD
                    && section.addr >= segment.vaddr
                    && section.addr - segment.vaddr < segment.memsz
            };
            image
                .segments
                .iter()
                .find(holds)
                .map(|segment| segment.vaddr)
        });
        segments.min().unwrap_or(0)
    };
    (base(false), base(true))
}

/// What GP is. Source: BFD, `elf-hppa.h`, `elf_hppa_final_link`.
fn global_pointer(link: &Link<'_>) -> u64 {
    let values = link.values.get("$global$");
    values
        .and_then(|list| list.first())
        .map_or(0, |&(value, _)| value)
}

/// What a relocation's symbol is in the image.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// An address, and whether it is in code.
    Address { address: u64, is_code: bool },
    /// A place in a merged input section.
    Merged {
        input: InputId,
        output: SectionId,
        value: u64,
    },
    /// Weak and not defined: zero.
    Nothing,
}

struct Verifier<'a> {
    link: &'a Link<'a>,
    pieces: &'a Pieces,
    finder: Finder<'a>,
    definitions: HashMap<&'a str, (InputId, u64, bool)>,
    /// Of read-only and of writable segments.
    bases: (u64, u64),
    gp: u64,
    /// Entries of output sections that are sorted.
    sorted: BTreeMap<SectionId, Vec<Vec<u8>>>,
    /// Address and size of all stubs that a branch was followed through.
    stubs: BTreeMap<u64, u64>,
    proof: ImageProof,
}

impl<'a> Verifier<'a> {
    fn problem(&mut self, text: String) {
        self.proof.problems.push(text);
    }

    /// One input section: its place, its bytes, its relocations.
    fn section(&mut self, input: InputId, address: u64, output: SectionId) {
        let link = self.link;
        let elf = &link.object(input.0).elf;
        let Some((section, home)) = elf.section(input.1).zip(link.image.section(output)) else {
            return;
        };
        if !self.fits(input, section, home, address) {
            return;
        }
        self.proof.sections += 1;
        if section.sh_type == SHT_NOBITS {
            self.zeros(input, section, home, address);
            return;
        }
        let sorted = is_sorted(link.image, output);
        let actual = link.bytes_at(address).get(..section.data.len());
        let Some(actual) = actual.filter(|_| !sorted).or(Some(section.data)) else {
            return;
        };
        let mut expected = section.data.to_vec();
        for relocation in elf.relocations_of(section.id) {
            self.relocate(input, &relocation, address, &mut expected, actual);
        }
        self.proof.bytes += section.size;
        if sorted {
            let entries = expected.chunks(SORTED_ENTRY).map(<[u8]>::to_vec);
            self.sorted.entry(output).or_default().extend(entries);
        } else if let Some(at) = first_difference(&expected, actual) {
            let place = link.place(address + at as u64);
            let show =
                |bytes: &[u8]| format!("{:02x?}", &bytes[at & !3..bytes.len().min((at & !3) + 4)]);
            let text = format!(
                "{}+{at:#x} at {place}: {} expected, {} found",
                link.name(input),
                show(&expected),
                show(actual)
            );
            self.problem(text);
        }
    }

    /// Whether a section lies whole and aligned in an output section of its kind.
    fn fits(&mut self, input: InputId, section: &Section<'_>, home: &Section<'_>, at: u64) -> bool {
        let name = self.link.name(input);
        let inside = at >= home.addr
            && at.saturating_add(section.size) <= home.addr.saturating_add(home.size);
        if !inside {
            self.problem(format!("{name} at {at:#x} is not inside {}", home.name));
            return false;
        }
        if !at.is_multiple_of(section.align.max(1)) || home.align < section.align {
            self.problem(format!(
                "{name} at {at:#x} is not aligned to {}",
                section.align
            ));
        }
        let kinds = SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR;
        if section.flags & kinds & !home.flags != 0 {
            let (has, wants) = (home.flags & kinds, section.flags & kinds);
            self.problem(format!(
                "{name} of flags {wants:#x} is in {} of {has:#x}",
                home.name
            ));
        }
        true
    }

    fn zeros(&mut self, input: InputId, section: &Section<'_>, home: &Section<'_>, address: u64) {
        if home.sh_type == SHT_NOBITS {
            return;
        }
        let size = usize::try_from(section.size).unwrap_or(usize::MAX);
        let bytes = self.link.bytes_at(address).get(..size);
        if !bytes.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0)) {
            self.problem(format!("{} is not zero", self.link.name(input)));
        }
    }

    /// Puts into `expected` what a relocation must have made of its field. Branches are decoded
    /// from `actual` instead.
    fn relocate(
        &mut self,
        input: InputId,
        relocation: &Relocation,
        address: u64,
        expected: &mut [u8],
        actual: &[u8],
    ) {
        let link = self.link;
        let here = || format!("{}+{:#x}", link.name(input), relocation.offset);
        let row = link.arch.relocation(relocation.r_type);
        let Some((row, offset)) = row.zip(usize::try_from(relocation.offset).ok()) else {
            self.problem(format!("{}: type {} is unknown", here(), relocation.r_type));
            return;
        };
        let meaning = match self.meaning(input, relocation) {
            Ok(meaning) => meaning,
            Err(why) => {
                self.problem(format!("{}: {why}", here()));
                return;
            }
        };
        let place = address.wrapping_add(relocation.offset);
        if row.branch.is_some() {
            let done = self.branch(relocation, meaning, place, expected, actual);
            if let Err(why) = done {
                let at = link.place(place);
                self.problem(format!("{} at {at}: branch {why}", here()));
            }
            return;
        }
        self.proof.fields += 1;
        let addend = relocation.addend.unwrap_or(0);
        let values = |symbol: u64, is_code: bool, addend: i64| Values {
            symbol,
            addend,
            place,
            gp: self.gp,
            segment_base: if is_code { self.bases.0 } else { self.bases.1 },
            ..Values::default()
        };
        let Some(field) = expected.get_mut(offset..) else {
            self.problem(format!("{} is outside the section", here()));
            return;
        };
        let applied = match meaning {
            Meaning::Address { address, is_code } => {
                apply(link, row, field, &values(address, is_code, addend), is_code)
            }
            Meaning::Nothing => apply(link, row, field, &values(0, true, addend), true),
            Meaning::Merged {
                input: merged,
                output,
                value,
            } => {
                // A section symbol's addend says which string; another symbol is the string.
                let symbol = link.object(input.0).elf.symbol(relocation.symbol);
                let (wanted, rest) = match symbol.is_some_and(Symbol::is_section) {
                    true => (value.wrapping_add_signed(addend), 0),
                    false => (value, addend),
                };
                let places = self.finder.places(link, merged, output, wanted);
                let width = row.len();
                let actual = actual.get(offset..).and_then(|rest| rest.get(..width));
                let agree = |&place: &u64| {
                    let mut field = field.to_vec();
                    let done = apply(link, row, &mut field, &values(place, false, rest), false);
                    done.is_ok() && field.get(..width) == actual
                };
                let agreeing: Vec<u64> = places.into_iter().filter(agree).collect();
                let found = !agreeing.is_empty();
                self.finder.keep(merged, wanted, agreeing);
                match (found, actual) {
                    (true, Some(actual)) => {
                        field[..width].copy_from_slice(actual);
                        Ok(())
                    }
                    _ => Err(format!(
                        "the merged contents of {}+{wanted:#x} are not where it refers to",
                        link.name(merged)
                    )),
                }
            }
        };
        if let Err(why) = applied {
            self.problem(format!("{}: {}: {why}", here(), row.name));
        }
    }

    /// What the symbol of a relocation is in the image.
    fn meaning(&self, input: InputId, relocation: &Relocation) -> Result<Meaning, String> {
        let elf = &self.link.object(input.0).elf;
        let symbol = elf.symbol(relocation.symbol).ok_or("no such symbol")?;
        if symbol.is_local() || symbol.is_section() {
            return match symbol.home {
                Home::Section(section) => self.in_input((input.0, section), symbol.value),
                Home::Absolute => Ok(Meaning::Address {
                    address: symbol.value,
                    is_code: false,
                }),
                _ => Ok(Meaning::Nothing),
            };
        }
        if let Some(&(home, value, _)) = self.definitions.get(&*symbol.name) {
            return self.in_input(home, value);
        }
        // What no input defines, the script does.
        let in_image = self.link.values.get(&*symbol.name);
        if let Some(&(address, id)) = in_image.and_then(|list| list.first()) {
            let home = self.link.image.symbol(id).map(|s| s.home);
            let section = match home {
                Some(Home::Section(section)) => self.link.image.section(section),
                _ => None,
            };
            let is_code = section.is_some_and(|s| s.has(SHF_EXECINSTR));
            return Ok(Meaning::Address { address, is_code });
        }
        const STB_WEAK: u8 = 2;
        match symbol.bind {
            STB_WEAK => Ok(Meaning::Nothing),
            _ => Err(format!("{} is not in the image", symbol.name)),
        }
    }

    /// A place in an input section, in the image.
    fn in_input(&self, input: InputId, value: u64) -> Result<Meaning, String> {
        let section = self.link.object(input.0).elf.section(input.1);
        if let Some(&(address, _)) = self.pieces.at.get(&input) {
            return Ok(Meaning::Address {
                address: address.wrapping_add(value),
                is_code: section.is_some_and(|s| s.has(SHF_EXECINSTR)),
            });
        }
        if let Some(&output) = self.pieces.merged.get(&input) {
            return Ok(Meaning::Merged {
                input,
                output,
                value,
            });
        }
        Err(format!("{} is not in the image", self.link.name(input)))
    }

    /// Follows a branch, and takes over its displacement where it is right.
    fn branch(
        &mut self,
        relocation: &Relocation,
        meaning: Meaning,
        place: u64,
        expected: &mut [u8],
        actual: &[u8],
    ) -> Result<(), String> {
        let offset = relocation.offset as usize;
        let word = read(actual, offset).ok_or("is outside the section")?;
        let branch = hppa::branch(word, relocation.r_type).ok_or("is no branch")?;
        let lands = place.wrapping_add_signed(branch.distance) & 0xffff_ffff;
        let Meaning::Address { address, .. } = meaning else {
            return Err("has no target".to_owned());
        };
        let target = address.wrapping_add_signed(relocation.addend.unwrap_or(0)) & 0xffff_ffff;
        self.proof.furthest = self.proof.furthest.max(branch.distance.unsigned_abs());
        if lands == target {
            self.proof.direct += 1;
        } else {
            let stub = self.stub_at(lands);
            let wrong = || {
                let (lands, target) = (self.link.place(lands), self.link.place(target));
                format!("to {target} goes to {lands}")
            };
            let (goes, size) = stub.ok_or_else(wrong)?;
            if goes != target {
                let goes = self.link.place(goes);
                return Err(format!("{}, a stub to {goes}", wrong()));
            }
            if !branch.may_use_stub {
                return Err(format!("{}, and may use no stub", wrong()));
            }
            self.proof.through_stub += 1;
            self.stubs.insert(lands, size);
        }
        let own = read(expected, offset).ok_or("is outside the section")?;
        let made = own & !branch.field | word & branch.field;
        if let Some(bytes) = expected.get_mut(offset..offset + 4) {
            bytes.copy_from_slice(&made.to_be_bytes());
        }
        Ok(())
    }

    /// Where the stub at an address goes, and its size.
    fn stub_at(&self, address: u64) -> Option<(u64, u64)> {
        let bytes = self.link.bytes_at(address);
        let word = |n: usize| read(bytes, 4 * n).unwrap_or(0);
        let words = [word(0), word(1), word(2)];
        let (target, size) = hppa::image_stub(words, u32::try_from(address).ok()?)?;
        Some((target.into(), size.into()))
    }

    /// The sorted sections: the same entries, in order.
    fn compare_sorted(&mut self) {
        for (output, mut entries) in std::mem::take(&mut self.sorted) {
            let Some(section) = self.link.image.section(output) else {
                continue;
            };
            let actual: Vec<_> = section.data.chunks(SORTED_ENTRY).collect();
            let key = |entry: &[u8]| read(entry, 0);
            if !actual.is_sorted_by_key(|entry| key(entry)) {
                self.problem(format!("{} is not sorted", section.name));
            }
            entries.sort_unstable();
            let mut actual: Vec<_> = actual.into_iter().map(<[u8]>::to_vec).collect();
            actual.sort_unstable();
            let first = entries.iter().zip(&actual).find(|(a, b)| a != b);
            if let Some((a, b)) = first {
                let text = format!("{}: entry {a:02x?} expected, {b:02x?} found", section.name);
                self.problem(text);
            }
            if entries.len() != actual.len() {
                let (wants, has) = (entries.len(), actual.len());
                self.problem(format!("{} has {has} entries, not {wants}", section.name));
            }
        }
    }

    fn overlaps(&mut self, covered: &Covered) {
        for ranges in covered.values() {
            for pair in ranges.windows(2) {
                let ((_, end, first), (start, _, second)) = (pair[0], pair[1]);
                if end > start {
                    let (first, second) = (self.link.name(first), self.link.name(second));
                    self.problem(format!("{first} and {second} overlap at {start:#x}"));
                }
            }
        }
    }

    /// What the linker made is left out, and that is told.
    fn made(&mut self) {
        for made in &self.pieces.made {
            let left_out = self.proof.left_out.entry(made.section.clone());
            *left_out.or_default() += made.end - made.start;
        }
    }

    /// What no input covers.
    fn uncovered(&mut self, gaps: HashMap<SectionId, Vec<(u64, u64)>>) {
        let mut sections: Vec<_> = gaps.into_iter().collect();
        sections.sort_unstable();
        for (output, list) in sections {
            let Some(section) = self.link.image.section(output) else {
                continue;
            };
            let is_code = section.has(SHF_EXECINSTR);
            for (start, end) in list {
                let size = (end - start) as usize;
                let bytes = self.link.bytes_at(start);
                let bytes = bytes.get(..size).unwrap_or(bytes);
                match is_code {
                    true => self.code_gap(start, bytes),
                    // What another linker did not take out.
                    false if section.name == EDITED => {
                        let left_out = self.proof.left_out.entry(section.name.clone());
                        *left_out.or_default() += end - start;
                    }
                    false if self.finder.explains(start, bytes) => {}
                    false => {
                        let place = self.link.place(start);
                        let name = &section.name;
                        self.problem(format!("{name}: {size} bytes at {place} are of no input"));
                    }
                }
            }
        }
    }

    /// Words of code that no input covers: padding and stubs.
    fn code_gap(&mut self, start: u64, bytes: &[u8]) {
        let mut at = 0u64;
        let mut in_island = false;
        while let Some(word) = read(bytes, at as usize) {
            let address = start + at;
            if let Some(&size) = self.stubs.get(&address) {
                self.proof.stubs += 1;
                self.proof.stub_bytes += size;
                self.proof.islands += usize::from(!in_island);
                in_island = true;
                at += size;
            } else if word == 0 || word == hppa::NOP {
                at += 4;
            } else if let Some((_, size)) = self.stub_at(address) {
                self.proof.unused_stubs += 1;
                at += size;
            } else {
                let place = self.link.place(address);
                self.problem(format!(
                    "{word:#010x} at {place} is of no input and no stub"
                ));
                return;
            }
        }
    }

    /// Every symbol of an input is where its section is.
    fn symbols(&mut self) {
        let link = self.link;
        let mut gone = BTreeSet::new();
        for (number, object) in link.objects.iter().enumerate() {
            for symbol in object.elf.symbols.iter().skip(1) {
                let Home::Section(section) = symbol.home else {
                    continue;
                };
                let place = self.pieces.at.get(&(ObjectId(number), section));
                let is_named = !symbol.is_section() && symbol.kind != STT_FILE;
                let Some(&(address, _)) = place.filter(|_| is_named) else {
                    continue;
                };
                if symbol.name.is_empty() || symbol.name.starts_with(".L") {
                    continue;
                }
                let overridden = |&(home, value, _): &(InputId, u64, bool)| {
                    home != (ObjectId(number), section) || value != symbol.value
                };
                let known = self.definitions.get(&*symbol.name);
                if !symbol.is_local() && known.is_some_and(overridden) {
                    continue;
                }
                let value = address.wrapping_add(symbol.value);
                let values = link.values.get(&*symbol.name);
                let found = values.is_some_and(|list| list.iter().any(|&(at, _)| at == value));
                match found {
                    true => self.proof.symbols += 1,
                    false => {
                        gone.insert(format!(
                            "symbol {} of {} is not at {value:#x}",
                            symbol.name, object.name
                        ));
                    }
                }
            }
        }
        self.proof.problems.extend(gone);
    }
}

/// Applies a row, by the rules for what is far from the global pointer.
fn apply(
    link: &Link<'_>,
    row: &klink_arch::Relocation,
    field: &mut [u8],
    values: &Values,
    is_code: bool,
) -> Result<(), String> {
    let far = row.far_from_gp.filter(|_| is_code);
    let row = match far {
        Some(_) => row.as_far_from_gp(),
        None => *row,
    };
    if let Some(rewrite) = far
        && let Some(word) = read(field, 0)
        && let Some(made) = rewrite.rewrite(word.into())
        && let Some(bytes) = field.get_mut(..4)
    {
        bytes.copy_from_slice(&(made as u32).to_be_bytes());
    }
    let done = row.apply(link.arch.endian, field, values);
    done.map_err(|error| error.to_string())
}

/// A big-endian instruction.
fn read(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let first = a.iter().zip(b).position(|(a, b)| a != b);
    first.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}
