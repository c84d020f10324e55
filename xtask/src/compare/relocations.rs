//! Relocations: for each section the same ones, by offset, type and target.
//!
//! A target is compared by what it is. A named symbol is the same as one of the
//! same name, section, value and binding, whatever its index. A reference by
//! section symbol and addend is the same place as a local symbol there, but
//! another *form*: it is reported as that, because psABIs exist where it is not
//! quite the same (PA-RISC's LR and RR selectors round the addend).

use super::elf::{Elf, Home, Relocation, SectionId};
use super::pair::{Identities, Pairing, Place};
use super::report::{Difference, Kind};
use super::sections::label;

const EM_386: u16 = 3;

/// The width in bytes of the field that a `SHT_REL` relocation keeps its addend
/// in (i386 psABI, "Relocation Types"; four bytes elsewhere, as in ARM's and
/// MIPS' kernel objects).
pub(super) fn field_width(machine: u16, r_type: u32) -> usize {
    const R_386_16: u32 = 20;
    const R_386_PC16: u32 = 21;
    const R_386_8: u32 = 22;
    const R_386_PC8: u32 = 23;
    match (machine, r_type) {
        (EM_386, R_386_16 | R_386_PC16) => 2,
        (EM_386, R_386_8 | R_386_PC8) => 1,
        _ => 4,
    }
}

/// The addend in the field of a `SHT_REL` relocation; `None` outside the section.
///
/// Where the psABI scatters an addend over an instruction, this is the whole
/// instruction: equal then still means equal.
fn implicit_addend(elf: &Elf<'_>, section: SectionId, relocation: &Relocation) -> Option<i64> {
    // In a linked file the field holds the value, which is compared with the bytes.
    if !elf.is_object() {
        return None;
    }
    let data = elf.section(section)?.data;
    let start = usize::try_from(relocation.offset).ok()?;
    let width = field_width(elf.header.machine, relocation.r_type);
    let field = data.get(start..start.checked_add(width)?)?;
    let fold = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
    let value = match elf.header.big_endian {
        true => field.iter().fold(0, fold),
        false => field.iter().rev().fold(0, fold),
    };
    let unused = 32 - 8 * u32::try_from(width).ok()?;
    Some((value.wrapping_shl(unused).cast_signed() >> unused).into())
}

/// What a relocation refers to, comparable between files.
#[derive(Debug)]
struct Target<'a> {
    form: Form<'a>,
    addend: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    /// No symbol, or one that the file does not have.
    Nothing,
    /// A section symbol; its value is 0 in all but odd files.
    Section(Place, u64),
    Named {
        name: &'a str,
        place: Place,
        value: u64,
        bind: u8,
    },
}

impl Target<'_> {
    /// Whether both refer to the same symbol. Its binding is compared with the symbols, and
    /// would otherwise be told again of each relocation.
    fn same_symbol(&self, other: &Target<'_>) -> bool {
        match (&self.form, &other.form) {
            (
                Form::Named {
                    name, place, value, ..
                },
                Form::Named {
                    name: other_name,
                    place: other_place,
                    value: other_value,
                    ..
                },
            ) => (name, place, value) == (other_name, other_place, other_value),
            (form, other) => form == other,
        }
    }

    /// The place that no other file can change: section and offset.
    fn fixed(&self) -> Option<(Place, u64)> {
        let (place, value) = match self.form {
            Form::Section(place, value) => (place, value),
            Form::Named {
                place: place @ Place::Section(_),
                value,
                bind: 0,
                ..
            } => (place, value),
            _ => return None,
        };
        Some((place, value.wrapping_add_signed(self.addend)))
    }
}

/// One file with what is needed to understand its relocations.
struct Side<'a> {
    elf: &'a Elf<'a>,
    identities: &'a Identities,
    section: SectionId,
}

impl<'a> Side<'a> {
    fn target(&self, relocation: &Relocation) -> Target<'a> {
        let form = match self.elf.symbol(relocation.symbol) {
            None => Form::Nothing,
            Some(_) if relocation.symbol.0 == 0 => Form::Nothing,
            Some(symbol) => {
                let place = self.identities.place(symbol.home);
                match symbol.is_section() {
                    true => Form::Section(place, symbol.value),
                    false => Form::Named {
                        name: &symbol.name,
                        place,
                        value: symbol.value,
                        bind: symbol.bind,
                    },
                }
            }
        };
        let implicit = || implicit_addend(self.elf, self.section, relocation).unwrap_or(0);
        Target {
            form,
            addend: relocation.addend.unwrap_or_else(implicit),
        }
    }

    /// The section's relocations, with offsets as if it were where `other`'s is: a
    /// section at another address is one difference, and not one for each relocation.
    fn relocations_as_in(&self, other: &Side<'_>) -> Vec<Relocation> {
        let (own, others) = (self.elf.base(self.section), other.elf.base(other.section));
        let mut relocations = self.elf.relocations_of(self.section);
        for relocation in &mut relocations {
            relocation.offset = relocation.offset.wrapping_sub(own).wrapping_add(others);
        }
        relocations
    }

    fn describe(&self, relocation: &Relocation) -> String {
        let target = self.target(relocation);
        let name = match self.elf.symbol(relocation.symbol) {
            None => format!("symbol {} (out of range)", relocation.symbol.0),
            Some(_) if relocation.symbol.0 == 0 => "no symbol".to_owned(),
            Some(symbol) if symbol.is_section() => match symbol.home {
                Home::Section(id) => format!("section {}", label(self.elf, id)),
                home => format!("section {home:?}"),
            },
            Some(symbol) => format!(
                "{} ({})",
                symbol.name,
                super::symbols::describe(self.elf, symbol)
            ),
        };
        format!(
            "type {}, {name}, addend {:#x}",
            relocation.r_type, target.addend
        )
    }
}

/// Compares the relocations of every section that both files have.
pub(super) fn compare(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    for &(id_a, id_b) in &pairing.pairs {
        let is_table = a.section(id_a).is_none_or(|s| s.is_relocations());
        if is_table {
            continue;
        }
        let side_a = Side {
            elf: a,
            identities: &pairing.a,
            section: id_a,
        };
        let side_b = Side {
            elf: b,
            identities: &pairing.b,
            section: id_b,
        };
        compare_section(&side_a, &side_b, found);
    }
}

fn compare_section(a: &Side<'_>, b: &Side<'_>, found: &mut Vec<Difference>) {
    let mut of_a = a.elf.relocations_of(a.section);
    let mut of_b = b.relocations_as_in(a);
    let offsets = |list: &[Relocation]| list.iter().map(|r| r.offset).collect::<Vec<_>>();
    let (order_a, order_b) = (offsets(&of_a), offsets(&of_b));
    // Stable: relocations of one field (RISC-V's ADD and SUB) keep their order.
    of_a.sort_by_key(|r| r.offset);
    of_b.sort_by_key(|r| r.offset);
    if order_a != order_b && offsets(&of_a) == offsets(&of_b) {
        let first = order_a.iter().zip(&order_b).position(|(a, b)| a != b);
        let first = first.unwrap_or(0);
        let show = |order: &[u64]| format!("{:#x}", order.get(first).copied().unwrap_or(0));
        let what = format!("order of relocations from number {first}");
        let difference = Difference::new(Kind::Order, what, show(&order_a), show(&order_b));
        found.push(difference.section(label(a.elf, a.section)));
    }
    let (mut rest_a, mut rest_b) = (of_a.as_slice(), of_b.as_slice());
    loop {
        match (rest_a.split_first(), rest_b.split_first()) {
            (None, None) => break,
            (Some((in_a, next_a)), Some((in_b, next_b))) if in_a.offset == in_b.offset => {
                compare_one(a, b, in_a, in_b, found);
                (rest_a, rest_b) = (next_a, next_b);
            }
            (Some((in_a, next_a)), other) if other.is_none_or(|(r, _)| in_a.offset < r.offset) => {
                report(
                    a,
                    Kind::RelocationMissing,
                    in_a,
                    (a.describe(in_a), none()),
                    found,
                );
                rest_a = next_a;
            }
            (_, Some((in_b, next_b))) => {
                report(
                    a,
                    Kind::RelocationExtra,
                    in_b,
                    (none(), b.describe(in_b)),
                    found,
                );
                rest_b = next_b;
            }
            // A relocation of A with none of B after it is handled above.
            (Some(_), None) => break,
        }
    }
}

fn none() -> String {
    "no relocation here".to_owned()
}

fn compare_one(
    a: &Side<'_>,
    b: &Side<'_>,
    in_a: &Relocation,
    in_b: &Relocation,
    found: &mut Vec<Difference>,
) {
    let (target_a, target_b) = (a.target(in_a), b.target(in_b));
    let kind = if in_a.r_type != in_b.r_type {
        Kind::RelocationType
    } else if target_a.same_symbol(&target_b) && target_a.addend == target_b.addend {
        return;
    } else if target_a.same_symbol(&target_b) {
        Kind::RelocationAddend
    } else if target_a.fixed().is_some() && target_a.fixed() == target_b.fixed() {
        Kind::Form
    } else {
        Kind::RelocationTarget
    };
    report(a, kind, in_a, (a.describe(in_a), b.describe(in_b)), found);
}

fn report(
    a: &Side<'_>,
    kind: Kind,
    relocation: &Relocation,
    (of_a, of_b): (String, String),
    found: &mut Vec<Difference>,
) {
    let offset = relocation.offset.wrapping_sub(a.elf.base(a.section));
    let difference = Difference::new(kind, "relocation", of_a, of_b);
    found.push(difference.at(a.elf, a.section, offset));
}
