//! Licences, as the kernel reads them.

/// The values of `license=` that give a module the symbols of `EXPORT_SYMBOL_GPL`
/// (Linux, `include/linux/license.h`, license_is_gpl_compatible).
const GPL_COMPATIBLE: [&[u8]; 6] = [
    b"GPL",
    b"GPL v2",
    b"GPL and additional rights",
    b"Dual BSD/GPL",
    b"Dual MIT/GPL",
    b"Dual MPL/GPL",
];

/// Whether a module with this `license=` may use symbols of `EXPORT_SYMBOL_GPL`. None is none.
#[must_use]
pub fn is_gpl_compatible(license: Option<&[u8]>) -> bool {
    license.is_some_and(|license| GPL_COMPATIBLE.contains(&license))
}
