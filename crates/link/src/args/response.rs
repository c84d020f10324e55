//! Response files: `@FILE` stands for the words in the file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::UsageError;

/// How deep response files may name each other.
const MAX_DEPTH: usize = 32;

/// How many response files a command line may have: 32 levels that each name the next twice would
/// never end.
const MAX_FILES: usize = 10_000;

/// Replaces each `@FILE` by the words of that file. A file that does not exist leaves the argument
/// as it is, as in GNU ld (libiberty, `expandargv`).
///
/// # Errors
/// [`UsageError::Response`] if a file cannot be read or the files name each other without end.
pub fn expand(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Vec<OsString>, UsageError> {
    let mut expanded = Vec::new();
    let mut files = 0;
    for argument in arguments {
        expand_one(argument.into(), 0, &mut files, &mut expanded)?;
    }
    Ok(expanded)
}

fn expand_one(
    argument: OsString,
    depth: usize,
    files: &mut usize,
    out: &mut Vec<OsString>,
) -> Result<(), UsageError> {
    let Some(path) = argument.as_bytes().strip_prefix(b"@") else {
        out.push(argument);
        return Ok(());
    };
    let path = Path::new(OsStr::from_bytes(path));
    let error = |what: String| UsageError::Response {
        path: path.display().to_string(),
        what,
    };
    if depth == MAX_DEPTH {
        return Err(error(format!(
            "more than {MAX_DEPTH} response files name each other"
        )));
    }
    *files += 1;
    if *files > MAX_FILES {
        return Err(error(format!(
            "it is one of more than {MAX_FILES} response files"
        )));
    }
    let bytes = match crate::input::read_path(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            out.push(argument);
            return Ok(());
        }
        Err(source) => return Err(error(source.to_string())),
    };
    words(&bytes)
        .into_iter()
        .try_for_each(|word| expand_one(word, depth + 1, files, out))
}

/// Splits at white space, outside of single and double quotes; a backslash keeps the next byte.
fn words(text: &[u8]) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            _ if quote == Some(byte) => quote = None,
            b'\'' | b'"' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            _ if quote.is_none() && is_space(byte) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words.into_iter().map(OsString::from_vec).collect()
}

/// White space as C has it (libiberty, `ISSPACE`).
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b'
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(
            words(b"a.o  b\\ c.o\n'd e.o' \"f'g\" ''"),
            ["a.o", "b c.o", "d e.o", "f'g", ""]
        );
    }
}
