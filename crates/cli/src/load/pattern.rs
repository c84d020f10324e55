//! Shell patterns, as aliases of modules are: `pci:v00008086d*sv*`, `fs-xfs`, `acpi*:[A-F]*`.

/// Whether `text` matches `pattern`, as `fnmatch` without flags says (POSIX, "Pattern Matching Notation").
/// Dashes and underscores outside brackets are one character.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // where to go on if what follows the last star does not fit
    let mut retry: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, read));
            continue;
        }
        if let Some(next) = one(pattern, at, text[read]) {
            (at, read) = (next, read + 1);
            continue;
        }
        let Some((behind_star, from)) = retry else {
            return false;
        };
        retry = Some((behind_star, from + 1));
        (at, read) = (behind_star, from + 1);
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

/// Where the pattern goes on behind what matches `byte`.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let dash = |byte: u8| if byte == b'-' { b'_' } else { byte };
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => in_brackets(pattern, at + 1, byte),
        b'\\' => (*pattern.get(at + 1)? == byte).then_some(at + 2),
        plain => (dash(plain) == dash(byte)).then_some(at + 1),
    }
}

fn in_brackets(pattern: &[u8], start: usize, byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(start), Some(b'!' | b'^'));
    let first = start + usize::from(negated);
    let mut at = first;
    let mut found = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return (found != negated).then_some(at + 1);
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("fs-xfs", "fs-xfs", true),
            ("fs-xfs", "fs_xfs", true),
            ("fs-xfs", "fs-xf", false),
            ("pci:v00008086d*sv*", "pci:v00008086d00001234sv0000", true),
            ("pci:v00008086d*sv*", "pci:v00008087d00001234sv0000", false),
            ("*", "", true),
            ("a*b*c", "abbbcbc", true),
            ("a*b*c", "abbbcb", false),
            ("x[0-9A-F]y", "xBy", true),
            ("x[0-9A-F]y", "xGy", false),
            ("x[!0-9]y", "xay", true),
            ("x[!0-9]y", "x1y", false),
            ("x[]]y", "x]y", true),
            ("x[1", "x1", false),
            ("x?z", "xyz", true),
            (r"x\*", "x*", true),
            (r"x\*", "xy", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
