//! The lines of `link-commands.txt`: what a shell would make of them, as far as
//! kernel builds need it.

/// One recorded ld command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Line number in `link-commands.txt`, from 1.
    pub(crate) line: usize,
    /// The linker's name as recorded.
    pub(crate) program: String,
    /// Its arguments without the output file.
    pub(crate) args: Vec<String>,
    /// The output file, relative to the tree.
    pub(crate) output: String,
}

impl Link {
    /// Whether the link is relocatable (`-r`).
    pub(crate) fn is_relocatable(&self) -> bool {
        let spellings = ["-r", "-i", "--relocatable", "-relocatable"];
        self.args
            .iter()
            .any(|arg| spellings.contains(&arg.as_str()))
    }

    /// Whether this makes a `.ko` with the kernel's script for modules.
    pub(crate) fn is_module(&self) -> bool {
        let has_script = self
            .args
            .iter()
            .any(|arg| arg.ends_with("scripts/module.lds"));
        self.is_relocatable() && has_script && self.output.ends_with(".ko")
    }
}

/// All links of a `link-commands.txt`.
///
/// # Errors
/// A line that is no ld command with an output file, with its number.
pub(crate) fn parse(text: &str) -> Result<Vec<Link>, String> {
    let mut links = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let words = first_command(line).map_err(|why| format!("line {line_number}: {why}"))?;
        if words.is_empty() {
            continue;
        }
        let link = link(words, line_number);
        links.push(link.ok_or_else(|| format!("line {line_number}: no ld command with -o"))?);
    }
    Ok(links)
}

fn link(words: Vec<String>, line: usize) -> Option<Link> {
    let mut words = words.into_iter();
    let program = words.next()?;
    let mut args = Vec::new();
    let mut output = None;
    while let Some(word) = words.next() {
        if word == "-o" || word == "--output" {
            output = Some(words.next()?);
        } else if let Some(path) = word.strip_prefix("--output=") {
            output = Some(path.to_owned());
        } else {
            args.push(word);
        }
    }
    let output = output?;
    Some(Link {
        line,
        program,
        args,
        output,
    })
}

/// The words of a line's first command: what stands before an unquoted `;`,
/// `&`, `|` or a comment. Quotes and backslashes work as in a shell; nothing is
/// expanded.
fn first_command(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' | '&' | '|' => break,
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            '\\' => {
                let next = chars.next().ok_or("a backslash at the end")?;
                word.get_or_insert_default().push(next);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    quote: char,
    chars: &mut std::str::Chars<'_>,
    word: &mut String,
) -> Result<(), &'static str> {
    loop {
        match chars.next().ok_or("a quotation that does not end")? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => word.push(chars.next().ok_or("a backslash at the end")?),
            c => word.push(c),
        }
    }
}

/// Whether `text` matches a glob of `*` (any characters) and `?` (any one).
pub(crate) fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not match.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g + 1, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (g, t) = (g + 1, t + 1),
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (g, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_real_builds() {
        let text = "# comment\n\
            hppa-linux-gnu-ld -z noexecstack   -r -o net/llc/llc.o @net/llc/llc.mod \n\
            ld -r -m elf_x86_64  -T scripts/module.lds -o a/b.ko a/b.o a/b.mod.o;  true\n\
            ld -o vdso.so -shared 'odd name.o' && sh SRC/check.sh 'nm' x\n";
        let links = parse(text).expect("three links");
        assert_eq!(links.len(), 3);
        assert_eq!(links[0].line, 2);
        assert_eq!(
            links[0].args,
            ["-z", "noexecstack", "-r", "@net/llc/llc.mod"]
        );
        assert_eq!(links[0].output, "net/llc/llc.o");
        assert!(links[0].is_relocatable() && !links[0].is_module());
        assert!(links[1].is_module());
        assert_eq!(links[1].args.last().map(String::as_str), Some("a/b.mod.o"));
        assert_eq!(links[2].args, ["-shared", "odd name.o"]);
        assert!(!links[2].is_relocatable());
    }

    #[test]
    fn broken_lines_are_errors() {
        assert!(parse("ld -r a.o").is_err());
        assert!(parse("ld -r -o").is_err());
        assert!(parse("ld -r -o 'x").is_err());
    }

    #[test]
    fn globs() {
        assert!(matches("*", "fs/xfs/xfs.ko"));
        assert!(matches("*/xfs.?o", "fs/xfs/xfs.ko"));
        assert!(matches("fs/*xfs.ko", "fs/xfs/xfs.ko"));
        assert!(!matches("xfs", "fs/xfs/xfs.ko"));
        assert!(!matches("*.o", "fs/xfs/xfs.ko"));
    }
}
