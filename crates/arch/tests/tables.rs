//! What must hold of every architecture's tables.

use klink_arch::{
    ARCHES, Arch, Class, CodeFill, Endian, Field, Overflow, Value, by_bfd_name, by_emulation,
    by_machine,
};

fn all_rows() -> impl Iterator<Item = (&'static Arch, &'static klink_arch::Relocation)> {
    ARCHES
        .into_iter()
        .flat_map(|arch| arch.relocations.iter().map(move |row| (arch, row)))
}

#[test]
fn every_number_finds_its_own_row_and_no_other() {
    for arch in ARCHES {
        let mut expected = arch.relocations.iter().peekable();
        for number in 0..1100 {
            let row = expected.next_if(|row| row.number == number);
            assert_eq!(arch.relocation(number), row, "{} {number}", arch.name);
        }
        assert_eq!(
            expected.next(),
            None,
            "{}: rows are not sorted by number",
            arch.name
        );
        assert_eq!(arch.relocation(u32::MAX), None);
    }
}

#[test]
fn names_are_unique_and_of_the_psabi() {
    for arch in ARCHES {
        let prefix = match arch.machine {
            15 => "R_PARISC_",
            62 => "R_X86_64_",
            3 => "R_386_",
            183 => "R_AARCH64_",
            21 => "R_PPC64_",
            machine => panic!("unknown machine {machine}"),
        };
        for row in arch.relocations {
            assert!(row.name.starts_with(prefix), "{}", row.name);
            assert_eq!(
                arch.relocation_by_name(row.name),
                Some(row),
                "{} twice",
                row.name
            );
            assert_eq!(row.class, arch.class, "{}", row.name);
        }
    }
}

#[test]
fn runs_hold_every_bit_of_a_field_once() {
    for (_, row) in all_rows() {
        let Field {
            name,
            bytes,
            bits,
            runs,
            ..
        } = row.field;
        let mut value = 0_u128;
        let mut instruction = 0_u128;
        for run in runs {
            for bit in 0..run.width {
                for (seen, bit) in [
                    (&mut value, run.from + bit),
                    (&mut instruction, run.to + bit),
                ] {
                    assert_eq!(*seen & 1 << bit, 0, "{name}: bit {bit} twice");
                    *seen |= 1 << bit;
                }
            }
        }
        assert_eq!(value, (1 << bits) - 1, "{name}: bits of the value");
        assert_eq!(instruction, u128::from(row.field.mask()), "{name}");
        assert!(
            instruction < 1 << (8 * bytes),
            "{name}: outside {bytes} bytes"
        );
    }
}

#[test]
fn only_markers_and_foreign_rows_write_nothing() {
    for (_, row) in all_rows() {
        match row.value {
            Value::Marker => assert!(row.is_empty(), "{}", row.name),
            Value::Foreign => {}
            _ => assert!([1, 2, 4, 8].contains(&row.len()), "{}", row.name),
        }
    }
}

#[test]
fn branches_reach_what_their_field_holds() {
    for (arch, row) in all_rows() {
        let Some(branch) = row.branch else { continue };
        assert!(row.is_pc_relative(), "{}", row.name);
        assert!(branch.min < 0 && branch.max > 0, "{}", row.name);
        if row.overflow == Overflow::Ignore {
            assert_eq!(
                arch.class,
                Class::Elf32,
                "{}: only a wrapping address",
                row.name
            );
            continue;
        }
        let step = 1 << row.field.shift;
        let furthest = [branch.min, branch.max];
        let too_far = [branch.min - step, branch.max + step];
        for (displacement, fits) in furthest
            .map(|far| (far, true))
            .into_iter()
            .chain(too_far.map(|far| (far, false)))
        {
            assert_eq!(
                branch.reaches(displacement),
                fits,
                "{} {displacement}",
                row.name
            );
            let values = klink_arch::Values {
                symbol: displacement.cast_unsigned(),
                addend: -branch.target_bias,
                ..Default::default()
            };
            let mut bytes = [0; 8];
            let result = row.apply(arch.endian, &mut bytes, &values);
            assert_eq!(
                result.is_ok(),
                fits,
                "{} {displacement}: {result:?}",
                row.name
            );
            if fits {
                let decoded = row.decode_branch(arch.endian, &bytes);
                assert_eq!(decoded, Some(displacement), "{}", row.name);
            }
        }
    }
}

#[test]
fn module_lists_are_sorted_and_name_rows() {
    for arch in ARCHES {
        let module = &arch.module;
        for list in [module.loadable, module.resolvable, module.reserving] {
            assert!(list.is_sorted(), "{}", arch.name);
            assert!(list.iter().all(|&number| arch.relocation(number).is_some()));
        }
        for row in arch.relocations {
            assert_eq!(
                module.loads(row.number),
                module.loadable.contains(&row.number)
            );
            if module.resolves(row.number) {
                assert!(
                    row.is_pc_relative(),
                    "{} depends on more than a distance",
                    row.name
                );
            }
            if module.reserving.contains(&row.number) {
                assert!(row.branch.is_some(), "{}", row.name);
            }
            if row.value == Value::Foreign {
                assert!(
                    !module.loads(row.number),
                    "{} would be refused here",
                    row.name
                );
            }
        }
    }
}

#[test]
fn loader_data_is_sorted_and_names_rows() {
    for arch in ARCHES {
        let load = &arch.load;
        if let Some(stubs) = &load.stubs {
            assert!(stubs.counted.is_sorted() && !stubs.kinds.is_empty());
            for &number in stubs.counted {
                let row = arch.relocation(number).unwrap();
                assert!(row.branch.is_some(), "{}", row.name);
                assert!(arch.module.loads(number), "{}", row.name);
            }
            assert!(stubs.align.is_power_of_two());
            for kind in stubs.kinds {
                let template = kind.template;
                assert!(
                    template.len() <= stubs.slot_bytes as usize,
                    "{}",
                    template.name
                );
                assert!(!kind.restores || load.after_call.is_some());
            }
        }
        if let Some(slots) = &load.slots {
            for list in [slots.slot_types, slots.descriptor_types] {
                assert!(list.is_sorted(), "{arch:?}");
                assert!(list.iter().all(|&number| arch.module.loads(number)));
            }
        }
        if let Some(erratum) = load.page_erratum {
            assert!(
                erratum
                    .types
                    .iter()
                    .all(|&number| arch.module.loads(number))
            );
            assert_eq!(
                erratum.template.len(),
                4 * erratum.register_shifts.len(),
                "{arch:?}"
            );
            let near = arch.relocation(erratum.near.number).unwrap();
            assert_eq!(near, erratum.near);
        }
        assert!(load.is_init(b".init.text") || load.init_sections.is_empty());
        assert!(!load.is_init(b".text"));
    }
}

#[test]
fn loader_formulas_are_where_the_loader_differs() {
    for (arch, row) in all_rows() {
        let differs = row.as_loader_reads() != *row;
        let expected = arch.machine == 15 && ["SECREL32", "SEGREL32"].contains(&&row.name[9..]);
        assert_eq!(differs, expected, "{} {}", arch.name, row.name);
    }
}

#[test]
fn architectures_are_found_by_each_of_their_names() {
    for arch in ARCHES {
        let found = by_machine(arch.machine, arch.class, arch.endian).unwrap();
        assert!(std::ptr::eq(found, arch));
        for name in arch.emulations {
            assert!(std::ptr::eq(by_emulation(name).unwrap(), arch), "{name}");
        }
        for name in arch.bfd_names {
            assert!(std::ptr::eq(by_bfd_name(name).unwrap(), arch), "{name}");
        }
    }
    assert!(by_machine(15, Class::Elf32, Endian::Little).is_none());
    assert!(by_machine(183, Class::Elf64, Endian::Big).is_none());
    assert!(by_emulation("elf32_x86_64").is_none());
    assert!(
        by_bfd_name("elf32-hppa").is_none(),
        "HP-UX's: another EI_OSABI"
    );
}

#[test]
fn code_fill_fills_any_gap_with_whole_instructions() {
    for arch in ARCHES {
        for len in 0..40 {
            let mut gap = vec![0xcc; len];
            arch.code_fill.fill(&mut gap);
            let CodeFill::Nops(nops) = arch.code_fill else {
                assert!(gap.iter().all(|&byte| byte == 0));
                continue;
            };
            let longest = nops.len();
            let mut rest = gap.as_slice();
            while !rest.is_empty() {
                let nop = nops[rest.len().min(longest) - 1];
                rest = rest
                    .strip_prefix(nop)
                    .unwrap_or_else(|| panic!("{gap:02x?}"));
            }
        }
    }
}

#[test]
fn only_arm_has_mapping_symbols() {
    for arch in ARCHES {
        let arm = arch.machine == 183;
        for name in ["$x", "$d.1"] {
            assert_eq!(arch.is_mapping_symbol(name), arm, "{} {name}", arch.name);
        }
        for name in ["$global$", "$$divU", "$dx", "x"] {
            assert!(!arch.is_mapping_symbol(name), "{} {name}", arch.name);
        }
    }
}

/// What a position-independent output holds is named in the psABI's rows, and the lists are sorted,
/// since they are searched by halving.
#[test]
fn dynamic_relocations_are_rows() {
    for arch in ARCHES {
        let Some(dynamic) = &arch.dynamic else {
            continue;
        };
        for list in [dynamic.absolute, dynamic.pc_relative, dynamic.refused] {
            assert!(list.is_sorted(), "{arch:?}");
            assert!(list.iter().all(|&number| arch.relocation(number).is_some()));
        }
        let name = |number| arch.relocation(number).map_or("", |row| row.name);
        assert!(name(dynamic.copy).ends_with("_COPY"), "{arch:?}");
        if let Some(relative) = dynamic.relative {
            assert!(name(relative).ends_with("_RELATIVE"));
            assert!(name(dynamic.glob_dat).ends_with("_GLOB_DAT"));
            assert!(name(dynamic.jump_slot).ends_with("_JUMP_SLOT"));
        }
        assert!(dynamic.is_absolute(dynamic.pointer));
        assert!(!dynamic.refuses(dynamic.pointer));
    }
}

/// Code about thread-local variables keeps its length, and the types that apply to it are rows that can be
/// applied.
#[test]
fn thread_relaxations_fit_their_code() {
    for arch in ARCHES {
        let Some(thread) = arch.thread else { continue };
        for relaxation in thread.relaxations {
            let name = arch.relocation(relaxation.number).map(|row| row.name);
            assert!(name.is_some(), "{arch:?} {}", relaxation.number);
            assert_eq!(relaxation.old.len(), relaxation.new.len(), "{name:?}");
            assert!(relaxation.before <= relaxation.old.len(), "{name:?}");
            for one in relaxation.moves {
                assert!(one.byte < relaxation.new.len(), "{name:?}");
                let kept = one.mask >> one.shift;
                assert_eq!(relaxation.new[one.byte] & kept, 0, "{name:?}: bits twice");
            }
            for &number in relaxation.call {
                assert!(arch.relocation(number).is_some(), "{name:?}");
            }
            let Some((number, at)) = relaxation.then else {
                continue;
            };
            let row = arch.relocation(number).unwrap();
            assert!(row.value != Value::Foreign, "{}", row.name);
            // A load's field stands behind what changes.
            assert!(at <= relaxation.new.len(), "{name:?}");
        }
    }
}

/// The thread pointer as Drepper's variants I and II have it.
#[test]
fn thread_pointers_are_where_the_variants_say() {
    use klink_arch::ThreadPointer::{End, Header};
    assert_eq!(Header(8).address(0x1000, 0x1014, 4), 0x1000 - 8);
    assert_eq!(Header(8).address(0x1000, 0x1014, 64), 0x1000 - 64);
    assert_eq!(End.address(0x1000, 0x1014, 4), 0x1014);
    assert_eq!(End.address(0x1000, 0x1014, 64), 0x1040);
}
