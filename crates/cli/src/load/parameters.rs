//! Parameters on the command line: `name=value`.

use klink_module::ModuleFile;
use klink_tables::modinfo;

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

/// The names of those parameters that the module does not have: the kernel ignores them, loudly
/// (`kernel/module/main.c`, unknown_module_param_cb).
pub(super) fn unknown(file: &ModuleFile<'_>, given: &[Parameter]) -> Vec<String> {
    let dash = |byte: u8| if byte == b'-' { b'_' } else { byte };
    let same = |a: &[u8], b: &[u8]| a.iter().copied().map(dash).eq(b.iter().copied().map(dash));
    let has = |wanted: &Parameter| {
        modinfo::entries(file.modinfo())
            .filter(|entry| matches!(entry.key, b"parm" | b"parmtype"))
            .any(|entry| {
                let mut parts = entry.value.split(|&byte| byte == b':');
                same(parts.next().unwrap_or_default(), wanted.name.as_bytes())
            })
    };
    let unknown = given.iter().filter(|wanted| !has(wanted));
    unknown.map(|wanted| wanted.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::Parameter;

    #[test]
    fn only_names_make_parameters() {
        let parsed = Parameter::parse("dyndbg=+p=1").map(|p| (p.name, p.value));
        assert_eq!(parsed, Some(("dyndbg".into(), "+p=1".into())));
        assert_eq!(Parameter::parse("xfs"), None);
        assert_eq!(Parameter::parse("./a=b.ko"), None);
        assert_eq!(Parameter::parse("=b"), None);
    }
}
