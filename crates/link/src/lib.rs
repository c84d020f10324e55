//! The static linker: inputs, symbols, layout, output.
//!
//! [`link`] is the whole linker as a list of phases; each is a module named after what it does, and
//! borrows what came before without changing it.
#![deny(unsafe_code)] // allowed in `input::file` alone, which maps files

pub mod args;
mod assign;
mod buffer;
mod compressed;
mod dynamic;
mod eh_frame;
mod error;
mod gc;
mod groups;
pub mod id;
mod image;
pub mod input;
mod layout;
mod made;
#[allow(dead_code)] // Final links, which use it, do not exist yet.
mod merge;
mod module;
mod options;
mod orphans;
pub mod output;
mod output_file;
mod pattern_index;
mod properties;
mod relocate;
mod report;
pub mod resolve;
mod rules;
mod script;
mod sort_inputs;
mod symtab;
mod target;
mod tell;
mod wrap;
mod write;

use std::path::Path;

pub use buffer::Buffer;
pub use error::{LinkError, OutOfRange, Result};
pub use options::{
    BuildId, ByteOrder, CompressDebug, Definition, Destination, DiscardLocals, DynamicLinker,
    ErrorLimit, HashStyle, Input, InputFormat, InputName, KallsymsOptions, Magic, ModuleOptions,
    Options, OrphanHandling, OutputFormat, OutputKind, ScriptFile, SortCommon, SortSection, Strip,
    Symbolic, TextRelocations, Unique, Unresolved, UnresolvedPolicy,
};
pub use report::{Report, SectionReport};
pub use script::unexecuted_constructs;

use groups::Groups;
use input::Storage;
use layout::Layout;
use made::BuildIdPlace;
use report::Clock;

/// Links what `options` names and writes the output file.
///
/// # Errors
/// [`LinkError`]; no output file is then left or changed.
pub fn link(options: &Options) -> Result<Report> {
    link_then(options, |report| report)
}

/// As [`link`], and calls `then` while what the link took is still in memory: a program that ends there
/// saves the time that giving it back takes.
///
/// # Errors
/// As [`link`]; `then` is not called.
pub fn link_then<T>(options: &Options, then: impl FnOnce(Report) -> T) -> Result<T> {
    let path = options.output.as_deref().unwrap_or(Path::new("a.out"));
    let room = |size| output_file::room(path, size, options);
    let put = |report, bytes, build_id| {
        let report = put_files(options, path, report, (bytes, build_id))?;
        Ok(then(report))
    };
    make(options, &room, put).map_err(|error| error.limited(options.error_limit))
}

/// Writes the output file and those beside it.
fn put_files(
    options: &Options,
    path: &Path,
    report: Report,
    (bytes, build_id): (Buffer, Option<BuildIdPlace>),
) -> Result<Report> {
    if options.fatal_warnings && !report.warnings.is_empty() {
        return Err(LinkError::Warnings(report.warnings));
    }
    report.write_files(path)?;
    let mut clock = Clock::resume(report);
    output_file::put(path, bytes, options, build_id)?;
    Ok(clock.finish("put file"))
}

/// Links what `options` names, and gives the output's bytes instead of writing them.
///
/// # Errors
/// As [`link`].
pub fn link_in_memory(options: &Options) -> Result<(Report, Buffer)> {
    let room = |size| Buffer::zeroed(size as usize);
    make(options, &room, |report, mut bytes, build_id| {
        let mut clock = Clock::resume(report);
        if let Some(place) = build_id {
            place.fill(options, &mut bytes, blake3::hash);
        }
        Ok((clock.finish("hash"), bytes))
    })
}

/// Makes the output's bytes, an image's in the `room` for its size. Passes them on, with the place of the
/// build-id if that is still to be computed.
fn make<T>(
    options: &Options,
    room: &dyn Fn(u64) -> Buffer,
    pass: impl FnOnce(Report, Buffer, Option<BuildIdPlace>) -> Result<T>,
) -> Result<T> {
    script::refuse_final_links(options)?;
    set_threads(options.threads);
    let storage = Storage::default();
    let mut clock = Clock::start();

    // The script comes first: it may name the output's format, which binary inputs need.
    let (sources, inputs) = script::load(options, &storage)?;
    let wanted = target::from_options(options, sources.output_format(options.byte_order))?;
    clock.lap("read scripts");

    // Inputs, with symbols resolved and link-once groups decided. Beyond this point no object and,
    // but for what the script defines, no symbol joins the link.
    let mut resolved = input::load_inputs(
        options,
        &inputs,
        sources
            .externs()
            .chain(image::entry_symbol(options, &sources)),
        script::FirstPass::new(&sources),
        &storage,
        wanted.map(target::ident),
    )?;
    tell::tell_inputs(options, &sources, &resolved, clock.report());
    let arch = target::choose(wanted, &resolved)?;
    let unread = properties::merge(&mut resolved, arch, &storage);
    clock.report().warnings.extend(unread);
    if !options.relocatable() {
        compressed::unpack(&mut resolved, &storage)?;
        // Behind all inputs, and before the linker's own sections.
        let kallsyms = image::KallsymsObject::add(&mut resolved, options, &sources, arch)?;
        let build_id = made::add_build_id(options, &mut resolved, &storage);
        clock.lap("read inputs");
        return image::link(
            options,
            &sources,
            &storage,
            resolved,
            arch,
            (build_id, kallsyms),
            (clock, room, pass),
        );
    }
    if options.print_map.is_some() || options.map_json.is_some() {
        let warning = "no map is written with -r yet".to_owned();
        clock.report().warnings.push(warning);
    }
    let build_id = made::add_build_id(options, &mut resolved, &storage);
    made::add_stack_note(options, &mut resolved, arch);
    clock.lap("read inputs");

    // Every section gets its output section: by the script's patterns, or as an orphan.
    let program = script::compile(&sources, &storage, &mut resolved, true)?;
    wrap::check_required(options, &resolved)?;
    gc::collect_garbage(&mut resolved, &program, &sources, options, arch, &mut clock)?;
    // A module's groups dissolve: its sections have one name each.
    let keep_groups =
        options.module.is_none() && !options.dissolve_groups && !sources.dissolves_groups();
    let assigned = assign::assign(&resolved, &program, options, keep_groups, arch)?;
    clock.lap("assign sections");

    // Offsets in output sections; for a module, the order of functions, islands, and which
    // relocations are resolved for good. Beyond this point no section moves.
    let layout = Layout::new(&resolved, assigned, &sources, &program, options, arch)?;
    relocate::check_discarded(&resolved, &layout)?;
    clock.lap("lay out");

    // Which symbols the output has. Beyond this point all sizes are known.
    let groups = Groups::new(&resolved, &layout);
    let symbols = symtab::build(&resolved, &layout, &groups, arch, options);
    clock.lap("list symbols");

    // Everything is copied, relocated and encoded in place.
    let statement_bytes = program.statement_bytes(&sources, &resolved, &layout, arch)?;
    let output = write::Output {
        resolved: &resolved,
        layout: &layout,
        symbols: &symbols,
        groups: &groups,
        arch,
        flags: target::flags(&resolved, arch, sources.output_arch()),
        statement_bytes: &statement_bytes,
        build_id,
    };
    let (bytes, note) = output.make()?;
    clock.lap("write");
    let report = report::summarize(clock, &resolved, &layout, &symbols, bytes.len());
    pass(report, bytes, note)
}

/// More threads than any machine that builds kernels has use for; a hundred thousand, all the
/// memory that there is.
const MAX_THREADS: usize = 1024;

/// Sets the size of the thread pool, the first time it is called in a process.
fn set_threads(threads: usize) {
    if threads > 0 {
        // A pool that exists already stays as it is: results do not depend on it.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(MAX_THREADS))
            .build_global();
    }
}
