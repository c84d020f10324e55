//! A module's life, from its file to its end, on every architecture and by every policy.

mod common;

use common::host::{dangling, init_ranges, is_write_xor_execute, placed};
use common::{ALL, Small, USER_HPPA, USER_X86_64, policies, prove};
use klink_module::{
    Blocks, Error, LoadError, ModuleFile, Modules, Policy, RegionKind, Rules, Why, load,
};

#[test]
fn every_branch_of_every_layout_goes_to_its_target() {
    for small in ALL {
        let (file, kernel) = (small.file(), small.kernel());
        for policy in policies(&file) {
            let plan = file.plan(&policy).unwrap();
            let mut linked = plan.link(placed(&plan, small.space()), &kernel).unwrap();
            let pointer = file.arch().load.global_pointer.symbol();
            let pointer = pointer.map(|_| small.kernel + 0x8000);
            let proof = prove::prove(&file, &mut linked, pointer);
            let proof = proof.unwrap_or_else(|error| panic!("{} {policy:?}: {error}", small.name));
            let (direct, through) = (proof.direct, proof.through_stubs);
            match small.name {
                "i386" => assert_eq!(direct + through, 0, "no relocation of it says branch"),
                // calls of local functions do not say that they are calls
                "x86_64" => assert_eq!(direct + through, 6, "{proof:?}"),
                _ => assert_eq!(direct + through, 8, "{}: {proof:?}", small.name),
            }
        }
    }
}

#[test]
fn no_table_points_at_freed_memory() {
    for small in ALL {
        for policy in policies(&small.file()) {
            let (mut host, mut modules) = (small.host(), Modules::new());
            let file = small.file();
            let plan = file.plan(&policy).unwrap();
            let placement = placed(&plan, small.space());
            let linked = plan.link(placement, &small.kernel()).unwrap();
            let live = linked.commit(&mut host, &mut modules).unwrap();
            let gone = init_ranges(&live);
            let keeps_init = policy.blocks == Blocks::One
                || !(policy.always_split_init || file.arch().load.is_init(b".init.text"));
            let mut live = live.discard_init(&mut host).unwrap();
            let found = dangling(&mut live, small.numbers(), &gone);
            assert_eq!(found, [""; 0], "{} {policy:?}", small.name);
            if keeps_init {
                assert_eq!(live.dropped_entries(), 0, "{} {policy:?}", small.name);
            } else {
                // one of the exception table, one of the bug table
                assert_eq!(live.dropped_entries(), 2, "{} {policy:?}", small.name);
                assert!(live.freed() > 0);
            }
            let names = live.sections().map(|section| section.name);
            let names: Vec<&[u8]> = names.collect();
            assert_eq!(names.contains(&&b".init.text"[..]), keeps_init);
            assert!(names.contains(&&b".exit.text"[..]) == policy.unload || keeps_init);
        }
    }
}

#[test]
fn exception_tables_are_sorted() {
    for small in ALL {
        let (mut host, mut modules) = (small.host(), Modules::new());
        let policy = Policy::packed(small.file().arch());
        let live = small.load(&policy, b"", &mut modules, &mut host).unwrap();
        let table = live
            .tables()
            .iter()
            .find(|table| table.name == "__ex_table")
            .unwrap();
        assert_eq!(table.len(), 2);
        let (_, memory) = live
            .blocks()
            .find(|(_, memory)| {
                memory.is_some_and(|m| {
                    (m.address..m.address + m.bytes.len() as u64).contains(&table.address)
                })
            })
            .unwrap();
        let memory = memory.unwrap();
        let start = (table.address - memory.address) as usize;
        let bytes = &memory.bytes[start..start + table.size as usize];
        let view = klink_tables::table::Table::new(
            table.form.unwrap(),
            small.numbers(),
            bytes,
            table.address,
        );
        assert!(view.is_sorted(), "{}", small.name);
    }
}

#[test]
fn steps_are_taken_in_linux_order() {
    let small = ALL[0];
    let (mut host, mut modules) = (small.host(), Modules::new());
    let policy = Policy::linux(small.file().arch());
    let live = small.load(&policy, b"", &mut modules, &mut host).unwrap();
    let before: Vec<String> = host.log.drain(..).collect();
    assert_eq!(
        before,
        [
            "protect Text rx",
            "protect Rodata r",
            "protect RoAfterInit rw",
            "protect Data rw",
            "protect InitText rx",
            "protect InitData rw",
            "protect PerCpu rw",
            "register 5",
            "init",
            "trimmed",
            "protect Text rx",
            "protect Rodata r",
            "protect RoAfterInit r",
            "protect Data rw",
            "protect PerCpu rw",
            "quiesce",
        ]
    );
    live.unload(&mut host, &mut modules).unwrap();
    assert_eq!(host.log, ["exit", "unregister 5", "quiesce"]);
    assert_eq!(modules.iter().count(), 0);
    assert!(modules.exports().is_empty());
}

#[test]
fn nothing_is_writable_and_executable() {
    assert!(RegionKind::ALL.into_iter().all(is_write_xor_execute));
}

#[test]
fn a_failed_init_is_undone() {
    let small = ALL[0];
    let (mut host, mut modules) = (small.host(), Modules::new());
    host.init_result = -19;
    let policy = Policy::linux(small.file().arch());
    let error = small
        .load(&policy, b"", &mut modules, &mut host)
        .unwrap_err();
    let LoadError::Module(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.errno(), -19);
    assert_eq!(
        host.log[host.log.len() - 3..],
        ["init", "unregister 5", "quiesce"]
    );
    assert_eq!(modules.iter().count(), 0);
    assert!(modules.exports().is_empty());
}

#[test]
fn modules_that_are_used_stay() {
    for (small, user) in [(ALL[0], USER_X86_64), (ALL[2], USER_HPPA)] {
        let (mut host, mut modules) = (small.host(), Modules::new());
        let policy = Policy::shared_islands(small.file().arch());
        let rules = Rules::default();
        let mut load = |bytes, modules: &mut Modules| {
            load(
                bytes,
                &rules,
                &policy,
                small.kernel(),
                b"",
                modules,
                &mut host,
            )
        };
        let missing = load(user, &mut modules).unwrap_err();
        assert_eq!(missing.to_string(), "Unknown symbol shared (err -2)");
        let first = load(small.bytes, &mut modules).unwrap();
        let again = load(small.bytes, &mut modules).unwrap_err();
        assert!(matches!(again, LoadError::Module(Error::Exists { .. })));
        let second = load(user, &mut modules).unwrap();
        assert_eq!(modules.get(second.id()).unwrap().uses(), [first.id()]);
        assert_eq!(modules.reference_count(first.id()), 1);
        let mut host = small.host();
        let (first, error) = first.unload(&mut host, &mut modules).unwrap_err();
        assert_eq!(error.to_string(), "Module small is in use by: user");
        assert_eq!(error.errno(), -11);
        second.unload(&mut host, &mut modules).unwrap();
        assert!(modules.hold(first.id()));
        let (first, error) = first.unload(&mut host, &mut modules).unwrap_err();
        assert!(matches!(error, Error::InUse { held: 1, .. }));
        modules.release(first.id());
        first.unload(&mut host, &mut modules).unwrap();
    }
}

#[test]
fn every_missing_symbol_is_reported_at_once() {
    let small = ALL[0];
    let file = small.file();
    let plan = file.plan(&Policy::linux(file.arch())).unwrap();
    let mut space = small.space();
    let placement = plan.allocate(|block| {
        Ok::<_, Error>(common::host::Simulated {
            address: space.place(block),
            bytes: vec![0; block.size as usize],
        })
    });
    let mut kernel = klink_module::SymbolTable::new();
    let all = small.kernel();
    use klink_module::{Export, Symbols};
    let at = |name: &str| all.export(name.as_bytes()).unwrap();
    kernel.insert(
        b"kernel_function",
        Export {
            crc: Some(1),
            ..at("kernel_function")
        },
    );
    kernel.insert(
        b"kernel_gpl",
        Export {
            namespace: b"SECRET",
            ..at("kernel_gpl")
        },
    );
    kernel.insert(
        b"far_function",
        Export {
            crc: Some(3),
            ..at("far_function")
        },
    );
    let error = plan.link(placement.unwrap(), &kernel).unwrap_err();
    let Error::Unresolved(unresolved) = &error else {
        panic!("{error}");
    };
    let why = |name: &str| &unresolved.iter().find(|of| of.symbol == name).unwrap().why;
    assert_eq!(unresolved.len(), 10);
    assert_eq!(
        why("kernel_function"),
        &Why::Version {
            wanted: 0xabcd_ef01,
            found: 1
        }
    );
    assert_eq!(why("kernel_gpl"), &Why::Namespace("SECRET".into()));
    assert_eq!(why("far_function"), &Why::NoVersion);
    assert_eq!(why("kernel_data"), &Why::Unknown);
    let text = error.to_string();
    assert!(
        text.contains("disagrees about version of symbol kernel_function"),
        "{text}"
    );
    assert!(
        text.contains("Unknown symbol kernel_data (err -2)"),
        "{text}"
    );
    assert!(
        text.contains("Unknown symbol kernel_gpl (err -22)"),
        "{text}"
    );
}

#[test]
fn out_of_reach_says_how_far() {
    let small = Small {
        kernel: 0x7fff_0000_0000,
        ..ALL[0]
    };
    let (mut host, mut modules) = (small.host(), Modules::new());
    let policy = Policy::linux(small.file().arch());
    let error = small
        .load(&policy, b"", &mut modules, &mut host)
        .unwrap_err();
    let text = error.to_string();
    let words = "relocation of symbol kernel_function is out of range (0x";
    assert!(text.starts_with(words), "{text}");
    assert!(text.contains(" in 32 bits) at .text (section "), "{text}");
}

#[test]
fn a_kernel_may_refuse_what_it_did_not_ask_for() {
    let file = ALL[0].file();
    let rules = |vermagic: &'static str| Rules {
        vermagic: Some(vermagic.as_bytes()),
        wants_this_module: true,
    };
    // with symbol versions, the version of the kernel does not count
    let taints = rules("5.10 SMP mod_unload modversions ")
        .check(&file)
        .unwrap();
    assert!(taints.is_empty());
    let error = rules("6.1.0 SMP preempt mod_unload modversions ")
        .check(&file)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "version magic '6.1.0 SMP mod_unload modversions ' should be '6.1.0 SMP preempt mod_unload modversions '"
    );
    let user = ModuleFile::parse(USER_X86_64).unwrap();
    assert_eq!(Rules::default().check(&user).unwrap().to_string(), "O");
}

#[test]
fn a_host_that_refuses_memory_gets_back_what_it_gave() {
    let small = ALL[0];
    let (mut host, mut modules) = (small.host(), Modules::new());
    host.limit = 0x1000;
    let policy = Policy::linux(small.file().arch());
    let error = small
        .load(&policy, b"", &mut modules, &mut host)
        .unwrap_err();
    assert!(matches!(error, LoadError::Host(_)), "{error}");
}

/// What is in a module's variable: its bytes, found by the symbol's name.
fn variable(
    small: &Small,
    live: &klink_module::Live<common::host::Simulated, klink_module::InitDiscarded>,
    name: &str,
    size: usize,
) -> Vec<u8> {
    use object::{Object, ObjectSection, ObjectSymbol};
    let object = object::File::parse(small.bytes).unwrap();
    let symbol = object
        .symbols()
        .find(|symbol| symbol.name() == Ok(name))
        .unwrap();
    let section = object
        .section_by_index(symbol.section_index().unwrap())
        .unwrap();
    let section = live
        .sections()
        .find(|live| Ok(live.name) == section.name_bytes())
        .unwrap();
    let address = section.address + symbol.address();
    let bytes = live.blocks().find_map(|(_, memory)| {
        let memory = memory?;
        let start = address.checked_sub(memory.address)? as usize;
        memory.bytes.get(start..start + size)
    });
    bytes.unwrap().to_vec()
}

#[test]
fn parameters_are_set_before_init() {
    for small in ALL {
        let number = |value: u64, size: usize| -> Vec<u8> {
            match small.numbers().endian {
                klink_tables::Endian::Little => value.to_le_bytes()[..size].to_vec(),
                klink_tables::Endian::Big => value.to_be_bytes()[8 - size..].to_vec(),
            }
        };
        let policy = Policy::linux(small.file().arch());
        let (mut host, mut modules) = (small.host(), Modules::new());
        let arguments =
            b"number=-3 list=1,-2,3 label=klink switch text=\"a b\" other=1 -- number=9";
        let mut live = small
            .load(&policy, arguments, &mut modules, &mut host)
            .unwrap();
        assert_eq!(live.unknown_parameters(), ["other"]);
        let get = |name, size| variable(&small, &live, name, size);
        assert_eq!(get("number", 4), number(-3_i64 as u64, 4));
        assert_eq!(get("list_count", 4), number(3, 4));
        assert_eq!(
            get("list", 8),
            [
                number(1, 2),
                number(-2_i64 as u64, 2),
                number(3, 2),
                number(0, 2)
            ]
            .concat()
        );
        assert_eq!(get("label", 8), *b"klink\0\0\0");
        assert_eq!(get("switch", 1), [1]);
        assert_eq!(get("text", small.word()), number(0x1000, small.word()));
        assert_eq!(host.strings, [b"a b"]);
        let shown = live.parameters(&host).into_iter();
        let mut shown: Vec<_> = shown.map(|of| (of.name, of.value)).collect();
        shown.sort();
        let expected = [
            ("label", "klink"),
            ("list", "1,-2,3"),
            ("number", "-3"),
            ("switch", "Y"),
            ("text", "a b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(shown, expected, "{}", small.name);
    }
}

#[test]
fn an_array_without_end_is_shown_as_far_as_sysfs_shows_it() {
    use object::{Object, ObjectSection, ObjectSymbol};
    const CLAIMED: u32 = 1 << 20;
    let small = ALL[0];
    let mut bytes = small.bytes.to_vec();
    let object = object::File::parse(small.bytes).unwrap();
    for (name, words) in [
        ("array", &[CLAIMED, 0][..]), // elements, and bytes of each
        ("list_count", &[CLAIMED]),
    ] {
        let mut symbols = object.symbols();
        let symbol = symbols.find(|symbol| symbol.name() == Ok(name)).unwrap();
        let section = object.section_by_index(symbol.section_index().unwrap());
        let (start, _) = section.unwrap().file_range().unwrap();
        let at = (start + symbol.address()) as usize;
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes[at..at + value.len()].copy_from_slice(&value);
    }
    let policy = Policy::linux(small.file().arch());
    let (mut host, mut modules) = (small.host(), Modules::new());
    let small = Small {
        bytes: bytes.leak(),
        ..small
    };
    let mut live = small.load(&policy, b"", &mut modules, &mut host).unwrap();
    let shown = live.parameters(&host);
    let list = shown.iter().find(|parameter| parameter.name == "list");
    let value = list.unwrap().value.as_deref().unwrap();
    assert!(
        value.starts_with("0,0,0") && value.len() < 2 * 4096,
        "{}",
        value.len()
    );
}

#[test]
fn wrong_parameters_are_worded_as_in_linux() {
    let small = ALL[0];
    let policy = Policy::linux(small.file().arch());
    for (arguments, words, errno) in [
        (
            "number=x",
            "`x' invalid for parameter `number' (err -22)",
            -22,
        ),
        (
            "number=99999999999",
            "`99999999999' invalid for parameter `number' (err -34)",
            -34,
        ),
        ("number", "`' invalid for parameter `number' (err -22)", -22),
        (
            "list=1,2,3,4",
            "`1,2,3,4' invalid for parameter `list' (err -22)",
            -22,
        ),
        (
            "label=toolongforit",
            "`toolongforit' too large for parameter `label' (err -28)",
            -28,
        ),
        (
            "switch=maybe",
            "`maybe' invalid for parameter `switch' (err -22)",
            -22,
        ),
    ] {
        let (mut host, mut modules) = (small.host(), Modules::new());
        let error = small
            .load(&policy, arguments.as_bytes(), &mut modules, &mut host)
            .unwrap_err();
        assert_eq!(error.to_string(), words);
        let LoadError::Module(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.errno(), errno);
        assert!(!host.log.contains(&"init".to_owned()));
        assert_eq!(host.log.last().map(String::as_str), Some("quiesce"));
    }
}

/// A module whose relocations of one section are those of another one instead.
fn retargeted(small: &Small, from: &[u8], to: &[u8]) -> Vec<u8> {
    let file = small.file();
    let [from, to] = [from, to].map(|name| file.find_section(name).unwrap().index() as u32);
    let relocating = |section: &klink_module::Section| matches!(section.kind, 4 | 9);
    let sections = file.sections().iter();
    let nth = sections
        .clone()
        .position(|section| relocating(section) && section.info == from);
    let mut bytes = small.bytes.to_vec();
    // ELF64, little-endian: e_shoff, and sh_info in a header of 64 bytes
    let headers = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let info = headers + 64 * nth.unwrap() + 44;
    bytes[info..info + 4].copy_from_slice(&to.to_le_bytes());
    bytes
}

#[test]
fn relocations_of_per_cpu_data_are_left_out_as_linux_leaves_them_out() {
    let small = ALL[0];
    let bytes = retargeted(&small, b".data..ro_after_init", b".data..percpu");
    let file = ModuleFile::parse(&bytes).unwrap();
    let section = file.find_section(b".data..percpu").unwrap();
    let template = file.contents(file.section(section).unwrap());
    let linux = Policy::linux(file.arch());
    let plan = file.plan(&linux).unwrap();
    let mut linked = plan
        .link(placed(&plan, small.space()), &small.kernel())
        .unwrap();
    assert_eq!(linked.section_bytes(section), template);
    let policy = Policy {
        relocates_per_cpu: true,
        ..linux
    };
    let plan = file.plan(&policy).unwrap();
    let linked = plan.link(placed(&plan, small.space()), &small.kernel());
    assert_ne!(linked.unwrap().section_bytes(section), template);
}

#[test]
fn a_kernel_has_no_thread_local_variables() {
    const TPOFF64: u32 = 18;
    let small = ALL[0];
    let file = small.file();
    let target = file.find_section(b".data..ro_after_init").unwrap();
    let mut sections = file.sections().iter();
    let relocations = sections
        .find(|section| section.kind == 4 && section.info == target.index() as u32)
        .unwrap();
    let start = file.contents(relocations).as_ptr().addr() - small.bytes.as_ptr().addr();
    let mut bytes = small.bytes.to_vec();
    // ELF64, little-endian: the low half of r_info
    bytes[start + 8..start + 12].copy_from_slice(&TPOFF64.to_le_bytes());
    let file = ModuleFile::parse(&bytes).unwrap();
    let plan = file.plan(&Policy::linux(file.arch())).unwrap();
    let linked = plan.link(placed(&plan, small.space()), &small.kernel());
    let error = linked.err().map(|error| error.to_string());
    assert!(
        error
            .as_ref()
            .is_some_and(|it| it.contains("R_X86_64_TPOFF64")),
        "{error:?}"
    );
}
