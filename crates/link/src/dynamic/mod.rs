//! What `-shared` and `-pie` outputs hold for a loader besides the inputs: dynamic symbols, their
//! names, hash tables and versions, the tags that lead to them, and dynamic relocations.
//!
//! Everything here is pure: names, numbers and addresses go in, bytes come out. Each table has two
//! steps, one on each side of layout. Before it: [`versions`] says which version each symbol gets
//! and which become local; [`strings`] and [`symbols`] number names and symbols and make what
//! depends on no address (`.dynstr`, `.hash`, `.gnu.hash`, `.gnu.version`, `.gnu.version_d` are
//! complete then); [`tags`] lists the tags, so that the size of `.dynamic` is known. After it,
//! [`symbols::symbol_table`], [`tags::Tags::bytes`] and [`relocations::encode`] put addresses in.
//!
//! Order is GNU ld's throughout: symbols stand in the order in which it walks its table of global
//! names ([`walk`]), names in the order in which it met them.

pub(crate) mod definitions;
pub(crate) mod encode;
pub(crate) mod hash;
pub(crate) mod relocations;
pub(crate) mod strings;
pub(crate) mod symbols;
pub(crate) mod tags;
pub(crate) mod versions;
pub(crate) mod walk;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
pub(crate) mod test_tools;
#[cfg(test)]
mod tests;
