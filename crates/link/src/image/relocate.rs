//! Relocations of an image: their values go into the bytes, and with `--emit-relocs` they stay.

use klink_arch::{
    Addends, Arch, Relaxed, RelocError, Relocation, StaticLink, ThreadRelaxed, Value,
    Values as Formula,
};

use object::elf;

use super::got::{Got, Rules};
use super::layout::ImageLayout;
use super::made_sections::is_dynamic;
use super::stubs::StubMap;
use super::thread::ThreadAddresses;
use super::values::{SymbolValue, Values};
use crate::dynamic::relocations::Fate;
use crate::error::{LinkError, OutOfRange};
use crate::id::{ObjectId, OutputId, SectionId};
use crate::input::{InputSection, RawRelocation};
use crate::options::{OutputKind, Unresolved};
use crate::output::Traits;
use crate::relocate::bad_relocation;
use crate::resolve::Resolved;

/// What all relocations of a link are applied with.
pub(super) struct Relocator<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub layout: &'l ImageLayout<'a>,
    pub values: &'l Values<'a, 'l>,
    pub arch: &'static Arch,
    pub stubs: &'l StubMap,
    /// Where the global pointer points.
    pub gp: u64,
    /// Where the segments of code and of data begin, for relocations that count from there.
    pub segment_bases: [u64; 2],
    /// Where thread-local variables are.
    pub thread: ThreadAddresses,
    /// What decides about slots and what is left to a loader.
    pub rules: Rules<'a, 'l>,
    pub got: &'l Got,
    /// The address that offsets into the global offset table count from.
    pub got_base: u64,
}

/// An input section whose relocations are applied.
#[derive(Clone, Copy)]
struct RelocatedSection {
    object: ObjectId,
    section: SectionId,
    output: OutputId,
    /// Its address.
    base: u64,
    /// Whether its relocations have addends of their own.
    explicit: bool,
    /// Whether a loader may have to apply them.
    is_left_to_loader: bool,
    /// What becomes of symbols that nothing defines.
    unresolved: Unresolved,
}

/// A problem of a relocation, to be told with all others.
#[derive(Debug)]
pub(super) enum Problem {
    /// Nothing defines its symbol.
    Undefined(Reference),
    /// Anything else.
    Error(LinkError),
}

/// A place that refers to a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub section: SectionId,
    pub offset: u64,
    pub symbol: u32,
}

impl<'a> Relocator<'a, '_> {
    /// Applies all relocations of `section` to `bytes`, its part of the output.
    pub(super) fn apply(&self, section: SectionId, bytes: &mut [u8], problems: &mut Vec<Problem>) {
        let input = self.resolved.section(section);
        let Some(output) = self.layout.placements.output(section) else {
            return;
        };
        let base = self.layout.outputs.sections[output]
            .address
            .wrapping_add(self.layout.placements.offset(section));
        let (object, _) = self.resolved.section_place(section);
        let relocated = RelocatedSection {
            object,
            section,
            output,
            base,
            explicit: input.relocations.is_rela(),
            is_left_to_loader: is_dynamic(self.rules.options)
                && Traits::of(input).contains(Traits::ALLOC),
            unresolved: self.rules.options.unresolved(),
        };
        let is_edited = self.layout.unwind.contains(section);
        let is_plain = relocated.explicit
            && !is_edited
            && !relocated.is_left_to_loader
            && !self.rules.bindings.has_indirect();
        let mut is_dropped = false;
        for (index, mut relocation) in input.relocations.iter().enumerate() {
            if std::mem::take(&mut is_dropped) {
                continue;
            }
            if is_plain && self.apply_plain(&relocated, &relocation, bytes).is_some() {
                continue;
            }
            if is_edited && let Some(place) = self.layout.unwind.field(section, relocation.offset) {
                match place.offset() {
                    Some(moved) => relocation.offset = moved,
                    None => continue,
                }
            }
            if relocated.unresolved == Unresolved::Warning
                && self.lacks(object, &relocation)
                && !self.must_be_here(object, relocation.symbol)
            {
                problems.push(Problem::Undefined(Reference {
                    section,
                    offset: relocation.offset,
                    symbol: relocation.symbol,
                }));
            }
            let Some(row) = self.arch.relocation(relocation.number) else {
                problems.push(self.unknown(section, &relocation));
                continue;
            };
            let is_changed = matches!(row.value, Value::Foreign | Value::ThreadBlockRelative);
            let thread = is_changed.then(|| self.rules.relax_thread(section, index));
            let result = match thread.flatten() {
                None if self.is_thread_code(row) => Err(self.bad_thread(section, &relocation, row)),
                None => self.apply_one(&relocated, &relocation, row, bytes),
                Some(relaxed) => {
                    is_dropped = relaxed.drops_call;
                    self.apply_thread(&relocated, &relocation, &relaxed, bytes)
                }
            };
            if let Err(problem) = result {
                problems.push(problem);
            }
        }
    }

    /// Applies a relocation of a whole word, with an addend of its own, whose symbol has an address:
    /// nearly all are like this. `None`, and nothing is changed: it wants a closer look.
    #[inline]
    fn apply_plain(
        &self,
        input: &RelocatedSection,
        relocation: &RawRelocation,
        bytes: &mut [u8],
    ) -> Option<()> {
        let direct = self.arch.direct(relocation.number)?;
        let symbol = match self.values.of(input.object, relocation.symbol) {
            SymbolValue::Address { address, .. } | SymbolValue::Absolute(address) => address,
            SymbolValue::Undefined { .. } | SymbolValue::Discarded => return None,
        };
        if !direct.is_for_links() || self.merged_place(input.object, relocation.symbol).is_some() {
            return None;
        }
        let field = bytes.get_mut(usize::try_from(relocation.offset).ok()?..)?;
        let place = input.base.wrapping_add(relocation.offset);
        direct.apply(self.arch.endian, field, (symbol, relocation.addend, place))
    }

    /// Whether nothing defines the symbol of a relocation.
    fn lacks(&self, object: ObjectId, relocation: &RawRelocation) -> bool {
        let target = self.values.of(object, relocation.symbol);
        matches!(target, SymbolValue::Undefined { weak: false })
    }

    fn apply_one(
        &self,
        input: &RelocatedSection,
        relocation: &RawRelocation,
        row: &Relocation,
        bytes: &mut [u8],
    ) -> Result<(), Problem> {
        let &RelocatedSection {
            object,
            section,
            base,
            explicit,
            ..
        } = input;
        if matches!(row.value, Value::Marker) {
            return Ok(());
        }
        if matches!(row.value, Value::SlotGotRelative | Value::SlotPcRelative)
            && let Some(relaxed) = self.relaxed(input, relocation, row, bytes)
        {
            relaxed.write(bytes);
            let input = RelocatedSection {
                explicit: true,
                is_left_to_loader: false,
                ..*input
            };
            let relocation = RawRelocation {
                offset: relaxed.offset as u64,
                number: relaxed.number,
                addend: relaxed.addend,
                ..*relocation
            };
            return self.apply_as(&input, &relocation, bytes);
        }
        let is_baseless = matches!(row.value, Value::SlotGotRelative)
            && self
                .arch
                .got
                .is_some_and(|got| got.is_baseless(bytes, relocation.offset as usize));
        if is_baseless && input.is_left_to_loader {
            return Err(self.baseless(section, relocation, row));
        }
        let field = bytes
            .get_mut(relocation.offset as usize..)
            .unwrap_or_default();
        let target = self.values.of(object, relocation.symbol);
        match target {
            SymbolValue::Undefined { weak: false }
                if input.unresolved == Unresolved::Error
                    || self.must_be_here(object, relocation.symbol) =>
            {
                return Err(Problem::Undefined(Reference {
                    section,
                    offset: relocation.offset,
                    symbol: relocation.symbol,
                }));
            }
            SymbolValue::Discarded => return self.discarded(section, relocation, row, field),
            _ => {}
        }
        if input.is_left_to_loader {
            match self.rules.fate(object, relocation) {
                Fate::Symbolic(number) => {
                    return match self.is_refused_here(section, number) {
                        true => Err(self.refused(section, relocation, row)),
                        false => Ok(()),
                    };
                }
                Fate::Refused => return Err(self.refused(section, relocation, row)),
                Fate::Applied | Fate::Relative(_) | Fate::SectionRelative(_) => {}
            }
        }
        let addend = match explicit {
            true => relocation.addend,
            false => row
                .implicit_addend(self.arch.endian, field)
                .map_err(|error| self.failed(section, relocation, row, error))?,
        };
        let (symbol, addend) = self.through_merges(object, relocation, target, addend);
        let place = base.wrapping_add(relocation.offset);
        let (symbol, addend) = match row.branch {
            Some(branch) if self.arch.image_stub.is_some() => {
                self.through_stub(row, branch, target, (input.output, place), (symbol, addend))
            }
            _ => (symbol, addend),
        };
        // Most formulas ask for nothing more.
        let mut formula = Formula {
            symbol,
            addend,
            place,
            gp: self.gp,
            got: if is_baseless { 0 } else { self.got_base },
            slot: 0,
            segment_base: 0,
            section_base: 0,
            size: 0,
            thread_pointer: self.thread.pointer,
            thread_block: self.thread.block,
        };
        if let Some(owner) = self.rules.indirect(object, relocation.symbol)
            && Traits::of(self.resolved.section(section)).contains(Traits::ALLOC)
        {
            let indirect = &self.got.indirect;
            if !indirect.is_filled(owner, row.number, &self.rules) {
                let stub = indirect.stub(owner, &self.rules, self.values);
                formula.symbol = stub.ok_or_else(|| self.unplanned(section, relocation, "stub"))?;
            } else if explicit && !row.names_slot() {
                // A pointer that is filled in when the program starts.
                return Ok(());
            }
        }
        if input.is_left_to_loader
            && self.rules.asks_for_plt(row.number)
            && let Some(id) = self.resolved.global_of(object, relocation.symbol)
            && let Some(entry) = self.got.plt.entry(id, &self.rules, self.values)
        {
            formula.symbol = entry;
        } else if input.is_left_to_loader
            && matches!(target, SymbolValue::Undefined { .. })
            && self.loses_symbol(object, relocation, row)
        {
            return Err(self.refused(section, relocation, row));
        }
        match row.value {
            Value::SlotGotRelative | Value::SlotPcRelative | Value::SlotGpRelative => {
                let slot = self.slot(object, relocation, row);
                formula.slot = slot.ok_or_else(|| self.unplanned(section, relocation, "slot"))?;
                if let Some(change) = row.static_link
                    && !is_dynamic(self.rules.options)
                {
                    let far = self.is_far_from_gp(target);
                    let result = self.apply_static(row, change, far, field, &formula);
                    return result.map_err(|error| self.failed(section, relocation, row, error));
                }
            }
            Value::SegmentRelative => formula.segment_base = self.segment_base(target),
            Value::SectionRelative => formula.section_base = self.section_base(target),
            Value::Size => formula.size = self.symbol_size(object, relocation.symbol),
            _ => {}
        }
        let far = row.far_from_gp.filter(|_| self.is_far_from_gp(target));
        let result = match far {
            None => row.apply(self.arch.endian, field, &formula),
            Some(rewrite) => self.apply_far(row, rewrite, field, &formula),
        };
        result.map_err(|error| self.failed(section, relocation, row, error))
    }

    /// What an instruction becomes that needs no slot.
    fn relaxed(
        &self,
        input: &RelocatedSection,
        relocation: &RawRelocation,
        row: &Relocation,
        bytes: &[u8],
    ) -> Option<Relaxed> {
        let addend = match input.explicit {
            true => relocation.addend,
            false => {
                let field = bytes.get(relocation.offset as usize..)?;
                row.implicit_addend(self.arch.endian, field).ok()?
            }
        };
        self.rules.relax(input.object, relocation, bytes, addend)
    }

    /// Whether relocations of a type are only there to be changed.
    fn is_thread_code(&self, row: &Relocation) -> bool {
        let thread = self.arch.thread;
        row.value == Value::Foreign && thread.is_some_and(|it| it.relaxes(row.number))
    }

    fn bad_thread(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
        row: &Relocation,
    ) -> Problem {
        let (object, _) = self.resolved.section_place(section);
        let symbol = self.symbol_name(object, relocation.symbol);
        let why = match self.rules.options.output_kind {
            OutputKind::Shared => "klink makes no shared objects with thread-local variables yet",
            _ => "the code is not what the psABI says",
        };
        let what = format!(
            "TLS transition from {} against `{symbol}' failed: {why}",
            row.name
        );
        self.bad(section, relocation, what)
    }

    /// Applies a relocation that has taken the place of the input's.
    fn apply_as(
        &self,
        input: &RelocatedSection,
        relocation: &RawRelocation,
        bytes: &mut [u8],
    ) -> Result<(), Problem> {
        match self.arch.relocation(relocation.number) {
            Some(row) => self.apply_one(input, relocation, row, bytes),
            None => Err(self.unknown(input.section, relocation)),
        }
    }

    /// Changes code that finds a thread-local variable.
    fn apply_thread(
        &self,
        input: &RelocatedSection,
        relocation: &RawRelocation,
        relaxed: &ThreadRelaxed,
        bytes: &mut [u8],
    ) -> Result<(), Problem> {
        relaxed.write(bytes);
        let Some((number, offset)) = relaxed.then else {
            return Ok(());
        };
        let input = RelocatedSection {
            explicit: input.explicit || relaxed.drops_addend,
            ..*input
        };
        let relocation = RawRelocation {
            offset: offset as u64,
            number,
            addend: match relaxed.drops_addend {
                true => 0,
                false => relocation.addend,
            },
            ..*relocation
        };
        self.apply_as(&input, &relocation, bytes)
    }

    /// Applies what stands in a static link for a relocation of position-independent code, with the slot
    /// as the symbol.
    fn apply_static(
        &self,
        row: &Relocation,
        change: StaticLink,
        is_far: bool,
        field: &mut [u8],
        formula: &Formula,
    ) -> Result<(), RelocError> {
        let Some(instead) = self.arch.relocation(change.number) else {
            return Err(RelocError::Unsupported { name: row.name });
        };
        if let Some(rewrite) = change.rewrite {
            let instruction = row.field.read(self.arch.endian, field)?;
            let changed = rewrite.rewrite(instruction);
            let changed = changed.ok_or(RelocError::Unsupported { name: row.name })?;
            row.field.write(self.arch.endian, field, changed)?;
        }
        let formula = Formula {
            symbol: formula.slot,
            ..*formula
        };
        match instead.far_from_gp.filter(|_| is_far) {
            None => instead.apply(self.arch.endian, field, &formula),
            Some(rewrite) => self.apply_far(instead, rewrite, field, &formula),
        }
    }

    /// The address of the slot that a relocation is about.
    fn slot(&self, object: ObjectId, relocation: &RawRelocation, row: &Relocation) -> Option<u64> {
        let key = self.rules.slot_key(object, relocation.symbol, row.slot);
        let of_stub = || {
            let indirect = &self.got.indirect;
            indirect.slot(key.owner, &self.rules, self.values)
        };
        self.got.slot(key, self.values).or_else(of_stub)
    }

    /// What was to be planned for a relocation and was not.
    fn unplanned(&self, section: SectionId, relocation: &RawRelocation, what: &str) -> Problem {
        let (object, _) = self.resolved.section_place(section);
        let symbol = self.symbol_name(object, relocation.symbol);
        let what = format!("internal error: there is no {what} for `{symbol}'");
        self.bad(section, relocation, what)
    }

    fn unknown(&self, section: SectionId, relocation: &RawRelocation) -> Problem {
        let what = format!(
            "unknown relocation type {} of {}",
            relocation.number, self.arch.name
        );
        self.bad(section, relocation, what)
    }

    /// Whether nobody else may define a symbol, so that it is missed whatever the options say (bfd/elf-bfd.h,
    /// `RELOC_FOR_GLOBAL_SYMBOL`).
    pub(super) fn must_be_here(&self, object: ObjectId, symbol: u32) -> bool {
        let global = self.resolved.global_of(object, symbol);
        global.is_some_and(|id| self.resolved.globals[id].other & 3 != elf::STV_DEFAULT.0)
    }

    /// Code that finds a slot at a fixed address, in an output that may be anywhere.
    fn baseless(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
        row: &Relocation,
    ) -> Problem {
        let (object, _) = self.resolved.section_place(section);
        let symbol = self.symbol_name(object, relocation.symbol);
        let what = format!(
            "direct GOT relocation {} against `{symbol}' without base register can not be used when making \
             a {}",
            row.name,
            self.output_name()
        );
        self.bad(section, relocation, what)
    }

    fn output_name(&self) -> &'static str {
        match self.rules.options.output_kind {
            OutputKind::Shared => "shared object",
            _ => "PIE object",
        }
    }

    /// Whether a symbol that others define is none that a loader would be asked for.
    fn loses_symbol(&self, object: ObjectId, relocation: &RawRelocation, row: &Relocation) -> bool {
        let bindings = self.rules.bindings;
        let target = bindings.target(self.resolved, object, relocation.symbol);
        self.rules.options.output_kind == OutputKind::Shared
            && !(target.is_bound || target.is_zero || row.names_slot())
            && row.value != Value::GotPcRelative
            && self.rules.fate(object, relocation) == Fate::Applied
    }

    /// Whether a relocation of type `number`, whose symbol is bound elsewhere, cannot be left to a loader in
    /// this section.
    fn is_refused_here(&self, section: SectionId, number: u32) -> bool {
        let is_read_only = Traits::of(self.resolved.section(section)).contains(Traits::READ_ONLY);
        let dynamic = self.arch.dynamic.as_ref();
        let refused = dynamic.map_or(&[][..], |dynamic| dynamic.refused_read_only);
        is_read_only
            && self.rules.options.output_kind == OutputKind::Shared
            && refused.binary_search(&number).is_ok()
    }

    fn refused(&self, section: SectionId, relocation: &RawRelocation, row: &Relocation) -> Problem {
        let (object, _) = self.resolved.section_place(section);
        let symbol = self.symbol_name(object, relocation.symbol);
        let option = match self.rules.options.output_kind {
            OutputKind::Shared => "-fPIC",
            _ => "-fPIE",
        };
        let what = format!(
            "relocation {} against `{symbol}' can not be used when making a {}; recompile with {option}",
            row.name,
            self.output_name()
        );
        self.bad(section, relocation, what)
    }

    /// S and A of a branch: of the nearest stub to its target, if it does not reach that itself. A call
    /// of an undefined weak function goes on behind itself, as if the function returned at once
    /// (bfd/elf32-hppa.c, `final_link_relocate`).
    fn through_stub(
        &self,
        row: &Relocation,
        branch: klink_arch::Branch,
        target: SymbolValue,
        (output, place): (OutputId, u64),
        (symbol, addend): (u64, i64),
    ) -> (u64, i64) {
        if let (SymbolValue::Undefined { .. }, Value::PcRelative { bias }) = (target, row.value) {
            return (place, bias);
        }
        let to = symbol.wrapping_add_signed(addend.wrapping_add(branch.target_bias));
        let reaches = |to: u64| branch.reaches(to.wrapping_sub(place).cast_signed());
        if reaches(to) {
            return (symbol, addend);
        }
        match self.stubs.find(output, to, place, reaches) {
            Some(stub) => (stub, branch.target_bias.wrapping_neg()),
            None => (symbol, addend),
        }
    }

    /// Takes the global pointer out of an instruction whose symbol is not near it, then applies the
    /// address itself.
    fn apply_far(
        &self,
        row: &Relocation,
        rewrite: klink_arch::Rewrite,
        field: &mut [u8],
        formula: &Formula,
    ) -> Result<(), RelocError> {
        let instruction = row.field.read(self.arch.endian, field)?;
        if let Some(changed) = rewrite.rewrite(instruction) {
            row.field.write(self.arch.endian, field, changed)?;
        }
        row.as_far_from_gp().apply(self.arch.endian, field, formula)
    }

    /// S and A where the symbol is a merged section's: the entry that S + A is in counts then, not
    /// the section (bfd/elf.c, `_bfd_elf_rela_local_sym`).
    fn through_merges(
        &self,
        object: ObjectId,
        relocation: &RawRelocation,
        target: SymbolValue,
        addend: i64,
    ) -> (u64, i64) {
        let plain = (target.address(), addend);
        let Some((section, offset)) = self.merged_place(object, relocation.symbol) else {
            return plain;
        };
        let place = offset.wrapping_add_signed(addend);
        match self.values.in_section(section, place) {
            // All of the value is in S now: what is left of A is what a field selector may round.
            SymbolValue::Address { address, .. } => {
                (address.wrapping_sub(addend.cast_unsigned()), addend)
            }
            _ => plain,
        }
    }

    /// The merged section whose section symbol this is.
    #[inline]
    fn merged_place(&self, object: ObjectId, symbol: u32) -> Option<(SectionId, u64)> {
        let file = &self.resolved.objects[object];
        if symbol as usize >= file.first_global {
            return None;
        }
        let named = file.symbols.get(symbol as usize)?;
        if named.symbol_type != object::elf::STT_SECTION.0 {
            return None;
        }
        let (section, offset) = self.resolved.place_in_object(object, symbol)?;
        self.layout
            .merges
            .contains(section)
            .then_some((section, offset))
    }

    /// Where an emitted relocation against the section symbol of a merged section points: the
    /// output section's addend. `None` where nothing was merged.
    pub(super) fn merged_addend(
        &self,
        object: ObjectId,
        relocation: &RawRelocation,
    ) -> Option<i64> {
        let (section, offset) = self.merged_place(object, relocation.symbol)?;
        let (section, offset) = self
            .layout
            .merges
            .place(section, offset.wrapping_add_signed(relocation.addend));
        Some(
            self.layout
                .placements
                .offset(section)
                .wrapping_add(offset)
                .cast_signed(),
        )
    }

    fn segment_base(&self, target: SymbolValue) -> u64 {
        let is_code = target.output().is_some_and(|output| {
            let section = &self.layout.outputs.sections[output];
            section.traits.contains(Traits::CODE)
        });
        self.segment_bases[usize::from(!is_code)]
    }

    fn section_base(&self, target: SymbolValue) -> u64 {
        let output = target.output();
        output.map_or(0, |output| self.layout.outputs.sections[output].address)
    }

    fn is_far_from_gp(&self, target: SymbolValue) -> bool {
        match target.output() {
            Some(output) => self.layout.outputs.sections[output]
                .traits
                .contains(Traits::CODE),
            None => !matches!(target, SymbolValue::Absolute(_)),
        }
    }

    fn symbol_size(&self, object: ObjectId, symbol: u32) -> u64 {
        match self.resolved.global_of(object, symbol) {
            Some(global) => self.resolved.globals[global].size,
            None => {
                let symbols = &self.resolved.objects[object].symbols;
                symbols.get(symbol as usize).map_or(0, |symbol| symbol.size)
            }
        }
    }

    /// A relocation whose symbol is in a section that is not in the output: in debugging and unwind
    /// sections it is zeroed, elsewhere it is an error (bfd/elflink.c, `elf_link_input_bfd`).
    fn discarded(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
        row: &Relocation,
        field: &mut [u8],
    ) -> Result<(), Problem> {
        let input = self.resolved.section(section);
        if !excuses_discarded(input) {
            return Err(Problem::Error(crate::relocate::discarded_error(
                self.resolved,
                section,
                relocation,
            )));
        }
        let end = row.len().min(field.len());
        field[..end].fill(0);
        // A pair of zeros would end a list of ranges (bfd/reloc.c, `_bfd_clear_contents`).
        if input.name == b".debug_ranges" && end > 0 {
            let low = match self.arch.endian {
                klink_arch::Endian::Little => 0,
                klink_arch::Endian::Big => end - 1,
            };
            field[low] = 1;
        }
        Ok(())
    }

    fn bad(&self, section: SectionId, relocation: &RawRelocation, what: String) -> Problem {
        Problem::Error(bad_relocation(
            self.resolved,
            section,
            relocation.offset,
            what,
        ))
    }

    fn failed(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
        row: &Relocation,
        error: RelocError,
    ) -> Problem {
        let RelocError::OutOfRange { value, bits } = error else {
            return self.bad(section, relocation, format!("{}: {error}", row.name));
        };
        let (object, _) = self.resolved.section_place(section);
        Problem::Error(LinkError::OutOfRange(Box::new(OutOfRange {
            file: self.resolved.objects[object].name.clone(),
            symbol: self.symbol_name(object, relocation.symbol),
            value: value.cast_signed(),
            bits,
            section: String::from_utf8_lossy(self.resolved.section(section).name).into_owned(),
            offset: relocation.offset,
            nearest_island: None,
            remedy: if row.branch.is_some() {
                "compile with -ffunction-sections, so that a stub can stand nearer"
            } else {
                "move the sections nearer together, or compile for a larger code model"
            },
        })))
    }

    /// What messages call a symbol: a section symbol has its section's name.
    pub(super) fn symbol_name(&self, object: ObjectId, symbol: u32) -> String {
        let file = &self.resolved.objects[object];
        let Some(symbol) = file.symbols.get(symbol as usize) else {
            return "?".to_owned();
        };
        let name = match symbol.place {
            crate::input::SymbolPlace::Section(section)
                if symbol.symbol_type == object::elf::STT_SECTION.0 =>
            {
                file.sections[section as usize].name
            }
            _ => symbol.name,
        };
        String::from_utf8_lossy(name).into_owned()
    }
}

/// Whether references from a section to what is not there are no error.
fn excuses_discarded(input: &InputSection<'_>) -> bool {
    Traits::of(input).contains(Traits::DEBUGGING)
        || [&b".eh_frame"[..], b".gcc_except_table", b".sframe"].contains(&input.name)
        || input.name.starts_with(b".stab")
}

/// Whether the architecture's relocations have explicit addends.
pub(super) fn has_explicit_addends(arch: &Arch) -> bool {
    matches!(arch.addends, Addends::Rela)
}
