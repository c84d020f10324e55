//! The one error type of the chores: a message for a person.
//!
//! Nothing in xtask reacts to *which* error occurred, so there is no enum; each
//! message names the file or program concerned and what to do about it.

use std::path::Path;

/// Why a chore could not be done, as text for a person.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
}

impl Failure {
    /// A failure with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// A failure to do `what` ("read", "create" …) with `path`.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {what} {}: {error}", path.display()))
    }
}

impl From<std::fmt::Error> for Failure {
    fn from(error: std::fmt::Error) -> Self {
        Self::new(error.to_string())
    }
}
