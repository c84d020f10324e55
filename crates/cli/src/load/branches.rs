//! The branches of a linked module: each is decoded, followed through its stub to its target, and
//! measured.
//!
//! Nothing here is asked of the loader but addresses: relocations are read again with another reader,
//! and instructions are decoded, not computed.

use klink_arch::{Arch, Branch, Class, Field, Relocation as Row, StubTemplate, Value, Values};
use klink_module::{Linked, Memory, Pointers, SectionId, SymbolId};
use object::Endianness;
use object::read::elf::FileHeader;
use serde::Serialize;

use super::memory::Simulated;
use crate::inspect::elf::{AnyObject, Definition, Object, Relocation};
use crate::inspect::error::Error;

/// Branches that do not arrive are described up to so many; the rest is counted.
const DESCRIBED: usize = 5;

/// What is known of a module's branches.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Branches {
    /// By form.
    pub(crate) forms: Vec<Form>,
    /// How many arrive where they should.
    pub(crate) arrived: u64,
    /// How many do not.
    pub(crate) lost: u64,
    /// The first of those.
    pub(crate) descriptions: Vec<String>,
    /// All of them, for pictures.
    #[serde(skip)]
    pub(crate) jumps: Vec<Jump>,
}

/// A branch that was decoded: run addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jump {
    pub(crate) from: u64,
    /// Where the instruction goes.
    pub(crate) to: u64,
    /// Whether there is a stub.
    pub(crate) by_stub: bool,
}

/// The branches of one relocation type.
#[derive(Debug, Serialize)]
pub(crate) struct Form {
    /// The psABI's name.
    pub(crate) name: &'static str,
    /// Bytes that it reaches back: negative.
    pub(crate) reach_back: i64,
    /// Bytes that it reaches forth.
    pub(crate) reach_forth: i64,
    /// How many there are.
    pub(crate) count: u64,
    /// How many go through stubs.
    pub(crate) by_stub: u64,
    /// The one with the least headroom.
    pub(crate) tightest: Option<Tightest>,
}

/// A branch near its limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tightest {
    /// The section that it is in.
    pub(crate) section: String,
    /// The place in it.
    pub(crate) offset: u64,
    /// Where it goes in the end.
    pub(crate) target: String,
    /// Bytes from the branch to its target or stub.
    pub(crate) distance: i64,
    /// How many bytes further that could be.
    pub(crate) headroom: i64,
    /// Whether it goes to a stub.
    pub(crate) by_stub: bool,
}

/// Examines all branches of loaded sections; `None` if the file cannot be read again. Keeps each of them
/// if `with_jumps`.
pub(crate) fn examine(
    bytes: &[u8],
    linked: &Linked<'_, '_, '_, Simulated>,
    with_jumps: bool,
) -> Option<Branches> {
    let mut examiner = Examiner {
        arch: linked.plan().file().arch(),
        symbol: &|index| linked.symbol_address(SymbolId::new(index)),
        section: &|index| linked.section_address(SectionId::new(index)),
        blocks: linked
            .blocks()
            .map(|(_, memory)| (memory.address(), memory.contents()))
            .collect(),
        pointers: linked.pointers(),
        with_jumps,
        found: Branches::default(),
    };
    let read = match AnyObject::parse(bytes).ok()? {
        AnyObject::Elf32(object) => examiner.run(&object),
        AnyObject::Elf64(object) => examiner.run(&object),
    };
    read.ok()?;
    Some(examiner.found)
}

struct Examiner<'l> {
    arch: &'static Arch,
    /// The run address of a symbol.
    symbol: &'l dyn Fn(u32) -> Option<u64>,
    /// The run address of a section.
    section: &'l dyn Fn(u32) -> Option<u64>,
    /// Run addresses and bytes.
    blocks: Vec<(u64, &'l [u8])>,
    pointers: Pointers,
    with_jumps: bool,
    found: Branches,
}

/// A branch that is examined.
struct Site<'o> {
    section: usize,
    relocation: &'o Relocation,
    row: &'static Row,
    branch: Branch,
    /// Its run address.
    place: u64,
    /// Where the instruction goes.
    to: u64,
    by_stub: bool,
}

impl Examiner<'_> {
    fn run<Elf: FileHeader<Endian = Endianness>>(
        &mut self,
        object: &Object<'_, Elf>,
    ) -> Result<(), Error> {
        for (index, section) in object.sections.iter().enumerate() {
            let target = section.info as usize;
            let relocated = object.sections.get(target);
            let is_loaded = relocated.is_some_and(|section| section.is_allocated());
            if !section.is_relocations() || !is_loaded {
                continue;
            }
            let Some(base) = (self.section)(section.info) else {
                continue;
            };
            object.each_relocation(index, |relocation| {
                let row = self.arch.relocation(relocation.number);
                if let Some((row, branch)) = row.and_then(|row| Some((row, row.branch?))) {
                    self.branch(object, target, base, &relocation, row, branch)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn branch<Elf: FileHeader<Endian = Endianness>>(
        &mut self,
        object: &Object<'_, Elf>,
        section: usize,
        base: u64,
        relocation: &Relocation,
        row: &'static Row,
        branch: Branch,
    ) -> Result<(), Error> {
        let place = base.wrapping_add(relocation.offset);
        let bytes = self.bytes(place);
        let Some(displacement) = row.decode_branch(self.arch.endian, bytes) else {
            self.lose(format!("{place:#x} is no {}", row.name));
            return Ok(());
        };
        let symbol = (self.symbol)(relocation.symbol).unwrap_or(0);
        let addend = relocation.addend.unwrap_or_else(|| {
            let data = object.sections[section].data;
            let start = usize::try_from(relocation.offset).ok();
            let field = start
                .and_then(|start| data.get(start..))
                .unwrap_or_default();
            row.implicit_addend(self.arch.endian, field).unwrap_or(0)
        });
        let target = self.cut(symbol.wrapping_add_signed(addend + branch.target_bias));
        let entry = match object.definition(relocation.symbol)? {
            Definition::Section(..) => {
                let other = object.symbol_other(relocation.symbol);
                self.arch.local_entry_offset(other)
            }
            Definition::Elsewhere => 0,
        };
        let to = self.cut(place.wrapping_add_signed(displacement));
        let is_direct = to == self.cut(target.wrapping_add(entry));
        let by_stub = !is_direct && self.is_stub_for(to, target);
        if is_direct || by_stub {
            self.found.arrived += 1;
        } else {
            self.lose(format!(
                "{}+{:#x} should go to {} at {target:#x}, and goes to {to:#x}",
                object.sections[section].shown_name(),
                relocation.offset,
                object.target_name(relocation),
            ));
        }
        if self.with_jumps {
            let from = place;
            self.found.jumps.push(Jump { from, to, by_stub });
        }
        self.count(
            object,
            &Site {
                section,
                relocation,
                row,
                branch,
                place,
                to,
                by_stub,
            },
        );
        Ok(())
    }

    fn count<Elf: FileHeader<Endian = Endianness>>(
        &mut self,
        object: &Object<'_, Elf>,
        site: &Site<'_>,
    ) {
        let forms = &mut self.found.forms;
        let known = forms.iter().position(|form| form.name == site.row.name);
        let at = known.unwrap_or_else(|| {
            forms.push(Form {
                name: site.row.name,
                reach_back: site.branch.min,
                reach_forth: site.branch.max,
                count: 0,
                by_stub: 0,
                tightest: None,
            });
            forms.len() - 1
        });
        let distance = self.signed(site.to.wrapping_sub(site.place));
        let headroom = match distance < 0 {
            true => distance - site.branch.min,
            false => site.branch.max - distance,
        };
        let form = &mut self.found.forms[at];
        form.count += 1;
        form.by_stub += u64::from(site.by_stub);
        let least = form.tightest.as_ref().map(|least| least.headroom);
        if least.is_none_or(|least| headroom < least) {
            form.tightest = Some(Tightest {
                section: object.sections[site.section].shown_name(),
                offset: site.relocation.offset,
                target: object.target_name(site.relocation),
                distance,
                headroom,
                by_stub: site.by_stub,
            });
        }
    }

    fn lose(&mut self, description: String) {
        self.found.lost += 1;
        if self.found.descriptions.len() < DESCRIBED {
            self.found.descriptions.push(description);
        }
    }

    /// Whether at `place` there is a stub that goes to `target`: the bytes must be those of one of the
    /// architecture's stubs, made for this place and target.
    fn is_stub_for(&self, place: u64, target: u64) -> bool {
        let loader = self.arch.load.stubs.iter().flat_map(|stubs| stubs.kinds);
        let loader = loader.map(|kind| match (kind.kernel_pointer, self.pointers.kernel) {
            (true, Some(pointer)) => (kind.template, pointer),
            _ => (kind.template, self.pointers.module),
        });
        let linker = self.arch.module.stubs.iter();
        let linker = linker.flat_map(|stubs| [stubs.anywhere, stubs.same_section]);
        let linker = linker.map(|template| (template, self.pointers.module));
        let mut templates = loader.chain(linker);
        templates.any(|(template, gp)| self.is_made_of(template, place, target, gp))
    }

    fn is_made_of(&self, template: &StubTemplate, place: u64, target: u64, gp: u64) -> bool {
        let Some(found) = self.bytes(place).get(..template.len()) else {
            return false;
        };
        let mut values = Values {
            symbol: target,
            place,
            gp,
            ..Values::default()
        };
        if let Some(slot) = self.slot(template, found, gp) {
            let word = self.word(slot);
            if word != Some(target) {
                return false;
            }
            (values.slot, values.got) = (slot, gp);
        }
        let mut wanted = vec![0; template.len()];
        let made = template.resolve_with(self.arch, &values, &mut wanted);
        made.is_ok() && wanted == found
    }

    /// The address of the slot that a stub takes its target from, by the stub's own instructions.
    fn slot(&self, template: &StubTemplate, found: &[u8], gp: u64) -> Option<u64> {
        template.relocations.iter().find_map(|relocation| {
            let row = self.arch.relocation(relocation.number)?;
            let from_gp = matches!(
                row.value,
                Value::SlotGpRelative | Value::SlotGpRelativeAddend
            );
            let field = found.get(relocation.offset as usize..)?;
            let word = row.field.read(self.arch.endian, field).ok()?;
            from_gp.then(|| gp.wrapping_add_signed(row.field.decode(word)))
        })
    }

    /// The bytes from a run address on; none outside the module.
    fn bytes(&self, address: u64) -> &[u8] {
        let found = self.blocks.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|bytes| !bytes.is_empty())
        });
        found.unwrap_or_default()
    }

    /// An address cut to the architecture's width.
    fn cut(&self, address: u64) -> u64 {
        match self.arch.class {
            Class::Elf32 => u64::from(address as u32),
            Class::Elf64 => address,
        }
    }

    fn signed(&self, distance: u64) -> i64 {
        match self.arch.class {
            Class::Elf32 => i64::from(distance as u32 as i32),
            Class::Elf64 => distance as i64,
        }
    }

    fn word(&self, address: u64) -> Option<u64> {
        let bytes = self.bytes(address);
        let word = match self.arch.class {
            Class::Elf32 => Field::DATA32,
            Class::Elf64 => Field::DATA64,
        };
        word.read(self.arch.endian, bytes).ok()
    }
}
