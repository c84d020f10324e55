//! What PA-RISC's Linux makes of a module.
//!
//! Source: Linux 6.1 `arch/parisc/kernel/module.c` (arch_mod_section_prepend, get_stub, get_got,
//! get_fdesc, apply_relocate_add).

use super::LONG_BRANCH;
use crate::{
    AddressSpace, LoaderPointer, LoaderSlots, LoaderStub, LoaderStubs, ModuleLoad, StubCount,
    StubNames, StubPlace, StubRelocation, StubSharing, StubTarget, StubTemplate,
};

/// One stub for each branch that is too far, and room for one for each branch.
pub(super) const LOAD32: ModuleLoad = ModuleLoad {
    stubs: Some(LoaderStubs {
        place: StubPlace::BeforeSections,
        slot_bytes: 8,
        align: 8,
        counted: &[12, 74],
        count: StubCount::Each,
        spare: 1,
        sharing: StubSharing::Never,
        kinds: &[LoaderStub {
            target: StubTarget::Any,
            only_far: true,
            names: StubNames::Any,
            template: &LONG_BRANCH,
            kernel_pointer: false,
            restores: false,
        }],
    }),
    global_pointer: LoaderPointer::Kernel("$global$"),
    refuses_zero_symbols: true,
    ..ModuleLoad::plain(AddressSpace::HPPA32)
};

/// `ldil L%x,%r1; ldo R%x(%r1),%r1; bve,n (%r1)`.
static DIRECT: StubTemplate = StubTemplate {
    name: "direct branch",
    code: &[
        0x20, 0x20, 0x00, 0x00, 0x34, 0x21, 0x00, 0x00, 0xe8, 0x20, 0xd0, 0x02,
    ],
    align: 4,
    relocations: &[StubRelocation::target(0, 2), StubRelocation::target(4, 6)],
};

/// `ldil L%x,%r1; ldo R%x(%r1),%r1; ldd 16(%r1),%r1; bve,n (%r1)`: x is a descriptor's address, `%dp`
/// stays.
static MILLICODE: StubTemplate = StubTemplate {
    name: "millicode call",
    code: &[
        0x20, 0x20, 0x00, 0x00, 0x34, 0x21, 0x00, 0x00, 0x50, 0x21, 0x00, 0x20, 0xe8, 0x20, 0xd0,
        0x02,
    ],
    align: 4,
    relocations: &[StubRelocation::target(0, 2), StubRelocation::target(4, 6)],
};

/// `ldd slot(%dp),%dp; ldd 16(%dp),%r1; bve (%r1); ldd 24(%dp),%dp`, the slot holding a descriptor's
/// address. Linux uses a shorter form of the first instruction, which means the same, for the first two
/// slots.
static DESCRIPTOR: StubTemplate = StubTemplate {
    name: "call through a descriptor",
    code: &[
        0x53, 0x7b, 0x00, 0x00, 0x53, 0x61, 0x00, 0x20, 0xe8, 0x20, 0xd0, 0x00, 0x53, 0x7b, 0x00,
        0x30,
    ],
    align: 4,
    relocations: &[StubRelocation::target(0, 103)],
};

/// Calls out of the module go through the module's slots to descriptors, and branches inside it that
/// are too far to their target.
pub(super) const LOAD64: ModuleLoad = ModuleLoad {
    stubs: Some(LoaderStubs {
        place: StubPlace::BeforeSections,
        slot_bytes: 16,
        align: 16,
        counted: &[74],
        count: StubCount::Each,
        spare: 1,
        sharing: StubSharing::Never,
        kinds: &[
            LoaderStub {
                target: StubTarget::Inside,
                only_far: true,
                names: StubNames::Any,
                template: &DIRECT,
                kernel_pointer: false,
                restores: false,
            },
            LoaderStub {
                target: StubTarget::Outside,
                only_far: false,
                names: StubNames::Prefix("$$"),
                template: &MILLICODE,
                kernel_pointer: false,
                restores: false,
            },
            LoaderStub {
                target: StubTarget::Outside,
                only_far: false,
                names: StubNames::Any,
                template: &DESCRIPTOR,
                kernel_pointer: false,
                restores: false,
            },
        ],
    }),
    global_pointer: LoaderPointer::Slots,
    slots: Some(LoaderSlots {
        slot_types: &[34, 38, 74],
        slot_bytes: 8,
        descriptor_types: &[64],
        descriptor_bytes: 32,
        function_offset: 16,
        pointer_offset: 24,
        align: 16,
    }),
    refuses_zero_symbols: true,
    ..ModuleLoad::plain(AddressSpace::HPPA64)
};
