//! Version scripts: which version each symbol has, and which symbols become local.
//!
//! Source: bfd/linker.c (bfd_find_version_for_sym); bfd/elflink.c
//! (_bfd_elf_link_assign_sym_version); ld/ldlang.c (lang_vers_match, lang_register_vers_node,
//! lang_add_vers_depend).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_script::{Pattern, VersionNode, VersionPattern, VersionScript};

use super::definitions::{self, BASE_INDEX, Definition};
use super::strings::{StringId, Strings};

/// `VERSYM_HIDDEN`: not the version that a reference without one gets.
const HIDDEN: u16 = 0x8000;

/// Why a version script cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionError {
    /// A node without a name stands beside others.
    #[error("anonymous version tag cannot be combined with other version tags")]
    AnonymousWithOthers,
    /// Two nodes have one name.
    #[error("duplicate version tag `{0}'")]
    DuplicateTag(String),
    /// A pattern is global in one node and local in another.
    #[error("duplicate expression `{0}' in version information")]
    DuplicatePattern(String),
    /// A node depends on one that does not stand before it.
    #[error("unable to find version dependency `{0}'")]
    UnknownDependency(String),
    /// More nodes than an entry of `.gnu.version` can count.
    #[error("more than {MAX_NODES} version tags")]
    TooManyNodes,
    /// Symbols that nodes name and nothing defines (`--no-undefined-version`), each with its node.
    #[error("{}", undefined(.0))]
    Undefined(Vec<(String, String)>),
    /// A symbol has a version of its own (`name@version`) that no node has.
    #[error("version node not found for symbol {0}")]
    UnknownVersion(String),
}

fn undefined(all: &[(String, String)]) -> String {
    let lines = all.iter();
    let lines = lines.map(|(symbol, node)| format!("{symbol}: undefined version: {node}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Versions that `.gnu.version` can tell apart: 15 bits, without 0 (local) and the base version.
const MAX_NODES: usize = HIDDEN as usize - 2;

/// A node of a version script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// What a version script makes of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The node that it belongs to. `None`: none names it, or the script has none.
    pub(crate) node: Option<NodeId>,
    /// Whether it becomes local.
    pub(crate) local: bool,
    /// Its entry of `.gnu.version`.
    pub(crate) entry: u16,
}

/// All nodes of the version scripts and `VERSION` commands of a link.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    /// Empty for the anonymous node.
    name: String,
    globals: Patterns,
    locals: Patterns,
    /// In the order of their entries, which is not the script's.
    dependencies: Vec<NodeId>,
    /// Whether a symbol names this version itself.
    used: bool,
}

#[derive(Debug, Default)]
struct Patterns {
    /// Names without wildcards, and for each whether a symbol of that name is defined with this
    /// version in its own name.
    names: HashMap<Box<[u8]>, bool, RandomState>,
    wildcards: Vec<Pattern>,
}

impl Versions {
    /// Joins version scripts, in the order in which the link meets them.
    ///
    /// All patterns are matched against names as the objects have them: those of `extern "C++"`
    /// meet mangled names only where they are `*`.
    ///
    /// # Errors
    /// What GNU ld says of nodes that contradict each other.
    pub(crate) fn new<'s>(
        scripts: impl IntoIterator<Item = &'s VersionScript>,
    ) -> Result<Self, VersionError> {
        let mut versions = Self::default();
        for node in scripts.into_iter().flat_map(|script| &script.nodes) {
            versions.add(&node.value)?;
        }
        Ok(versions)
    }

    fn add(&mut self, node: &VersionNode) -> Result<(), VersionError> {
        let name = node.tag.as_ref().map_or("", |tag| &tag.value);
        // GNU ld builds this list from its end.
        let dependencies = node.dependencies.iter().rev();
        let dependencies = dependencies
            .map(|dependency| {
                let found = self.node_named(dependency.value.as_bytes());
                found.ok_or_else(|| VersionError::UnknownDependency(dependency.value.clone()))
            })
            .collect::<Result<_, _>>()?;
        if let Some(first) = self.nodes.first()
            && (name.is_empty() || first.name.is_empty())
        {
            return Err(VersionError::AnonymousWithOthers);
        }
        if self.nodes.len() == MAX_NODES {
            return Err(VersionError::TooManyNodes);
        }
        if self.node_named(name.as_bytes()).is_some() {
            return Err(VersionError::DuplicateTag(name.to_owned()));
        }
        let node = Node {
            name: name.to_owned(),
            globals: Patterns::new(&node.global),
            locals: Patterns::new(&node.local),
            dependencies,
            used: false,
        };
        for other in &self.nodes {
            for (here, there) in [
                (&node.globals, &other.locals),
                (&node.locals, &other.globals),
            ] {
                if let Some(twice) = here.shared_with(there) {
                    return Err(VersionError::DuplicatePattern(twice));
                }
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Whether there is no node at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Notes which symbols have a version in their own names: `is_defined` says whether the inputs
    /// define a symbol of that whole name (`name@version`, `name@@version`). A node that names
    /// such a symbol makes an unversioned one of the same name local. Called once, before
    /// [`assign`](Self::assign).
    pub(crate) fn note_versioned(&mut self, is_defined: impl Fn(&[u8]) -> bool) {
        for node in &mut self.nodes {
            for (name, versioned) in &mut node.globals.names {
                let with = |separator: &[u8]| {
                    is_defined(&[name, separator, node.name.as_bytes()].concat())
                };
                *versioned = with(b"@") || with(b"@@");
            }
        }
    }

    /// Refuses nodes that make names global which nothing defines (bfd/elflink.c,
    /// `bfd_elf_size_dynamic_sections`). Called behind [`note_versioned`](Self::note_versioned).
    ///
    /// # Errors
    /// [`VersionError::Undefined`].
    pub(crate) fn require_defined(
        &self,
        is_defined: impl Fn(&[u8]) -> bool,
    ) -> Result<(), VersionError> {
        let mut all = Vec::new();
        for node in &self.nodes {
            for (name, &is_versioned) in &node.globals.names {
                if !is_versioned && !is_defined(name) {
                    let name = String::from_utf8_lossy(name).into_owned();
                    all.push((name, node.name.clone()));
                }
            }
        }
        all.sort_unstable();
        match all.is_empty() {
            true => Ok(()),
            false => Err(VersionError::Undefined(all)),
        }
    }

    /// What becomes of a symbol that the output defines. `name` is whole, with its `@version` if
    /// it has one. (Undefined symbols have entry 1 and stay as they are.)
    ///
    /// # Errors
    /// [`VersionError::UnknownVersion`]. In an executable GNU ld adds a node instead.
    pub(crate) fn assign(&mut self, name: &[u8]) -> Result<Assignment, VersionError> {
        let Some(at) = name.iter().position(|&byte| byte == b'@') else {
            return Ok(self.find(name));
        };
        let (plain, version) = (&name[..at], &name[at + 1..]);
        let (version, hidden) = match version.strip_prefix(b"@") {
            Some(version) => (version, 0),
            None => (version, HIDDEN),
        };
        if version.is_empty() {
            return Ok(Assignment {
                node: None,
                local: false,
                entry: BASE_INDEX | hidden,
            });
        }
        let node = self.node_named(version).ok_or_else(|| {
            VersionError::UnknownVersion(String::from_utf8_lossy(name).into_owned())
        })?;
        self.nodes[node.0].used = true;
        let patterns = &self.nodes[node.0];
        Ok(Assignment {
            node: Some(node),
            local: !patterns.globals.matches(plain) && patterns.locals.matches(plain),
            entry: self.index(node) | hidden,
        })
    }

    /// What the patterns make of a symbol without a version of its own: a name is stronger than a
    /// wildcard, a wildcard than `*`, global than local; of equals the last node wins.
    fn find(&self, name: &[u8]) -> Assignment {
        let (mut global, mut local) = (None, None);
        let (mut any_global, mut any_local) = (None, None);
        let mut versioned = None;
        for (at, node) in self.nodes.iter().enumerate() {
            let id = Some(NodeId(at));
            if let Some(&has_versioned) = node.globals.names.get(name) {
                global = id;
                if has_versioned {
                    versioned = id;
                }
                break;
            }
            node.globals
                .match_wildcards(name, id, &mut global, &mut any_global);
            if node.locals.names.contains_key(name) {
                (local, global, any_global) = (id, None, None);
                break;
            }
            node.locals
                .match_wildcards(name, id, &mut local, &mut any_local);
        }
        if global.is_none() && local.is_none() {
            global = any_global;
        }
        let (node, is_local) = match global {
            Some(_) => (global, versioned == global),
            None => (local.or(any_local), true),
        };
        Assignment {
            node,
            local: is_local && node.is_some(),
            entry: node.map_or(BASE_INDEX, |node| self.index(node)),
        }
    }

    /// The version index of a node: the anonymous one's is that of the object itself.
    fn index(&self, node: NodeId) -> u16 {
        match self.nodes[node.0].name.as_str() {
            "" => BASE_INDEX,
            _ => BASE_INDEX + 1 + node.0 as u16,
        }
    }

    fn node_named(&self, name: &[u8]) -> Option<NodeId> {
        let at = self
            .nodes
            .iter()
            .position(|node| node.name.as_bytes() == name)?;
        Some(NodeId(at))
    }

    /// Names and version entries of the absolute symbols (`STT_OBJECT`, global, value 0) that the
    /// output defines, one for each version.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = (&str, u16)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| !node.name.is_empty())
            .map(|(at, node)| (node.name.as_str(), self.index(NodeId(at))))
    }

    /// What `.gnu.version_d` defines, `base` first: the soname, or the output file's name without
    /// folders. Adds the names to `.dynstr`, which has to be done after `base` was added as soname
    /// and before the names of the tags after it. Empty: no such section, and no `.gnu.version`.
    pub(crate) fn definitions<'a>(
        &'a self,
        base: &'a [u8],
        strings: &mut Strings<'a>,
    ) -> Vec<Definition<'a>> {
        if self.symbols().next().is_none() {
            return Vec::new();
        }
        let mut definitions = vec![Definition {
            name: base,
            string: strings.add(base),
            flags: definitions::FLAG_BASE,
            index: BASE_INDEX,
            dependencies: Vec::new(),
        }];
        let mut names: Vec<StringId> = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let string = strings.add(node.name.as_bytes());
            names.push(string);
            let is_weak = node.globals.is_empty() && node.locals.is_empty() && !node.used;
            let dependencies = node.dependencies.iter();
            definitions.push(Definition {
                name: node.name.as_bytes(),
                string,
                flags: if is_weak { definitions::FLAG_WEAK } else { 0 },
                index: self.index(NodeId(at)),
                dependencies: dependencies.map(|&NodeId(at)| names[at]).collect(),
            });
        }
        definitions
    }
}

impl Patterns {
    fn new(patterns: &[VersionPattern]) -> Self {
        let mut all = Self::default();
        for pattern in patterns {
            let pattern = &pattern.pattern.value;
            match literal_name(pattern) {
                Some(name) => {
                    all.names.insert(name.into_boxed_slice(), false);
                }
                None => all.wildcards.push(pattern.clone()),
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.wildcards.is_empty()
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.names.contains_key(name) || self.wildcards.iter().any(|pattern| pattern.matches(name))
    }

    /// Sets `some` to `node` where a wildcard other than `*` matches, and `any` where `*` stands.
    fn match_wildcards(
        &self,
        name: &[u8],
        node: Option<NodeId>,
        some: &mut Option<NodeId>,
        any: &mut Option<NodeId>,
    ) {
        for pattern in &self.wildcards {
            if pattern.is_any() {
                *any = node;
            } else if pattern.matches(name) {
                *some = node;
            }
        }
    }

    /// A pattern that both have, as it is written.
    fn shared_with(&self, other: &Self) -> Option<String> {
        let name = self
            .names
            .keys()
            .find(|&name| other.names.contains_key(name));
        let wildcard = self.wildcards.iter().map(Pattern::as_str).find(|pattern| {
            let mut others = other.wildcards.iter();
            others.any(|other| other.as_str() == *pattern)
        });
        name.map(|name| String::from_utf8_lossy(name).into_owned())
            .or_else(|| wildcard.map(str::to_owned))
    }
}

/// The one name that a pattern matches, if it has no wildcards but such as a backslash quotes.
/// Source: ld/ldlang.c, realsymbol.
fn literal_name(pattern: &Pattern) -> Option<Vec<u8>> {
    let text = pattern.as_str().as_bytes();
    if pattern.is_literal() {
        return Some(text.to_vec());
    }
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'?' | b'*' | b'[' => return None,
            b'\\' => name.push(*bytes.next()?),
            _ => name.push(byte),
        }
    }
    Some(name)
}
