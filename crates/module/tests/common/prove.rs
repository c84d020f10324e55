//! Follows every branch of a linked module, through stubs, and sees where it ends. The relocations
//! are read by the crate `object`, not by klink.

use std::collections::HashMap;

use klink_arch::{Arch, Class, LoaderStub, Relocation, Selector, StubSymbol, Value};
use klink_module::{Linked, Memory, ModuleFile, SectionId, SymbolId};
use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget};

/// What the branches of a module do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proof {
    /// Branches that go to their target.
    pub(crate) direct: u64,
    /// Branches that go there through a stub.
    pub(crate) through_stubs: u64,
}

/// Follows the branches. Some stubs count from the kernel's global pointer.
pub(crate) fn prove<M: Memory>(
    file: &ModuleFile<'_>,
    linked: &mut Linked<'_, '_, '_, M>,
    kernel_pointer: Option<u64>,
) -> Result<Proof, String> {
    let arch = file.arch();
    let object = object::File::parse(file.bytes()).map_err(|error| error.to_string())?;
    let mut images: HashMap<u64, Vec<u8>> = HashMap::new();
    for block in linked.plan().blocks() {
        let memory = linked.memory(block.id).ok_or("a block")?;
        let address = memory.address();
        images.insert(address, memory.bytes().to_vec());
    }
    let mut proof = Proof::default();
    for section in object.sections() {
        let Some(base) = linked.section_address(SectionId::new(section.index().0 as u32)) else {
            continue;
        };
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                return Err("a relocation that is none of ELF".into());
            };
            let row = arch.relocation(r_type.0).ok_or("an unknown relocation")?;
            let Some(branch) = row.branch else {
                continue;
            };
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let place = base.wrapping_add(offset);
            let bytes = at(&images, place).ok_or("a branch outside")?;
            let symbol = object
                .symbol_by_index(index)
                .map_err(|error| error.to_string())?;
            let value = linked
                .symbol_address(SymbolId::new(index.0 as u32))
                .ok_or("a symbol")?;
            let addend = match relocation.has_implicit_addend() {
                true => {
                    let contents = section.data().map_err(|error| error.to_string())?;
                    let field = &contents[offset as usize..];
                    row.implicit_addend(arch.endian, field)
                        .map_err(|error| error.to_string())?
                }
                false => relocation.addend(),
            };
            let entry = match symbol.is_undefined() {
                true => 0,
                false => arch.local_entry_offset(other(&symbol)),
            };
            let wanted = value
                .wrapping_add_signed(addend)
                .wrapping_add_signed(branch.target_bias);
            let distance = row.decode_branch(arch.endian, bytes).ok_or("no branch")?;
            let reached = cut(arch, place.wrapping_add_signed(distance));
            if reached == cut(arch, wanted.wrapping_add(entry)) {
                proof.direct += 1;
                continue;
            }
            let through = through_stub(arch, &images, reached, kernel_pointer);
            if through != Some(cut(arch, wanted)) {
                return Err(format!(
                    "{}+{offset:#x}: branch to {} goes to {reached:#x} and then {through:x?}, not {wanted:#x}",
                    section.name().unwrap_or("?"),
                    symbol.name().unwrap_or("?"),
                ));
            }
            proof.through_stubs += 1;
        }
    }
    Ok(proof)
}

fn other<'d>(symbol: &impl ObjectSymbol<'d>) -> u8 {
    match symbol.flags() {
        object::SymbolFlags::Elf { st_other, .. } => st_other.0,
        _ => 0,
    }
}

fn cut(arch: &Arch, address: u64) -> u64 {
    match arch.class {
        Class::Elf32 => address & 0xffff_ffff,
        Class::Elf64 => address,
    }
}

fn at(images: &HashMap<u64, Vec<u8>>, address: u64) -> Option<&[u8]> {
    images.iter().find_map(|(&base, bytes)| {
        let start = usize::try_from(address.checked_sub(base)?).ok()?;
        bytes.get(start..).filter(|rest| !rest.is_empty())
    })
}

/// Where the stub at an address goes.
fn through_stub(
    arch: &Arch,
    images: &HashMap<u64, Vec<u8>>,
    address: u64,
    kernel_pointer: Option<u64>,
) -> Option<u64> {
    let bytes = at(images, address)?;
    let kinds = arch.load.stubs.as_ref()?.kinds;
    kinds
        .iter()
        .find_map(|kind| target_of(arch, kind, bytes, address, kernel_pointer))
}

/// Where a stub of one kind goes; `None` if it is no such.
fn target_of(
    arch: &Arch,
    kind: &LoaderStub,
    bytes: &[u8],
    address: u64,
    kernel_pointer: Option<u64>,
) -> Option<u64> {
    let template = kind.template;
    let code = bytes.get(..template.code.len())?;
    let mut plain = code.to_vec();
    let mut target = match kind.kernel_pointer {
        true => kernel_pointer?,
        false => 0,
    };
    for relocation in template.relocations {
        let row = arch.relocation(relocation.number)?;
        let offset = relocation.offset as usize;
        let word = row.field.read(arch.endian, &code[offset..]).ok()?;
        // such stubs carry the address too, for the kernel to read
        let for_show = kind.kernel_pointer && matches!(row.value, Value::Absolute);
        if relocation.against == StubSymbol::Target && !for_show {
            let place = address.wrapping_add(relocation.offset.into());
            target = target.wrapping_add(part(row, row.field.decode(word), place)?);
        }
        let empty = word & !row.field.mask();
        let original = row.field.read(arch.endian, &template.code[offset..]).ok()?;
        let restored = empty | original & row.field.mask();
        row.field
            .write(arch.endian, &mut plain[offset..], restored)
            .ok()?;
    }
    (plain == template.code).then_some(cut(arch, target))
}

/// What a field contributes to an address.
fn part(row: &Relocation, stored: i64, place: u64) -> Option<u64> {
    const PAGE: u64 = 0xfff;
    let stored = stored as u64;
    Some(match (row.value, row.selector) {
        (Value::Absolute, Selector::Full) => stored,
        (Value::Absolute, Selector::Left | Selector::LeftRounded) => stored << 11,
        (Value::Absolute, Selector::Right | Selector::RightRounded) => stored,
        (Value::Absolute, Selector::PageOffset) => stored & PAGE,
        (Value::GpRelative, Selector::Full | Selector::Adjusted) => stored,
        (Value::PageRelative, _) => (place & !PAGE).wrapping_add(stored),
        _ => return None,
    })
}
