//! Error numbers with their names and what the C library calls them.
//!
//! The numbers are those of `include/uapi/asm-generic/errno-base.h`, which all architectures share.

/// Number, name, and `strerror` of glibc.
const KNOWN: &[(i32, &str, &str)] = &[
    (1, "EPERM", "Operation not permitted"),
    (2, "ENOENT", "No such file or directory"),
    (5, "EIO", "Input/output error"),
    (8, "ENOEXEC", "Exec format error"),
    (11, "EWOULDBLOCK", "Resource temporarily unavailable"),
    (12, "ENOMEM", "Cannot allocate memory"),
    (16, "EBUSY", "Device or resource busy"),
    (17, "EEXIST", "File exists"),
    (19, "ENODEV", "No such device"),
    (22, "EINVAL", "Invalid argument"),
    (28, "ENOSPC", "No space left on device"),
    (34, "ERANGE", "Numerical result out of range"),
    (38, "ENOSYS", "Function not implemented"),
];

/// `ENOEXEC`.
pub(crate) const ENOEXEC: i32 = 8;
/// `ENOMEM`.
pub(crate) const ENOMEM: i32 = 12;

/// The name of an error number, of either sign: `ENOEXEC`.
pub(crate) fn name(errno: i32) -> &'static str {
    find(errno).map_or("an error without a name", |known| known.1)
}

/// What modprobe says when the kernel answers `errno` to `init_module` (kmod, `tools/modprobe.c`).
pub(crate) fn words(errno: i32) -> &'static str {
    match errno.abs() {
        2 => "Unknown symbol in module, or unknown parameter",
        17 => "Module already in kernel",
        _ => find(errno).map_or("Unknown error", |known| known.2),
    }
}

fn find(errno: i32) -> Option<&'static (i32, &'static str, &'static str)> {
    KNOWN.iter().find(|known| known.0 == errno.abs())
}
