use super::*;
use crate::options::{BuildId, DiscardLocals, Strip};

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
    assert!(options("-r --format binary a.o --format default b.o").inputs[0].binary);
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
        "'--stub-symbols' belongs to the module link: add --module"
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
        "-v -shared",
        "-v -z nosuch",
        "-v --pie",
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
    let mut names: Vec<&str> = OPTIONS.iter().flat_map(|row| row.names).copied().collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    let mut letters: Vec<&str> = OPTIONS.iter().flat_map(|row| row.short).copied().collect();
    letters.sort_unstable();
    assert!(
        letters.windows(2).all(|pair| pair[0] != pair[1]),
        "{letters:?}"
    );
}
