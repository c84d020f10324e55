//! The comparisons of `cargo xtask compare`, for tests of other crates.

use crate::compare::{self, Kind, Options};

/// What of two ELF files differs in meaning, one difference a line; empty if nothing does.
///
/// `ignore` names the kinds of differences to leave out, as `cargo xtask compare --ignore` does.
///
/// # Errors
/// A file that cannot be read, or an unknown kind; the text says which.
pub fn differences(a: &[u8], b: &[u8], ignore: &[&str]) -> Result<String, String> {
    let kind = |name: &&str| <Kind as clap::ValueEnum>::from_str(name, false);
    let options = Options {
        ignore: ignore.iter().map(kind).collect::<Result<_, _>>()?,
    };
    let report = compare::compare(a, b, &options).map_err(|error| error.to_string())?;
    if report.is_equal() {
        return Ok(String::new());
    }
    report.render(20).map_err(|error| error.to_string())
}

/// What keeps `linked`, a module after the module link, from doing what `original`, the same module
/// as GNU ld linked it, does; empty if nothing, as `cargo xtask compare --prove` finds it.
///
/// # Errors
/// A file that cannot be read, or one of an architecture without a prover.
pub fn prove(original: &[u8], linked: &[u8]) -> Result<Vec<String>, String> {
    let proof = compare::prove::prove(original, linked).map_err(|error| error.to_string())?;
    Ok(proof.problems)
}

/// What is wrong with the form of an ELF file; empty if nothing.
pub fn check(file: &[u8]) -> Vec<String> {
    compare::check::check(file)
}
