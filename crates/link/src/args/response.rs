//! Response files: `@FILE` stands for the words in the file.

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
pub fn expand(arguments: impl IntoIterator<Item = String>) -> Result<Vec<String>, UsageError> {
    let mut expanded = Vec::new();
    let mut files = 0;
    for argument in arguments {
        expand_one(argument, 0, &mut files, &mut expanded)?;
    }
    Ok(expanded)
}

fn expand_one(
    argument: String,
    depth: usize,
    files: &mut usize,
    out: &mut Vec<String>,
) -> Result<(), UsageError> {
    let Some(path) = argument.strip_prefix('@') else {
        out.push(argument);
        return Ok(());
    };
    let error = |what: String| UsageError::Response {
        path: path.to_owned(),
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
    let text = match crate::input::read_path(std::path::Path::new(path)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            out.push(argument);
            return Ok(());
        }
        Err(source) => return Err(error(source.to_string())),
    };
    words(&text)
        .into_iter()
        .try_for_each(|word| expand_one(word, depth + 1, files, out))
}

/// Splits at white space, outside of single and double quotes; a backslash keeps the next character.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            _ if quote == Some(character) => quote = None,
            '\'' | '"' if quote.is_none() => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            _ if quote.is_none() && character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(
            words("a.o  b\\ c.o\n'd e.o' \"f'g\" ''"),
            ["a.o", "b c.o", "d e.o", "f'g", ""]
        );
    }
}
