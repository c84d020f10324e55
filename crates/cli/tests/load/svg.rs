//! Whether a file is well-formed XML, as far as klink writes it (XML 1.0, section 2.1).

/// What is wrong with it; `None`: nothing.
pub(super) fn problem(text: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    let mut elements = 0;
    while let Some(start) = rest.find('<') {
        if let Some(problem) = characters(&rest[..start]) {
            return Some(problem);
        }
        let Some(end) = rest[start..].find('>') else {
            return Some("a tag has no end".into());
        };
        let tag = &rest[start + 1..start + end];
        rest = &rest[start + end + 1..];
        if tag.starts_with('?') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> ends nothing"));
            }
            continue;
        }
        elements += 1;
        if let Some(problem) = attributes(tag.trim_end_matches('/')) {
            return Some(problem);
        }
        if !tag.ends_with('/') {
            open.push(tag.split([' ', '\n']).next()?);
        }
    }
    match (open.is_empty(), elements) {
        (false, _) => Some(format!("{open:?} have no end")),
        (true, 0) => Some("there is no element".into()),
        _ => characters(rest),
    }
}

/// Attributes have values in quotes.
fn attributes(tag: &str) -> Option<String> {
    let quotes = tag.matches('"').count();
    let equal = tag.matches("=\"").count();
    if quotes != 2 * equal {
        return Some(format!("<{tag}> has odd quotes"));
    }
    characters(tag)
}

/// An ampersand begins a reference, and control characters are not allowed.
fn characters(text: &str) -> Option<String> {
    if text
        .chars()
        .any(|c| c < ' ' && !matches!(c, '\n' | '\t' | '\r'))
    {
        return Some(format!("a control character in {text:?}"));
    }
    let bad = |(at, _): (usize, &str)| {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;"];
        !known
            .iter()
            .any(|reference| text[at..].starts_with(reference))
    };
    let found = text.match_indices('&').any(bad);
    found.then(|| format!("an ampersand in {text:?}"))
}
