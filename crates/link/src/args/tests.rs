use super::*;
use crate::options::{BuildId, Definition, DiscardLocals, InputFormat, Strip};

fn options(line: &str) -> Options {
    match parse(line.split_whitespace().map(str::to_owned)) {
        Ok(Command::Link(options)) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    match parse(line.split_whitespace().map(str::to_owned)) {
        Err(error) => error.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_kernel_module_link_is_understood() {
    let options = options(
        "-r -m elf_x86_64 -z noexecstack --no-warn-rwx-segments --build-id=sha1 -T scripts/module.lds -o a.ko a.o a.mod.o",
    );
    assert!(options.relocatable());
    assert_eq!(options.emulation.as_deref(), Some("elf_x86_64"));
    assert_eq!(options.build_id, BuildId::Sha1);
    assert_eq!(
        options.scripts,
        [PathBuf::from("scripts/module.lds").into()]
    );
    assert_eq!(options.output, Some(PathBuf::from("a.ko")));
    assert_eq!(options.inputs.len(), 2);
}

#[test]
fn spellings_of_ld_are_accepted() {
    for line in [
        "-r -o out a.o",
        "-r -oout a.o",
        "-r --output=out a.o",
        "-r --output out a.o",
    ] {
        assert_eq!(options(line).output, Some(PathBuf::from("out")), "{line}");
    }
    for line in ["-r -melf_i386 a.o", "-r -m elf_i386 a.o"] {
        assert_eq!(
            options(line).emulation.as_deref(),
            Some("elf_i386"),
            "{line}"
        );
    }
    for line in ["-r -S a.o", "-r --strip-debug a.o", "-r -strip-debug a.o"] {
        assert_eq!(options(line).strip, Strip::Debug, "{line}");
    }
    assert_eq!(options("-r -X a.o").discard, DiscardLocals::CompilerMade);
    assert_eq!(options("-r -znoexecstack a.o").inputs.len(), 1);
    assert!(
        options("-r --format binary a.o --format default b.o").inputs[0].format
            == InputFormat::Binary
    );
}

#[test]
fn whole_archive_holds_for_what_follows() {
    let inputs =
        options("-r a.a --whole-archive b.a --no-whole-archive --start-group c.a --end-group")
            .inputs;
    assert_eq!(
        inputs
            .iter()
            .map(|input| input.whole_archive)
            .collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(
        inputs.iter().map(|input| input.group).collect::<Vec<_>>(),
        [None, None, Some(1)]
    );
}

#[test]
fn errors_name_the_option() {
    assert_eq!(
        error("-r --no-such-thing a.o"),
        "unrecognized option '--no-such-thing'; use --help for a list"
    );
    assert_eq!(
        error("-r --buildid a.o"),
        "unrecognized option '--buildid', did you mean '--build-id'?; use --help for a list"
    );
    assert_eq!(
        error("-r -z nosuch a.o"),
        "'nosuch' is no value for '-z'; it takes a keyword of GNU ld, such as noexecstack"
    );
    assert_eq!(error("-r -o"), "option '-o' needs a value");
    assert_eq!(
        error("-r --relocatable=1"),
        "option '--relocatable=1' takes no value"
    );
    assert_eq!(
        error("-r --stub-symbols a.o"),
        "'--stub-symbols' with -r belongs to the module link: add --module"
    );
    assert_eq!(
        error("--module a.o"),
        "'--module' makes relocatable output: add -r"
    );
    assert_eq!(
        error("-r --end-group"),
        "'--end-group' ends a group that was not started"
    );
}

#[test]
fn probing_says_whether_an_option_can_be_used() {
    for line in [
        "-v",
        "-v -z noexecstack",
        "-v --no-warn-rwx-segments",
        "-v --orphan-handling=warn",
    ] {
        match parse(line.split_whitespace().map(str::to_owned)) {
            Ok(Command::Print(text)) => assert!(text.starts_with("GNU ld ("), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for line in [
        "-v --no-such-thing",
        "-v --cref",
        "-v -z nosuch",
        "-v --fix-cortex-a53-843419",
        "-v --pic-veneer",
    ] {
        assert!(
            parse(line.split_whitespace().map(str::to_owned)).is_err(),
            "{line}"
        );
    }
}

#[test]
fn the_version_satisfies_the_kernels_script() {
    // scripts/ld-version.sh: the first two words are `GNU ld`, the last is the version.
    let line = version_line();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(&words[..2], ["GNU", "ld"]);
    assert!(
        words
            .last()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
    );
}

#[test]
fn no_name_stands_twice_in_the_table() {
    let names = table::rows().flat_map(|row| row.long_names().chain(row.letters()));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn every_option_that_is_shown_says_what_it_does() {
    for row in table::rows() {
        let shown = !row.help.is_empty();
        let works = !matches!(
            row.kind,
            Kind::Later(_) | Kind::LaterInFinal(_) | Kind::Ignored(_)
        );
        assert_eq!(shown, works, "{}", row.names);
    }
    let help = help();
    assert!(help.lines().all(|line| line.len() <= 120), "{help}");
}

#[test]
fn a_kernel_image_link_is_understood() {
    let options = options(
        "-m elf_x86_64 -z noexecstack --no-warn-rwx-segments --emit-relocs --discard-none \
         -z max-page-size=0x200000 --build-id=sha1 --orphan-handling=warn --script=vmlinux.lds \
         -o vmlinux --whole-archive vmlinux.a --no-whole-archive --start-group lib.a --end-group",
    );
    assert_eq!(options.output_kind, OutputKind::Executable);
    assert!(options.emit_relocations);
    assert_eq!(options.max_page_size, Some(0x20_0000));
    assert_eq!(options.discard, DiscardLocals::None);
    assert_eq!(options.warn_rwx_segments, Some(false));
    assert_eq!(options.executable_stack, Some(false));
    assert_eq!(options.not_yet, Vec::<String>::new());
}

#[test]
fn a_vdso_link_is_understood() {
    let options = options(
        "-m elf_x86_64 -soname linux-vdso.so.1 --no-undefined -z max-page-size=4096 -shared \
         --hash-style=both --build-id=sha1 --eh-frame-hdr -Bsymbolic -z noexecstack -T v.lds v.o",
    );
    assert_eq!(options.output_kind, OutputKind::Shared);
    assert_eq!(options.soname.as_deref(), Some("linux-vdso.so.1"));
    assert_eq!(options.hash_style, crate::options::HashStyle::Both);
    assert_eq!(options.symbolic, crate::options::Symbolic::All);
    assert!(options.eh_frame_hdr);
    assert_eq!(options.unresolved(), crate::options::Unresolved::Error);
    assert_eq!(options.inputs.len(), 1);
}

#[test]
fn kinds_of_output_exclude_relocatable_output() {
    for (line, kind) in [
        ("a.o", OutputKind::Executable),
        ("-pie a.o", OutputKind::Pie),
        ("-pie -no-pie a.o", OutputKind::Executable),
        ("-shared a.o", OutputKind::Shared),
        ("-Bshareable a.o", OutputKind::Shared),
        ("-G a.o", OutputKind::Shared),
        ("-G 0 a.o", OutputKind::Executable),
        ("-G0 -r a.o", OutputKind::Relocatable),
    ] {
        assert_eq!(options(line).output_kind, kind, "{line}");
    }
    for line in ["-r -shared a.o", "-pie -r a.o", "-r -G a.o"] {
        assert!(error(line).contains("-r"), "{line}");
    }
}

#[test]
fn addresses_are_hexadecimal_and_pages_are_not() {
    let options = options(
        "-Ttext 100 -Tdata=0x200 -Ttext-segment=400000 --section-start .x=8000 \
         --section-start=.x=9000 -zmax-page-size=4096 -z common-page-size=0x1000 a.o",
    );
    assert_eq!(options.section_start(".text"), Some(0x100));
    assert_eq!(options.segment_start("text"), Some(0x100));
    assert_eq!(options.section_start(".data"), Some(0x200));
    assert_eq!(options.section_start(".text-segment"), None);
    assert_eq!(options.segment_start("text-segment"), Some(0x40_0000));
    assert_eq!(options.section_start(".x"), Some(0x9000));
    assert_eq!(options.max_page_size, Some(4096));
    assert_eq!(options.common_page_size, Some(4096));
    for line in [
        "-Ttext 0xg a.o",
        "--section-start=.x a.o",
        "-z max-page-size=3 a.o",
    ] {
        assert!(error(line).contains("it takes"), "{line}");
    }
}

#[test]
fn definitions_keep_their_place_among_scripts() {
    let options = options("--defsym a=1 -T s.lds a.o --defsym=b=a+4 -T t.lds b.o");
    let definitions = options.definitions.iter();
    let definitions: Vec<_> = definitions
        .map(|definition| {
            let Definition {
                symbol,
                expression,
                scripts_before,
                ..
            } = definition;
            (symbol.as_str(), expression.as_str(), *scripts_before)
        })
        .collect();
    assert_eq!(definitions, [("a", "1", 0), ("b", "a+4", 1)]);
    let before: Vec<usize> = options
        .scripts
        .iter()
        .map(|script| script.inputs_before)
        .collect();
    assert_eq!(before, [0, 1]);
    assert!(error("--defsym=a a.o").contains("SYMBOL=EXPRESSION"));
}

#[test]
fn what_only_final_links_have_does_not_hinder_relocatable_ones() {
    for option in [
        "--multi-subspace",
        "-z ibt",
        "--fix-cortex-a53-843419",
        "--gc-sections",
    ] {
        assert_eq!(
            options(&format!("-r {option} a.o")).not_yet,
            Vec::<String>::new()
        );
    }
    for option in ["--multi-subspace", "-z ibt", "--fix-cortex-a53-843419"] {
        assert_eq!(options(&format!("{option} a.o")).not_yet, [option]);
    }
    assert_eq!(options("-r --cref a.o").not_yet, ["--cref"]);
}

#[test]
fn unresolved_symbols_are_errors_where_ld_has_them_so() {
    use crate::options::Unresolved::{Error, Ignored, Warning};
    for (line, wanted) in [
        ("a.o", Error),
        ("-pie a.o", Error),
        ("-shared a.o", Ignored),
        ("-shared -z defs a.o", Error),
        ("--warn-unresolved-symbols a.o", Warning),
        ("--unresolved-symbols=ignore-all a.o", Ignored),
        (
            "-shared --no-undefined --warn-unresolved-symbols a.o",
            Warning,
        ),
        ("-r a.o", Ignored),
    ] {
        assert_eq!(options(line).unresolved(), wanted, "{line}");
    }
}

#[test]
fn paths_need_not_be_text() {
    let name = OsStr::from_bytes(b"\xff.o");
    let arguments = [OsStr::new("-T"), name, name, OsStr::from_bytes(b"-o\xfe")];
    let Ok(Command::Link(options)) = parse(arguments) else {
        panic!("it is a link");
    };
    assert_eq!(options.scripts[0].path, PathBuf::from(name));
    assert_eq!(
        options.output,
        Some(PathBuf::from(OsStr::from_bytes(b"\xfe")))
    );
    assert!(matches!(&options.inputs[0].name, InputName::File(path) if path == name));
    assert!(parse([OsStr::from_bytes(b"--entry=\xff")]).is_err());
    assert!(parse([OsStr::from_bytes(b"--\xff")]).is_err());
}

#[test]
fn the_version_is_printed_beside_a_link() {
    assert!(options("-v a.o").print_version);
    assert!(options("-V a.o").print_version);
    assert!(!options("a.o").print_version);
}

#[test]
fn the_name_of_a_map_may_hold_that_of_the_output() {
    let map = |line: &str| options(line).print_map;
    let path = |name: &str| Some(Destination::Path(PathBuf::from(name)));
    assert_eq!(map("-r -o fred -Map=maps/%.txt a.o"), path("maps/fred.txt"));
    assert_eq!(map("-r -Map=% a.o"), path("a.out.map"));
    assert_eq!(map("-r -Map=plain a.o"), path("plain"));
}

#[test]
fn the_folder_of_system_files_is_printed() {
    let print = |line: &str| match parse(line.split_whitespace().map(str::to_owned)) {
        Ok(Command::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(print("--print-sysroot"), "\n");
    assert_eq!(print("--sysroot=/root --print-sysroot"), "/root\n");
}
