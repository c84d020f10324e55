//! Symbols that the command line puts others in the place of (`--wrap`), or demands
//! (`--require-defined`).

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::error::{LinkError, Result};
use crate::input::Storage;
use crate::options::Options;
use crate::resolve::{Definition, Resolved};

/// Which name a reference means: of SYMBOL, `__wrap_SYMBOL`; of `__real_SYMBOL`, SYMBOL. A definition
/// keeps its name, and references beside it mean it (bfd/linker.c, `bfd_wrapped_link_hash_lookup`).
pub(crate) fn wrapped_names<'a>(
    options: &Options,
    storage: &'a Storage,
) -> HashMap<&'a [u8], &'a [u8], RandomState> {
    let keep = |name: String| -> &'a [u8] { storage.names.alloc(name.into_bytes()) };
    let mut names = HashMap::default();
    for symbol in &options.wrap {
        let plain = keep(symbol.clone());
        names.insert(plain, keep(format!("__wrap_{symbol}")));
        names.insert(keep(format!("__real_{symbol}")), plain);
    }
    names
}

/// Checks that what `--require-defined` names is defined.
///
/// # Errors
/// [`LinkError::RequiredUndefined`] for each that is not.
pub(crate) fn check_required(options: &Options, resolved: &Resolved<'_>) -> Result<()> {
    let is_defined = |symbol: &str| {
        let global = resolved.global(symbol.as_bytes());
        global.is_some_and(|global| {
            let definition = resolved.globals[global].definition;
            !matches!(definition, Definition::Undefined { .. })
        })
    };
    let missing = options
        .require_defined
        .iter()
        .filter(|symbol| !is_defined(symbol))
        .map(|symbol| LinkError::RequiredUndefined {
            symbol: symbol.clone(),
        });
    LinkError::all(missing.collect())
}
