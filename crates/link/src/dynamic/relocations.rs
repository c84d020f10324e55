//! Dynamic relocations: which static relocations leave one to the loader, in which order they
//! stand, and how they are written.
//!
//! Source: bfd/elfxx-x86.h (GENERATE_DYNAMIC_RELOCATION_P, COPY_INPUT_RELOC_P); bfd/elf32-hppa.c
//! (elf32_hppa_relocate_section); bfd/elflink.c (elf_link_sort_relocs).

use klink_arch::{Addends, Class, DynamicLinking};

use super::encode::{Encoder, Form};

/// What a relocation needs to know of its symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Whether references within the output go to this definition whatever else is loaded: the
    /// symbol is local, hidden, defined in an executable, or `-Bsymbolic` says so.
    pub(crate) is_bound: bool,
    /// Whether the value is absolute, not moved by loading.
    pub(crate) is_absolute: bool,
    /// Whether it is an undefined weak symbol that nothing at run time can define (no dynamic
    /// linker, or not of default visibility): its value is 0 for good.
    pub(crate) is_zero: bool,
}

/// What becomes of a static relocation in a position-independent output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is applied in the link, and nothing is left to the loader.
    Applied,
    /// The loader adds the load address to the value: a dynamic relocation of this type, without a
    /// symbol. The addend is the value; the link applies it too.
    Relative(u32),
    /// The loader adds the value of the output section's symbol: a dynamic relocation of this type
    /// with that symbol, the addend relative to the section.
    SectionRelative(u32),
    /// The loader applies it: a dynamic relocation of this type with the symbol.
    Symbolic(u32),
    /// It cannot be in such an output: "recompile with -fPIC".
    Refused,
}

/// What becomes of a static relocation of type `number` in a section with `SHF_ALLOC`. (In other
/// sections all are applied.)
pub(crate) fn fate(dynamic: &DynamicLinking, number: u32, target: Target) -> Fate {
    if dynamic.refuses(number) {
        return Fate::Refused;
    }
    let is_constant = target.is_zero || target.is_absolute && target.is_bound;
    let stays = dynamic.is_absolute(number) && !is_constant;
    if stays && target.is_bound {
        match dynamic.relative {
            Some(relative) if number == dynamic.pointer => Fate::Relative(relative),
            _ => Fate::SectionRelative(number),
        }
    } else if stays || !target.is_bound && !target.is_zero && dynamic.is_pc_relative(number) {
        Fate::Symbolic(number)
    } else {
        Fate::Applied
    }
}

/// What a dynamic relocation is for, in the order in which a loader is to meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RelocationClass {
    /// Needs a symbol.
    Normal,
    /// Needs none.
    Relative,
    /// Copies data.
    Copy,
    /// Calls a resolver.
    Indirect,
    /// Fills a PLT's slot.
    JumpSlot,
}

/// A dynamic relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DynamicRelocation {
    /// `r_offset`: the address of the field.
    pub(crate) place: u64,
    /// The symbol's index in `.dynsym`, or 0.
    pub(crate) symbol: u32,
    /// The type.
    pub(crate) number: u32,
    /// The addend; where dynamic relocations have none it is to be in the field.
    pub(crate) addend: i64,
}

impl DynamicRelocation {
    fn class(&self, dynamic: &DynamicLinking) -> RelocationClass {
        let relative = match dynamic.relative {
            Some(relative) => self.number == relative,
            None => self.symbol == 0,
        };
        if relative {
            RelocationClass::Relative
        } else if self.number == dynamic.jump_slot {
            RelocationClass::JumpSlot
        } else if self.number == dynamic.copy {
            RelocationClass::Copy
        } else if Some(self.number) == dynamic.irelative {
            RelocationClass::Indirect
        } else {
            RelocationClass::Normal
        }
    }
}

/// Sorts `relocations` as `-z combreloc` (the default) has them: relative ones first by place, then
/// by class, those of one symbol together, the symbol with the lowest place first. Returns how many
/// are relative: `DT_RELACOUNT`.
pub(crate) fn sort(dynamic: &DynamicLinking, relocations: &mut [DynamicRelocation]) -> u64 {
    let class = |relocation: &DynamicRelocation| relocation.class(dynamic);
    relocations.sort_by_key(|relocation| {
        let is_relative = class(relocation) == RelocationClass::Relative;
        (!is_relative, relocation.symbol, relocation.place)
    });
    let relative =
        relocations.partition_point(|relocation| class(relocation) == RelocationClass::Relative);
    let rest = &mut relocations[relative..];
    let mut keyed: Vec<(RelocationClass, u64, DynamicRelocation)> = Vec::with_capacity(rest.len());
    for of_symbol in rest.chunk_by(|a, b| a.symbol == b.symbol) {
        let lowest = of_symbol.first().map_or(0, |first| first.place);
        keyed.extend(of_symbol.iter().map(|one| (class(one), lowest, *one)));
    }
    keyed.sort_by_key(|&(class, lowest, relocation)| (class, lowest, relocation.place));
    for (slot, (_, _, relocation)) in rest.iter_mut().zip(keyed) {
        *slot = relocation;
    }
    relative as u64
}

/// Bytes of a dynamic relocation.
pub(crate) fn relocation_size(class: Class, addends: Addends) -> u64 {
    let words = match addends {
        Addends::Rel => 2,
        Addends::Rela => 3,
    };
    words * u64::from(class.address_bits() / 8)
}

/// Contents of a section of dynamic relocations.
pub(crate) fn encode(form: Form, addends: Addends, relocations: &[DynamicRelocation]) -> Vec<u8> {
    let size = relocation_size(form.class, addends) as usize * relocations.len();
    let mut table = Encoder::new(form, size);
    for relocation in relocations {
        table.address(relocation.place);
        let symbol = u64::from(relocation.symbol);
        let number = u64::from(relocation.number);
        table.address(match form.class {
            Class::Elf32 => symbol << 8 | number & 0xff,
            Class::Elf64 => symbol << 32 | number,
        });
        if addends == Addends::Rela {
            table.address(relocation.addend.cast_unsigned());
        }
    }
    table.into_bytes()
}
