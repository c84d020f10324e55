//! One file on a page.

use super::report::{Form, Headroom, Layout, Module, Regions, Report};
use super::text::{Align, Cell, Look, Size, Table, count, number, percent, size};

/// Headroom below this is shown as a warning, in percent of the reach. A module text that grows by
/// a tenth is a usual year.
const NARROW: f64 = 10.0;

/// How a headroom looks.
pub(crate) fn look(headroom: &Headroom) -> Look {
    if headroom.bytes < 0 {
        Look::Bad
    } else if headroom.percent < NARROW {
        Look::Warning
    } else {
        Look::Plain
    }
}

/// Writes all that is known of a file.
pub(crate) fn write(report: &Report, out: &mut String, colour: bool) {
    let mut page = Page { out, colour };
    page.head(report);
    page.sections(report);
    page.layout(&report.layout);
    page.relocations(report);
    page.branches(report);
    page.verdict(report);
}

struct Page<'a> {
    out: &'a mut String,
    colour: bool,
}

impl Page<'_> {
    fn line(&mut self, text: &str, look: Look) {
        Cell::new(text, look).write(self.out, self.colour);
        self.out.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.line(text, Look::Bold);
    }

    fn table(&mut self, table: &Table) {
        table.write(self.out, "  ", self.colour);
    }

    fn head(&mut self, report: &Report) {
        self.line(&report.file, Look::Bold);
        let mut what = format!(
            "  {}, {}-bit, {}-endian, {}",
            report.architecture,
            report.bits,
            report.byte_order,
            size(report.object_bytes)
        );
        if report.file_bytes != report.object_bytes {
            let (program, packed) = (report.compression.program(), size(report.file_bytes));
            what.push_str(&format!(" ({packed} with {program})"));
        }
        self.line(&what, Look::Plain);
        match &report.module {
            Some(module) => self.module(module),
            None => self.line("  an object, not a finished module", Look::Plain),
        }
        let symbols = format!(
            "  {} symbols, {} of them to be found in the kernel or other modules",
            number(report.symbols.total),
            number(report.symbols.undefined)
        );
        self.line(&symbols, Look::Plain);
    }

    fn module(&mut self, module: &Module) {
        let depends = if module.depends.is_empty() {
            "nothing".to_owned()
        } else {
            module.depends.join(", ")
        };
        let lines = [
            format!(
                "  module    {}",
                module.name.as_deref().unwrap_or("(no name)")
            ),
            format!(
                "  vermagic  {}",
                module.vermagic.as_deref().unwrap_or("(none)")
            ),
            format!("  depends   on {depends}"),
            format!("  has       {}", has(module)),
        ];
        for line in lines {
            self.line(&line, Look::Plain);
        }
    }

    fn sections(&mut self, report: &Report) {
        let sections = &report.sections;
        self.heading("Sections");
        let kinds = &sections.by_kind;
        let named = [
            ("text", kinds.text),
            ("rodata", kinds.rodata),
            ("data", kinds.data),
            ("bss", kinds.bss),
            ("relocations", kinds.relocations),
            ("symbols and strings", kinds.symbols),
            ("debug", kinds.debug),
            ("other", kinds.other),
        ];
        let kinds: Vec<_> = named
            .iter()
            .filter(|kind| kind.1 > 0)
            .map(|(name, many)| format!("{} {name}", number(*many)))
            .collect();
        let loaded = format!(
            "  {} section headers, {} loaded ({} of these empty)",
            number(sections.headers),
            number(sections.loaded),
            number(sections.loaded_empty)
        );
        self.line(&loaded, Look::Plain);
        self.line(&format!("  {}", kinds.join(", ")), Look::Plain);
    }

    fn layout(&mut self, layout: &Layout) {
        self.heading("In memory, bytes");
        let mut table = Table::new([
            ("region", Align::Left),
            ("core", Align::Right),
            ("init", Align::Right),
        ]);
        let rows = |regions: &Regions| {
            [
                ("text", regions.text),
                ("rodata", regions.rodata),
                ("ro-after-init", regions.ro_after_init),
                ("data", regions.data),
                ("bss", regions.bss),
                ("total", regions.total),
            ]
        };
        for ((name, core), (_, init)) in rows(&layout.core).into_iter().zip(rows(&layout.init)) {
            table.row([name.into(), count(core).into(), count(init).into()]);
        }
        self.table(&table);
        if layout.percpu > 0 {
            let percpu = format!("  and {} for each processor", size(layout.percpu));
            self.line(&percpu, Look::Plain);
        }
    }

    fn relocations(&mut self, report: &Report) {
        let relocations = &report.relocations;
        self.heading(&format!(
            "Relocations: {}, {} of the file",
            number(relocations.total),
            percent(relocations.bytes, report.object_bytes)
        ));
        if relocations.by_type.is_empty() {
            return;
        }
        let mut table = Table::new([
            ("type", Align::Left),
            ("count", Align::Right),
            ("share", Align::Right),
            ("", Align::Left),
        ]);
        for row in &relocations.by_type {
            let refused = if row.refused {
                Cell::new("the kernel's loader refuses it", Look::Bad)
            } else {
                Cell::default()
            };
            table.row([
                row.name.as_str().into(),
                number(row.count).into(),
                percent(row.count, relocations.total).into(),
                refused,
            ]);
        }
        self.table(&table);
    }

    fn branches(&mut self, report: &Report) {
        self.heading("Branches");
        let (Some(forms), Some(stubs)) = (&report.branches, &report.stubs) else {
            self.line("  no relocation data for this architecture yet", Look::Dim);
            return;
        };
        if stubs.bytes > 0 {
            let reserve = format!(
                "  the kernel reserves {} stubs for branches and {} spare ones: {} bytes",
                number(stubs.for_branches),
                number(stubs.spare),
                number(stubs.bytes)
            );
            self.line(&reserve, Look::Plain);
        }
        if forms.is_empty() {
            self.line("  none is left to the kernel's loader", Look::Plain);
            return;
        }
        let mut table = Table::new([
            ("form", Align::Left),
            ("count", Align::Right),
            ("direct", Align::Right),
            ("to a stub", Align::Right),
            ("leaving", Align::Right),
            ("too far", Align::Right),
            ("reach", Align::Right),
            ("furthest", Align::Right),
            ("headroom", Align::Right),
        ]);
        for form in forms {
            table.row(form_cells(form));
        }
        self.table(&table);
        for form in forms {
            self.furthest(form);
        }
    }

    fn furthest(&mut self, form: &Form) {
        let Some(furthest) = &form.furthest else {
            return;
        };
        let way = if furthest.by_stub {
            "by a stub in front of its section to"
        } else {
            "to"
        };
        let line = format!(
            "  furthest {}: {}+{:#x} {way} {}, {} bytes {}",
            form.name,
            furthest.section,
            furthest.offset,
            furthest.target,
            number(furthest.distance.unsigned_abs()),
            if furthest.distance < 0 {
                "back"
            } else {
                "forth"
            },
        );
        self.line(&line, look(&furthest.headroom));
    }

    fn verdict(&mut self, report: &Report) {
        let broken = report.out_of_reach();
        if broken > 0 {
            let mut text = format!(
                "The kernel refuses this module: {} branches reach neither their target nor a \
                 stub. Link it with\n`ld.klink -r --module`, or keep one section for each \
                 function (-ffunction-sections). The kernel says:",
                number(broken)
            );
            let forms = report.branches.iter().flatten();
            for first in forms.filter_map(|form| form.first_out_of_reach.as_ref()) {
                text.push_str(&format!(
                    "\n  relocation of symbol {} is out of range ({:#x} in {} bits), at {}+{:#x}",
                    first.target, first.value, first.bits, first.section, first.offset
                ));
            }
            self.out.push('\n');
            self.line(&text, Look::Bad);
        }
        let refused = report.refused();
        if !refused.is_empty() {
            let line = format!(
                "The kernel refuses this module: its loader cannot apply {}.\nCompile without the \
                 option that makes such relocations.",
                refused.join(", ")
            );
            self.out.push('\n');
            self.line(&line, Look::Bad);
        }
    }
}

fn has(module: &Module) -> String {
    let unload = match (module.init, module.exit) {
        (true, true) => "init and exit",
        (true, false) => "init, but no exit: it cannot be unloaded",
        (false, true) => "exit, but no init",
        (false, false) => "neither init nor exit",
    };
    let signed = if module.signed {
        "a signature is appended"
    } else {
        "no signature"
    };
    format!("{unload}; {signed}")
}

fn form_cells(form: &Form) -> [Cell; 9] {
    let (distance, headroom) = match &form.furthest {
        Some(furthest) => (
            Size(furthest.distance).to_string().into(),
            headroom_cell(&furthest.headroom),
        ),
        None => (Cell::from("-"), Cell::from("-")),
    };
    let too_far = if form.out_of_reach > 0 {
        Look::Bad
    } else {
        Look::Plain
    };
    [
        form.name.into(),
        number(form.count).into(),
        count(form.direct).into(),
        count(form.to_stub).into(),
        count(form.leaving).into(),
        Cell::new(count(form.out_of_reach), too_far),
        format!("±{}", Size(form.reach_forth)).into(),
        distance,
        headroom,
    ]
}

/// A headroom in bytes and percent.
pub(crate) fn headroom_cell(headroom: &Headroom) -> Cell {
    let text = format!("{} ({:.1}%)", Size(headroom.bytes), headroom.percent);
    Cell::new(text, look(headroom))
}
