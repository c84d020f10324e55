//! Scripts as data: what good ones mean, what bad ones are told.
//!
//! Each file of `good/` and `bad/` has its expectation in `snapshots/`.
//! After a wanted change: `INSTA_UPDATE=always cargo test -p klink-script`.

use std::fs;
use std::path::{Path, PathBuf};

use klink_script::{Source, parse};

fn sources(folder: &str) -> Vec<(String, Source)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name.clone(), Source::new(name, text))
        })
        .collect()
}

fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn good_scripts_mean_what_they_say() {
    for (name, source) in sources("good") {
        let script = match parse(&source) {
            Ok(script) => script,
            Err(error) => panic!("{}", error.render(&source, false)),
        };
        let printed = script.to_string();
        let again = parse(&Source::new("printed", printed.clone()));
        let again = again.unwrap_or_else(|error| panic!("{name}, printed: {error}\n{printed}"));
        assert_eq!(again.to_string(), printed, "{name} printed twice");
        let constructs: Vec<&str> = script.constructs().iter().map(|used| used.name).collect();
        check(
            &format!("good-{name}"),
            &format!("{printed}\nuses: {}", constructs.join(", ")),
        );
    }
}

#[test]
fn bad_scripts_are_told_where_what_and_what_to_do() {
    for (name, source) in sources("bad") {
        match parse(&source) {
            Ok(script) => panic!("{name} parsed:\n{script}"),
            Err(error) => check(&format!("bad-{name}"), &error.render(&source, false)),
        }
    }
}

/// The real scripts of a kernel build, when the corpus is there.
#[test]
fn the_kernels_own_scripts_parse() {
    let Some(corpus) = std::env::var_os("KLINK_CORPUS") else {
        eprintln!("SKIPPED the_kernels_own_scripts_parse: KLINK_CORPUS is not set");
        return;
    };
    let mut pending = vec![PathBuf::from(corpus)];
    let mut count = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() && !path.is_symlink() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "lds") {
            let text = fs::read_to_string(&path).unwrap();
            let source = Source::new(path.display().to_string(), text);
            let script = match parse(&source) {
                Ok(script) => script,
                Err(error) => panic!("{}", error.render(&source, false)),
            };
            let printed = script.to_string();
            let again = parse(&Source::new("printed", printed.clone())).unwrap();
            assert_eq!(
                again.to_string(),
                printed,
                "{} printed twice",
                path.display()
            );
            count += 1;
        }
    }
    if count == 0 {
        eprintln!("SKIPPED the_kernels_own_scripts_parse: no unpacked .lds under KLINK_CORPUS");
    }
}
