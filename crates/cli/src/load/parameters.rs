//! Parameters on the command line: `name=value`.

/// A parameter of a module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Parameter {
    /// Splits `name=value`; `None` if it is something else.
    pub(crate) fn parse(argument: &str) -> Option<Self> {
        let (name, value) = argument.split_once('=')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (!name.is_empty() && name.bytes().all(is_name)).then(|| Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// A module's command line: parameters with blanks between them, values with blanks in quotes
/// (`kernel/params.c`, next_arg).
pub(super) fn command_line(given: &[Parameter]) -> String {
    let quoted = |parameter: &Parameter| match parameter.value.contains(char::is_whitespace) {
        true => format!("{}=\"{}\"", parameter.name, parameter.value),
        false => parameter.to_string(),
    };
    given.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Parameter, command_line};

    #[test]
    fn only_names_make_parameters() {
        let parsed = Parameter::parse("dyndbg=+p=1").map(|p| (p.name, p.value));
        assert_eq!(parsed, Some(("dyndbg".into(), "+p=1".into())));
        assert_eq!(Parameter::parse("xfs"), None);
        assert_eq!(Parameter::parse("./a=b.ko"), None);
        assert_eq!(Parameter::parse("=b"), None);
    }

    #[test]
    fn blanks_are_quoted() {
        let given = ["a=1", "b=x y"].map(|text| Parameter::parse(text).unwrap());
        assert_eq!(command_line(&given), "a=1 b=\"x y\"");
    }
}
