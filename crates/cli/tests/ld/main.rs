//! `ld.klink`, run as a program: cases as data beside this file, each linked by GNU ld too.

mod case;
mod expect;
mod image;
mod kernel_scripts;
mod options;
mod stubs_run;
mod tools;

/// Plain `-r` links.
#[test]
fn relocatable() {
    case::run_folder("relocatable");
}

/// Module links.
#[test]
fn module() {
    case::run_folder("module");
}
