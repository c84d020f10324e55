//! Finding and parsing scripts, and finding inputs: scripts name inputs, and inputs may be scripts.

mod builtin;
mod insert;
mod named;
mod overlay;
mod sources;

use std::path::{Path, PathBuf};

use klink_script::{
    Command, Diagnostic, InputItem, MemoryItem, Name, Script, ScriptError, SectionItem, Source,
    Span, Spanned, Statement,
};

use named::NamedFile;
use sources::Included;
pub(crate) use sources::{Located, Sources};

use super::syntax_error;
use crate::error::{LinkError, Result};
use crate::input::{FileData, Storage, read_path};
use crate::options::{Input, InputFormat, InputName, Options};

/// How deep scripts may include each other; GNU ld's limit (ld/ldlex.l, `MAX_INCLUDE_DEPTH`).
const MAX_INCLUDE_DEPTH: usize = 10;

/// How many scripts a link may have. Ten levels that each include the next a hundred times would
/// never end.
const MAX_SCRIPTS: usize = 1000;

/// What the built-in script is called in messages.
const BUILT_IN: &str = "built-in script";

/// What the text of `--defsym` is called in messages.
const DEFSYM: &str = "--defsym";

/// An input file that was found and is no script.
pub(crate) struct LoadedInput<'a> {
    /// The file.
    pub file: &'a FileData,
    /// As it was named.
    name: String,
    /// `--whole-archive`.
    pub whole_archive: bool,
    /// `--format binary`, TARGET(binary).
    pub format: InputFormat,
    /// The `--start-group` or GROUP that it stands in.
    pub group: Option<u32>,
    /// Its number among the inputs of the command line, or that of the one that led to it.
    pub number: usize,
}

/// A command and the source that it stands in; a SECTIONS with one item, a MEMORY with one region.
struct Piece {
    source: usize,
    command: Spanned<Command>,
    /// How many pieces were read before it.
    number: usize,
}

type Pieces = Vec<Piece>;

/// Reads the scripts that `options` names, or the built-in one, and opens the inputs.
///
/// Inputs that are neither objects nor archives are scripts too, which count beside the others
/// (ld/ldlang.c, `load_symbols`).
///
/// # Errors
/// Files that cannot be found or read, and syntax errors, with their places.
pub(crate) fn load<'a>(
    options: &Options,
    storage: &'a Storage,
) -> Result<(Sources, Vec<LoadedInput<'a>>)> {
    let mut loader = Loader {
        options,
        sources: Sources::default(),
        pieces: Vec::new(),
        pending: Vec::new(),
        names: Vec::new(),
        startup: None,
        startups: 0,
        position: 0,
        folders: options.library_paths.clone(),
        groups: last_group(options),
        replaces_default: false,
    };
    loader.command_line()?;
    let mut inputs = loader.open_inputs(storage)?;
    loader.add_default(&mut inputs, storage)?;
    let named = named::named_files(&loader.pieces, &loader.sources);
    loader.add_named_files(&named);
    inputs.extend(loader.open_inputs(storage)?);
    named::put_first(&mut inputs, loader.startups, &named);
    loader.read_version_scripts()?;
    if let Err(insert) = insert::insert(&mut loader.pieces) {
        let diagnostic =
            Diagnostic::new("no such output section to insert at", insert.command.span)
                .help("INSERT names an output section of another script, or of the built-in one");
        return Err(loader.error(insert.source, diagnostic));
    }
    loader.sources.parse_order = loader.pieces.iter().map(|piece| piece.number).collect();
    loader.sources.scripts = scripts_of(loader.pieces);
    Ok((loader.sources, inputs))
}

fn last_group(options: &Options) -> u32 {
    let groups = options.inputs.iter().filter_map(|input| input.group);
    groups.max().unwrap_or(0)
}

/// Joins neighbours of one source.
fn scripts_of(pieces: Pieces) -> Vec<(usize, Script)> {
    let mut scripts: Vec<(usize, Script)> = Vec::new();
    for piece in pieces {
        match scripts.last_mut() {
            Some((source, script)) if *source == piece.source => {
                script.commands.push(piece.command);
            }
            _ => scripts.push((
                piece.source,
                Script {
                    commands: vec![piece.command],
                },
            )),
        }
    }
    scripts
}

/// An input yet to be found.
struct Pending {
    input: Input,
    /// For one that a script names: the source, the place, and the script's folder, which is
    /// searched first.
    from: Option<(usize, Span, PathBuf)>,
    /// How many scripts that were given as inputs led to it.
    depth: usize,
    /// See [`LoadedInput::number`].
    number: usize,
}

/// What holds for the inputs that a script names.
#[derive(Clone, Default)]
struct Context {
    whole_archive: bool,
    format: InputFormat,
    group: Option<u32>,
    depth: usize,
}

struct Loader<'o> {
    options: &'o Options,
    sources: Sources,
    pieces: Pieces,
    pending: Vec<Pending>,
    /// The inputs so far, as they were named.
    names: Vec<String>,
    /// The file of STARTUP.
    startup: Option<Pending>,
    /// How many inputs STARTUP put in front.
    startups: usize,
    /// How many inputs of the command line stand in front of what is read now.
    position: usize,
    /// `-L`, then SEARCH_DIR.
    folders: Vec<PathBuf>,
    groups: u32,
    /// Whether a `-T` script that has no INSERT stands for the built-in one.
    replaces_default: bool,
}

impl Loader<'_> {
    fn error(&self, source: usize, diagnostic: Diagnostic) -> LinkError {
        super::script_error(&self.sources, source, diagnostic)
    }

    /// Goes through `-T`, `--defsym` and inputs in their order.
    fn command_line(&mut self) -> Result<()> {
        let options = self.options;
        let mut inputs = options.inputs.iter().enumerate().map(given);
        self.add_definitions(0)?;
        for (number, script) in options.scripts.iter().enumerate() {
            let before = script.inputs_before.saturating_sub(self.position);
            self.position += before;
            self.pending.extend(inputs.by_ref().take(before));
            let first = self.pieces.len();
            let first_source = self.sources.sources.len();
            let path = self.find_script(&script.path);
            self.read_script(&path, &Context::default(), 0)?;
            let inserts = self.pieces[first..]
                .iter()
                .any(|piece| matches!(piece.command.value, Command::Insert { .. }));
            self.replaces_default |= !inserts;
            let read = first_source..self.sources.sources.len();
            let positions = read.map(|source| (source, script.inputs_before));
            self.sources.positions.extend(positions);
            self.add_definitions(number + 1)?;
        }
        self.pending.extend(inputs);
        Ok(())
    }

    /// Adds the `--defsym` that stand behind this many scripts.
    fn add_definitions(&mut self, scripts: usize) -> Result<()> {
        let last = self.options.scripts.len();
        for definition in &self.options.definitions {
            if definition.scripts_before.min(last) != scripts {
                continue;
            }
            let text = format!("{}={}", definition.symbol, definition.expression);
            let source = Source::new(DEFSYM, text);
            let assignment = klink_script::parse_assignment(&source)
                .map_err(|error| syntax_error(&source, &error))?;
            let span = assignment.target.span.to(assignment.value.span);
            self.sources.sources.push(source);
            let number = self.sources.sources.len() - 1;
            let position = definition.inputs_before;
            self.sources.positions.insert(number, position);
            self.add(number, Spanned::new(Command::Assign(assignment), span));
        }
        Ok(())
    }

    /// Opens the pending inputs; scripts among them bring more.
    fn open_inputs<'a>(&mut self, storage: &'a Storage) -> Result<Vec<LoadedInput<'a>>> {
        // The first to come is last.
        let mut waiting: Vec<Pending> = std::mem::take(&mut self.pending);
        waiting.reverse();
        let mut opened = Vec::with_capacity(waiting.len());
        while let Some(next) = waiting.pop() {
            self.open_input(next, storage, &mut opened)?;
            waiting.extend(self.pending.drain(..).rev());
        }
        if let Some(startup) = self.startup.take() {
            let mut first = Vec::new();
            self.open_input(startup, storage, &mut first)?;
            self.startups += first.len();
            opened.splice(0..0, first);
        }
        Ok(opened)
    }

    fn open_input<'a>(
        &mut self,
        pending: Pending,
        storage: &'a Storage,
        opened: &mut Vec<LoadedInput<'a>>,
    ) -> Result<()> {
        let input = &pending.input;
        self.position = pending.number;
        let path = self.find_input(&pending)?;
        let name = input_name(&input.name);
        self.names.push(name.clone());
        let file = storage.files.open(&path)?;
        if input.format == InputFormat::Default && looks_like_text(file.bytes()) {
            let context = Context {
                whole_archive: input.whole_archive,
                format: InputFormat::Default,
                group: input.group,
                depth: pending.depth + 1,
            };
            let text = String::from_utf8_lossy(file.bytes()).into_owned();
            let source = Source::new(path.display().to_string(), text);
            let commands = klink_script::parse(&source)
                .map_err(|error| not_a_script(&source, &error))?
                .commands;
            return self.add_script(source, commands, &context, 0);
        }
        opened.push(LoadedInput {
            file,
            name,
            whole_archive: input.whole_archive,
            format: input.format,
            group: input.group,
            number: pending.number,
        });
        Ok(())
    }

    /// Adds the script that is followed where no `-T` stands for it.
    fn add_default<'a>(
        &mut self,
        inputs: &mut Vec<LoadedInput<'a>>,
        storage: &'a Storage,
    ) -> Result<()> {
        if self.replaces_default {
            return Ok(());
        }
        if let Some(path) = &self.options.default_script {
            let path = self.find_script(path);
            self.read_script(&path, &Context::default(), 0)?;
            inputs.extend(self.open_inputs(storage)?);
            return Ok(());
        }
        let format = scripts_format(&self.pieces);
        let text = builtin::script(self.options, format, inputs, storage)?;
        let source = Source::new(BUILT_IN, text);
        let commands = parsed(&source, klink_script::parse)?.commands;
        self.add_script(source, commands, &Context::default(), 0)
    }

    /// Makes inputs of the files that patterns name and nothing else does.
    fn add_named_files(&mut self, named: &[NamedFile]) {
        for file in named {
            if self.names.contains(&file.name) {
                continue;
            }
            self.names.push(file.name.clone());
            self.pending.push(Pending {
                input: Input::file(&file.name),
                from: Some((file.source, file.span, PathBuf::new())),
                depth: 0,
                number: usize::MAX,
            });
        }
    }

    fn read_version_scripts(&mut self) -> Result<()> {
        for path in &self.options.version_scripts {
            let source = self.read(&self.find_script(path))?;
            let script = parsed(&source, klink_script::parse_version_script)?;
            let number = self.add_source(source);
            self.sources.version_scripts.push((number, script));
        }
        for path in &self.options.dynamic_lists {
            let source = self.read(&self.find_script(path))?;
            let script = parsed(&source, klink_script::parse_dynamic_list)?;
            let number = self.add_source(source);
            self.sources.dynamic_lists.push((number, script));
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Source> {
        let bytes = read_path(path).map_err(|source| LinkError::Io {
            action: "open linker script",
            path: path.to_path_buf(),
            source,
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Source::new(path.display().to_string(), text))
    }

    fn add_source(&mut self, source: Source) -> usize {
        self.sources.sources.push(source);
        self.sources.sources.len() - 1
    }

    fn read_script(&mut self, path: &Path, context: &Context, depth: usize) -> Result<()> {
        let source = self.read(path)?;
        let commands = parsed(&source, klink_script::parse)?.commands;
        self.add_script(source, commands, context, depth)
    }

    fn add_script(
        &mut self,
        source: Source,
        commands: Vec<Spanned<Command>>,
        context: &Context,
        depth: usize,
    ) -> Result<()> {
        let number = self.add_source(source);
        let mut context = context.clone();
        for command in commands {
            self.command(number, command, &mut context, depth)?;
        }
        Ok(())
    }

    fn command(
        &mut self,
        source: usize,
        command: Spanned<Command>,
        context: &mut Context,
        depth: usize,
    ) -> Result<()> {
        let span = command.span;
        match command.value {
            Command::Include(name) => {
                let path = self.included(source, &name, depth)?;
                return self.read_script(&path, context, depth + 1);
            }
            Command::Sections(items) => {
                return items
                    .into_iter()
                    .try_for_each(|item| self.section_item(source, item, depth));
            }
            Command::Memory(items) => {
                return items
                    .into_iter()
                    .try_for_each(|item| self.memory_item(source, item, depth));
            }
            // What is done here does not come again.
            Command::Input(items) => self.name_inputs(source, &items, context),
            Command::Group(items) => {
                let outer = context.group;
                if outer.is_none() {
                    self.groups += 1;
                    context.group = Some(self.groups);
                }
                self.name_inputs(source, &items, context);
                context.group = outer;
            }
            Command::Startup(name) => {
                if self.startup.is_some() {
                    let diagnostic = Diagnostic::new("more than one STARTUP", span);
                    return Err(self.error(source, diagnostic));
                }
                let file = InputName::File(PathBuf::from(&name.value));
                self.startup = Some(self.named(source, name.span, file, context));
            }
            Command::SearchDir(name) if !self.options.nostdlib => {
                let folder = self.in_sysroot(Path::new(&name.value));
                self.folders.push(folder);
            }
            Command::SearchDir(_) => {}
            Command::Target(name) => {
                context.format = match name.value.as_str() {
                    "binary" => InputFormat::Binary,
                    _ => InputFormat::Default,
                };
            }
            Command::Output(name) => self.sources.output = Some(name),
            _ => self.add(source, command),
        }
        Ok(())
    }

    fn add(&mut self, source: usize, command: Spanned<Command>) {
        self.pieces.push(Piece {
            source,
            command,
            number: self.pieces.len(),
        });
    }

    fn section_item(
        &mut self,
        source: usize,
        item: Spanned<SectionItem>,
        depth: usize,
    ) -> Result<()> {
        match &item.value {
            SectionItem::Include(name) => {
                let path = self.included(source, name, depth)?;
                let text = self.read(&path)?;
                let items = parsed(&text, klink_script::parse_section_items)?;
                let number = self.add_source(text);
                return items
                    .into_iter()
                    .try_for_each(|item| self.section_item(number, item, depth + 1));
            }
            SectionItem::Output(output) => self.statements(source, &output.statements, depth)?,
            SectionItem::Overlay(overlay) => {
                for section in &overlay.sections {
                    self.statements(source, &section.value.statements, depth)?;
                }
                if self.options.relocatable() {
                    self.add(
                        source,
                        Spanned::new(Command::Sections(vec![item.clone()]), item.span),
                    );
                    return Ok(());
                }
                if let Some(command) = overlay::no_cross_refs(overlay) {
                    self.add(source, Spanned::new(command, item.span));
                }
                for item in overlay::items(overlay) {
                    let span = item.span;
                    self.add(source, Spanned::new(Command::Sections(vec![item]), span));
                }
                return Ok(());
            }
            _ => {}
        }
        let span = item.span;
        self.add(source, Spanned::new(Command::Sections(vec![item]), span));
        Ok(())
    }

    fn memory_item(
        &mut self,
        source: usize,
        item: Spanned<MemoryItem>,
        depth: usize,
    ) -> Result<()> {
        if let MemoryItem::Include(name) = &item.value {
            let path = self.included(source, name, depth)?;
            let text = self.read(&path)?;
            let items = parsed(&text, klink_script::parse_memory_items)?;
            let number = self.add_source(text);
            return items
                .into_iter()
                .try_for_each(|item| self.memory_item(number, item, depth + 1));
        }
        let span = item.span;
        self.add(source, Spanned::new(Command::Memory(vec![item]), span));
        Ok(())
    }

    /// Reads what output sections include.
    fn statements(
        &mut self,
        source: usize,
        statements: &[Spanned<Statement>],
        depth: usize,
    ) -> Result<()> {
        for statement in statements {
            let Statement::Include(name) = &statement.value else {
                continue;
            };
            let path = self.included(source, name, depth)?;
            let text = self.read(&path)?;
            let statements = parsed(&text, klink_script::parse_statements)?;
            let number = self.add_source(text);
            self.statements(number, &statements, depth + 1)?;
            self.sources.included.insert(
                (source, statement.span),
                Included {
                    source: number,
                    statements,
                },
            );
        }
        Ok(())
    }

    /// Where the file of an INCLUDE is.
    fn included(&self, source: usize, name: &Name, depth: usize) -> Result<PathBuf> {
        let what = if depth == MAX_INCLUDE_DEPTH {
            "scripts include each other too deeply"
        } else if self.sources.sources.len() >= MAX_SCRIPTS {
            "more scripts are included than a link may have"
        } else {
            return Ok(self.find_script(Path::new(&name.value)));
        };
        Err(self.error(source, Diagnostic::new(what, name.span)))
    }

    /// A script that is not where it is named is looked for in the `-L` folders (ld/ldfile.c,
    /// `ldfile_find_command_file`).
    fn find_script(&self, path: &Path) -> PathBuf {
        let elsewhere = || {
            let mut candidates = self.folders.iter().map(|folder| folder.join(path));
            candidates.find(|path| path.exists())
        };
        let elsewhere = if path.exists() { None } else { elsewhere() };
        elsewhere.unwrap_or_else(|| path.to_path_buf())
    }

    fn name_inputs(&mut self, source: usize, items: &[InputItem], context: &Context) {
        for item in items {
            let (name, input) = match item {
                InputItem::File(name) => (name, InputName::File(PathBuf::from(&name.value))),
                InputItem::Library(name) => (name, InputName::Library(name.value.clone())),
                // What it says about shared objects means nothing for objects and archives.
                InputItem::AsNeeded(items) => {
                    self.name_inputs(source, items, context);
                    continue;
                }
            };
            let pending = self.named(source, name.span, input, context);
            self.pending.push(pending);
        }
    }

    fn named(&self, source: usize, span: Span, name: InputName, context: &Context) -> Pending {
        let script = Path::new(&self.sources.sources[source].name);
        let folder = script.parent().unwrap_or(Path::new(""));
        Pending {
            input: Input {
                name,
                whole_archive: context.whole_archive,
                format: context.format,
                group: context.group,
            },
            from: Some((source, span, folder.to_path_buf())),
            depth: context.depth,
            number: self.position,
        }
    }

    /// `=` and `$SYSROOT` in front of a path stand for `--sysroot`.
    fn in_sysroot(&self, path: &Path) -> PathBuf {
        let text = path.as_os_str().as_encoded_bytes();
        let inside = [b"=".as_slice(), b"$SYSROOT"]
            .iter()
            .find_map(|prefix| text.strip_prefix(*prefix));
        match (inside, path.to_str()) {
            (Some(inside), Some(text)) => {
                let inside = &text[text.len() - inside.len()..];
                match self.options.sysroot.as_deref() {
                    Some(root) => root.join(inside.trim_start_matches('/')),
                    None => PathBuf::from(inside),
                }
            }
            _ => path.to_path_buf(),
        }
    }

    /// Where an input is: one of the command line where it says; one that a script names in the
    /// script's folder, the current one or the library folders; a library in the library folders
    /// (ld.texi, INPUT; ld/ldfile.c, `ldfile_open_file`).
    fn find_input(&self, pending: &Pending) -> Result<PathBuf> {
        if pending.depth > MAX_INCLUDE_DEPTH || self.sources.sources.len() > MAX_SCRIPTS {
            let name = input_name(&pending.input.name);
            let what = "it is one of too many scripts that name each other as inputs".to_owned();
            return Err(LinkError::Malformed { file: name, what });
        }
        let found = match (&pending.input.name, &pending.from) {
            (InputName::File(path), None) => return Ok(self.in_sysroot(path)),
            (InputName::File(path), Some((_, _, folder))) => {
                let path = self.in_sysroot(path);
                let here = [folder.join(&path), path.clone()].into_iter();
                let folders = self.folders.iter().map(|folder| folder.join(&path));
                here.chain(folders).find(|path| path.exists())
            }
            (InputName::Library(name), _) => {
                // `-l:NAME` names the file itself.
                let file = match name.strip_prefix(':') {
                    Some(file) => file.to_owned(),
                    None => format!("lib{name}.a"),
                };
                let folders = self.folders.iter();
                folders
                    .map(|folder| self.in_sysroot(folder).join(&file))
                    .find(|path| path.exists())
            }
        };
        found.ok_or_else(|| match (&pending.input.name, &pending.from) {
            (name, Some((source, span, _))) => {
                let what = format!("cannot find {}", input_name(name));
                self.error(*source, Diagnostic::new(what, *span))
            }
            (InputName::Library(name), None) => LinkError::LibraryNotFound {
                name: name.clone(),
                searched: self.folders.len(),
            },
            (InputName::File(path), None) => LinkError::UnknownFormat {
                file: path.display().to_string(),
            },
        })
    }
}

fn given((number, input): (usize, &Input)) -> Pending {
    Pending {
        input: input.clone(),
        from: None,
        depth: 0,
        number,
    }
}

fn input_name(name: &InputName) -> String {
    match name {
        InputName::File(path) => path.display().to_string(),
        InputName::Library(name) => format!("-l{name}"),
    }
}

/// The format that OUTPUT_FORMAT names so far.
fn scripts_format(pieces: &Pieces) -> Option<&str> {
    let mut formats = pieces
        .iter()
        .rev()
        .filter_map(|piece| match &piece.command.value {
            Command::OutputFormat { default, .. } => Some(default.value.as_str()),
            _ => None,
        });
    formats.next()
}

/// Whether an input may be a script: not empty, neither an ELF file nor an archive, and text.
fn looks_like_text(bytes: &[u8]) -> bool {
    let known = [b"\x7fELF".as_slice(), b"!<arch>\n", b"!<thin>\n"];
    !bytes.is_empty()
        && !known.iter().any(|magic| bytes.starts_with(magic))
        && std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

fn parsed<T>(source: &Source, parse: fn(&Source) -> Result<T, ScriptError>) -> Result<T> {
    parse(source).map_err(|error| syntax_error(source, &error))
}

fn not_a_script(source: &Source, error: &ScriptError) -> LinkError {
    LinkError::Script(format!(
        "{}: file format not recognized; treating as linker script\n{}",
        source.name,
        error.render(source, false)
    ))
}

#[cfg(test)]
mod tests;
