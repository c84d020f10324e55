//! The link of an image: a kernel, a program, a shared object, with final addresses.

mod binary;
mod binding;
mod common;
mod compress;
mod contents;
mod cross_refs;
mod data_segment;
mod dynamic_link;
mod emit;
mod entry;
mod executable_stack;
mod got;
mod indirect;
mod kernel;
pub(crate) mod layout;
mod made_sections;
mod map;
mod map_json;
mod memory_usage;
mod merged;
mod plan;
mod plt;
mod regions;
mod relocate;
mod report;
mod scope;
mod segments;
mod stubs;
mod symtab;
mod thread;
mod unwind;
mod values;
mod warning_sections;
mod write;

pub(crate) use common::NAME as COMMON;
pub(crate) use entry::symbol as entry_symbol;
pub(crate) use kernel::KallsymsObject;
pub(crate) use segments::Segment;
pub(crate) use unwind::read_frames;

use klink_arch::Arch;

use self::contents::MadeContents;
use self::kernel::KernelVersion;
use self::layout::{ImageLayout, LateSizes, LayoutInput, Layouter};
use self::made_sections::MadeSections;
use self::merged::Merges;
use self::plan::Plan;
use self::relocate::Relocator;
use self::stubs::StubMap;
use self::thread::ThreadAddresses;
use self::unwind::UnwindInputs;
use self::values::Values;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::input::Storage;
use crate::made::{BuildIdNote, BuildIdPlace};
use crate::options::{CompressDebug, Options};
use crate::output::Traits;
use crate::report::{Clock, Report};
use crate::resolve::Resolved;
use crate::script::{self, Sources};
use crate::symtab::SymbolTable;
use crate::{assign, gc, target, wrap};

/// Links an image from resolved inputs. Passes its bytes on.
///
/// # Errors
/// [`crate::LinkError`]: everything that is wrong with scripts, symbols and relocations.
pub(crate) fn link<'a, T>(
    options: &Options,
    sources: &Sources,
    storage: &'a Storage,
    mut resolved: Resolved<'a>,
    arch: &'static Arch,
    (build_id, kallsyms): (Option<BuildIdNote>, Option<KallsymsObject>),
    (mut clock, room, pass): (
        Clock,
        &dyn Fn(u64) -> Buffer,
        impl FnOnce(Report, Buffer, Option<BuildIdPlace>) -> Result<T>,
    ),
) -> Result<T> {
    let told = warning_sections::take(&mut resolved, options);
    clock.report().warnings.extend(told);
    common::allocate(&mut resolved, sources, options.sort_common);
    let made = MadeSections::add(&mut resolved, options, arch, storage);
    let program = script::compile(sources, storage, &mut resolved, false)?;
    wrap::check_required(options, &resolved)?;
    gc::collect_garbage(&mut resolved, &program, sources, options, arch, &mut clock)?;
    let mut assigned = assign::assign(&resolved, &program, options, false, arch)?;
    layout::apply_section_types(&program, &mut assigned, sources, options)?;
    clock.lap("assign sections");

    // Only ELF outputs have their strings merged and their unwind tables edited (ld does so in the
    // backend of the output's format).
    let is_binary = binary::is_wanted(options, sources);
    let merges = match is_binary {
        true => Merges::default(),
        false => Merges::new(&resolved, &assigned.placements),
    };
    clock.lap("merge strings");

    // Which unwind records stay, which symbols need slots, what a loader will read. Beyond this
    // point all sections that the linker makes have their sizes.
    let unwind_inputs = match is_binary {
        true => UnwindInputs::default(),
        false => UnwindInputs::read(&resolved, &assigned.outputs, arch),
    };
    let (plan, unwind) = Plan::new(plan::Input {
        resolved: &mut resolved,
        assigned: &assigned,
        sources,
        options,
        arch,
        made,
        unwind: &unwind_inputs,
    })?;
    clock.lap("plan tables");

    let mut layouter = Layouter::new(LayoutInput {
        resolved: &resolved,
        program: &program,
        sources,
        options,
        arch,
        assigned,
        merges,
        unwind,
        late_sizes: kallsyms
            .as_ref()
            .map_or_else(LateSizes::default, KallsymsObject::first_sizes),
    })?;
    layouter.run()?;
    clock.lap("lay out");

    // A kernel's table of its symbols moves them: it and the layout settle each other.
    let needed = entry::needed(options, sources, &resolved);
    let list_symbols = |values: &Values<'_, '_>, earlier: Option<SymbolTable>| {
        let layout = values.layout();
        let input = symtab::TableInput {
            resolved: &resolved,
            layout,
            values,
            arch,
            options,
            bindings: &plan.bindings,
            versions: plan.version_names(),
            needed: &needed,
            thread_block: ThreadAddresses::new(layout, arch).block,
        };
        match earlier {
            Some(earlier) => symtab::rebuild(earlier, &input),
            None => symtab::build(&input),
        }
    };
    let list_again = |layout: &ImageLayout<'_>, earlier| {
        let values = Values::new(&resolved, layout);
        list_symbols(&values, earlier)
    };
    let kallsyms = kallsyms.map(|object| object.settle(&mut layouter, list_again));
    let (kallsyms, listed) = kallsyms.transpose()?.unzip();
    if kallsyms.is_some() {
        clock.lap("settle kallsyms");
    }

    let layout = layouter.finish()?;
    let values = Values::new(&resolved, &layout);
    cross_refs::check(sources, &resolved, &layout, &values)?;
    let symbols = listed.unwrap_or_else(|| list_symbols(&values, None));
    clock.lap("list symbols");
    if let Some(destination) = &options.system_map {
        let version = KernelVersion::find(options, &resolved)?;
        let text = kernel::system_map(&symbols, &layout.outputs, arch.class, version);
        clock.report().add_file(destination, text);
        clock.lap("list names");
    }

    let stub_map = StubMap::new(&layout.islands, &layout.outputs, |target| {
        values.stub_target(target)
    });
    let relocator = Relocator {
        stubs: &stub_map,
        resolved: &resolved,
        layout: &layout,
        values: &values,
        arch,
        gp: global_pointer(&resolved, &values, arch),
        segment_bases: segment_bases(&layout),
        thread: ThreadAddresses::new(&layout, arch),
        rules: plan.rules(&resolved, options, arch),
        got: &plan.got,
        got_base: plan.got.base(&values),
    };
    let (entry, warning) = entry::address(options, sources, &resolved, &layout, &values, arch);
    let map = map::MapInput {
        resolved: &resolved,
        program: &program,
        options,
        layout: &layout,
        values: &values,
        arch,
    };
    map.tell(entry, clock.report());
    let stack = executable_stack::warnings(options, &resolved, arch);
    clock.report().notes.extend(stack);
    let mut image = write::Image {
        resolved: &resolved,
        layout: &layout,
        values: &values,
        symbols: &symbols,
        relocator: &relocator,
        plan: &plan,
        contents: MadeContents::default(),
        kallsyms: kallsyms.as_ref(),
        options,
        arch,
        entry,
        flags: target::flags(&resolved, arch, sources.output_arch()),
    };
    let file = image.lay_out_file()?;
    let section_number = |output| file.number(output) as u16;
    image.contents = plan.contents(&relocator, &section_number, kallsyms.as_ref())?;
    // Only what is not packed or cut out of it later is made where it stays.
    let mut bytes = match is_binary || options.compress_debug != CompressDebug::None {
        true => Buffer::zeroed(file.size as usize),
        false => room(file.size),
    };
    let mut digest = image.fill(&file, &mut bytes, clock.report())?;
    if options.sort_tables {
        let weak_calls = match options.weak_calls {
            Some(given) => given,
            None => KernelVersion::find(options, &resolved)?.weak_calls(),
        };
        klink_tables::sort::image(&mut bytes, weak_calls)?;
        digest.update(b"sorted").update(&[weak_calls as u8]);
    }
    if let Some(bytes) = binary::extract(options, sources, &layout, &file, &bytes)? {
        clock.lap("write");
        let report = crate::report::of_binary(clock, resolved.objects.len(), bytes.len());
        return pass(report, bytes, None);
    }
    let place = build_id.and_then(|note| note.place(&file, &layout.outputs, &layout.placements));
    if let Some(place) = place {
        place.fill(options, &mut bytes, |_| digest.finalize());
    }
    clock.lap("write");

    let bytes = match options.compress_debug {
        CompressDebug::None => bytes,
        style => compress::compress(bytes, arch, style),
    };
    if options.compress_debug != CompressDebug::None {
        clock.lap("compress");
    }

    let mut warnings = layout.warnings.clone();
    warnings.extend(warning);
    warnings.extend(report::outside_of_segments(&layout, options));
    warnings.extend(report::rights(&layout, options, arch));
    warnings.append(&mut clock.report().warnings);
    let report = crate::report::of_image(
        clock,
        &layout.outputs,
        resolved.objects.len(),
        symbols.symbols.len() - 1,
        warnings,
        bytes.len(),
        |output| layout.islands.count_in(output),
    );
    pass(report, bytes, None)
}

/// Where the global pointer points at run time.
fn global_pointer(resolved: &Resolved<'_>, values: &Values<'_, '_>, arch: &Arch) -> u64 {
    let symbol = arch
        .global_pointer
        .and_then(|name| resolved.global(name.as_bytes()));
    symbol.map_or(0, |symbol| values.global(symbol).address())
}

/// Where the segments of what is read only and of what is written begin (bfd/elf32-hppa.c,
/// `hppa_record_segment_addr`).
fn segment_bases(layout: &ImageLayout<'_>) -> [u64; 2] {
    let mut bases = [u64::MAX; 2];
    for &id in &layout.outputs.order {
        let section = &layout.outputs.sections[id];
        if !section.traits.contains(Traits::ALLOC | Traits::LOAD) {
            continue;
        }
        let Some(start) = layout.segments.base_of(id) else {
            continue;
        };
        let kind = usize::from(!section.traits.contains(Traits::READ_ONLY));
        bases[kind] = bases[kind].min(start);
    }
    bases
}
