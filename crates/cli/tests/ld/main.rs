//! `ld.klink`, run as a program: cases as data beside this file, each linked by GNU ld too.

mod case;
mod compressed;
mod expect;
mod final_link;
mod image;
mod kernel_scripts;
mod kernel_tables;
mod listing;
mod maps;
mod options;
mod programs;
mod stubs_run;
mod threads;
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

/// Final links, a folder for each part of the language.
mod image_cases {
    use crate::case::run_folder_with;
    use crate::final_link::final_link;

    macro_rules! folders {
        ($($name:ident)*) => {$(
            #[test]
            fn $name() {
                run_folder_with(concat!("image/", stringify!($name)), final_link);
            }
        )*};
    }

    folders! { sections placement patterns values symbols orphans segments options relocations kernel errors gc wrap }
}
