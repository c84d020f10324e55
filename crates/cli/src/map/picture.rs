//! What is drawn: one bar with all regions to scale, arcs over it, lists under it.

use klink_module::RegionKind;

use super::svg::{FREED, Face, MONO, Rect, Svg};
use crate::inspect::text::{Size, number, size};
use crate::load::branches::Jump;
use crate::load::report::{Region, Report, region_name, rights};

/// Units of the whole picture, and of its margins.
const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// Where the bar is, and how high arcs may be above it.
const BAR: f64 = 330.0;
const BAR_HEIGHT: f64 = 56.0;
const ARC_HEIGHT: f64 = 220.0;
/// Units between blocks of memory, which are not neighbours.
const GAP: f64 = 14.0;
/// Where the lists begin, and from line to line.
const LISTS: f64 = 500.0;
const LINE: f64 = 17.0;
/// Where the list of sections begins.
const SECTIONS: f64 = 640.0;
/// How many of the largest sections are listed: as many as fit beside regions and legend.
const LISTED: usize = 24;
/// Stubs so near to each other are one island, in bytes: more than a stub, less than a function.
const ISLAND_GAP: u64 = 32;
/// Something of no size is drawn so wide.
const THIN: f64 = 1.0;

const DIRECT: &str = "#30507a";
const BY_STUB: &str = "#c2410c";
const ISLAND: &str = "#111111";

/// Draws a module that was loaded with its sections and jumps.
pub(super) fn draw(report: &Report, layout: &str, arcs: usize) -> String {
    let scale = Scale::new(&report.regions);
    let jumps = report.branches.as_ref().map_or(&[][..], |of| &of.jumps);
    let islands = islands(jumps);
    let mut picture = Picture {
        svg: Svg::new(WIDTH),
        report,
        scale,
    };
    picture.head(layout);
    picture.arcs(jumps, arcs);
    picture.bar(&islands);
    let legend = picture.regions();
    let legend = picture.legend(legend, &islands);
    let sections = picture.sections();
    let height = legend.max(sections) + MARGIN;
    picture.svg.finish(height, &report.name)
}

/// Where run addresses are on the picture.
struct Scale {
    /// First address, bytes, and where it is drawn.
    spans: Vec<(u64, u64, f64)>,
    per_byte: f64,
}

impl Scale {
    fn new(regions: &[Region]) -> Self {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let mut sorted: Vec<&Region> = regions.iter().filter(|region| region.size > 0).collect();
        sorted.sort_by_key(|region| region.address);
        for region in sorted {
            match spans.last_mut() {
                Some((start, size)) if start.wrapping_add(*size) == region.address => {
                    *size += region.size;
                }
                _ => spans.push((region.address, region.size)),
            }
        }
        let bytes: u64 = spans.iter().map(|(_, size)| size).sum();
        let gaps = GAP * spans.len().saturating_sub(1) as f64;
        let per_byte = (WIDTH - 2.0 * MARGIN - gaps) / bytes.max(1) as f64;
        let mut x = MARGIN;
        let place = |(start, size): (u64, u64)| {
            let at = x;
            x += size as f64 * per_byte + GAP;
            (start, size, at)
        };
        Self {
            spans: spans.into_iter().map(place).collect(),
            per_byte,
        }
    }

    /// Where an address is drawn; `None`: it is not in the module.
    fn x(&self, address: u64) -> Option<f64> {
        self.spans.iter().find_map(|&(start, size, x)| {
            let offset = address.checked_sub(start)?;
            (offset <= size).then_some(x + offset as f64 * self.per_byte)
        })
    }

    fn width(&self, bytes: u64) -> f64 {
        (bytes as f64 * self.per_byte).max(THIN)
    }
}

/// A run of stubs: the first one's address, bytes to behind the start of the last, and how many.
struct Island {
    start: u64,
    span: u64,
    stubs: u64,
}

/// The islands that branches go to.
fn islands(jumps: &[Jump]) -> Vec<Island> {
    let mut stubs: Vec<u64> = jumps.iter().filter(|j| j.by_stub).map(|j| j.to).collect();
    stubs.sort_unstable();
    stubs.dedup();
    let mut islands: Vec<Island> = Vec::new();
    for stub in stubs {
        match islands.last_mut() {
            Some(island) if stub - (island.start + island.span) <= ISLAND_GAP => {
                island.span = stub - island.start;
                island.stubs += 1;
            }
            _ => islands.push(Island {
                start: stub,
                span: 0,
                stubs: 1,
            }),
        }
    }
    islands
}

struct Picture<'r> {
    svg: Svg,
    report: &'r Report,
    scale: Scale,
}

impl Picture<'_> {
    fn head(&mut self, layout: &str) {
        let report = self.report;
        self.svg.text(MARGIN, 36.0, Face::Title, &report.name);
        let facts = format!(
            "{}, layout {layout}: {} in memory, {} after init; {}",
            report.architecture,
            size(report.memory_bytes),
            size(report.memory_bytes - report.init.freed.min(report.memory_bytes)),
            report.file,
        );
        self.svg.text(MARGIN, 58.0, Face::Text, &facts);
    }

    /// The longest branches inside the module, and in a sentence all others.
    fn arcs(&mut self, jumps: &[Jump], most: usize) {
        let inside = |jump: &&Jump| {
            let from = self.scale.x(jump.from);
            from.is_some() && self.scale.x(jump.to).is_some()
        };
        let length = |jump: &Jump| jump.from.abs_diff(jump.to);
        let mut longest: Vec<&Jump> = jumps.iter().filter(inside).collect();
        let count = longest.len();
        longest.sort_by_key(|jump| std::cmp::Reverse(length(jump)));
        longest.truncate(most);
        let drawn = longest.len();
        let widest = longest.iter().filter_map(|jump| self.ends(jump));
        let widest = widest
            .map(|(from, to)| (from - to).abs())
            .fold(1.0, f64::max);
        // the longest is drawn first, so that shorter ones are seen in front of it
        for jump in &longest {
            let Some((from, to)) = self.ends(jump) else {
                continue;
            };
            let height = ARC_HEIGHT * ((from - to).abs() / widest).sqrt();
            let stroke = if jump.by_stub { BY_STUB } else { DIRECT };
            let to_what = if jump.by_stub { "a stub at " } else { "" };
            let title = format!(
                "{:#x} to {to_what}{:#x}: {}",
                jump.from,
                jump.to,
                Size(jump.to.wrapping_sub(jump.from) as i64),
            );
            self.svg.arc(from, to, BAR, height.max(4.0), stroke, &title);
        }
        let shown = match longest.first() {
            Some(jump) => format!(
                "{} branches inside the module, the {} longest drawn (the longest {}); {} leave it",
                number(count as u64),
                number(drawn as u64),
                size(length(jump)),
                number((jumps.len() - count) as u64),
            ),
            None => format!("no branch inside the module; {} leave it", jumps.len()),
        };
        self.svg.text(MARGIN, 78.0, Face::Text, &shown);
    }

    fn ends(&self, jump: &Jump) -> Option<(f64, f64)> {
        Some((self.scale.x(jump.from)?, self.scale.x(jump.to)?))
    }

    /// Regions and in them sections and islands; names and addresses where there is room.
    fn bar(&mut self, islands: &[Island]) {
        let report = self.report;
        let mut regions: Vec<&Region> = report.regions.iter().filter(|r| r.size > 0).collect();
        // the largest get their labels first
        regions.sort_by_key(|region| std::cmp::Reverse(region.size));
        let mut labels: Vec<(f64, f64)> = Vec::new();
        for region in regions {
            let Some(x) = self.scale.x(region.address) else {
                continue;
            };
            self.region(region, x);
            let lines = [
                region_name(region.kind).to_owned(),
                format!("{:#x}", region.address),
                size(region.size),
            ];
            let longest = lines.iter().map(String::len).max().unwrap_or(0);
            let room = (x, x + MONO * longest as f64 + 6.0);
            let overlaps = labels
                .iter()
                .any(|label| room.0 < label.1 && label.0 < room.1);
            if overlaps || room.1 > WIDTH {
                continue;
            }
            labels.push(room);
            for (nth, line) in lines.iter().enumerate() {
                let y = BAR + BAR_HEIGHT + 16.0 + 14.0 * nth as f64;
                self.svg.text(x + 2.0, y, Face::Mono, line);
            }
        }
        for island in islands {
            if let Some(x) = self.scale.x(island.start) {
                let at = Rect {
                    x,
                    y: BAR - 5.0,
                    width: self.scale.width(island.span),
                    height: BAR_HEIGHT + 10.0,
                };
                let title = format!("island at {:#x}: {} stubs", island.start, island.stubs);
                self.svg.rect(at, ISLAND, &title);
            }
        }
    }

    fn region(&mut self, region: &Region, x: f64) {
        let whole = Rect {
            x,
            y: BAR,
            width: self.scale.width(region.size),
            height: BAR_HEIGHT,
        };
        let title = format!(
            "{}: {} bytes at {:#x}",
            region_name(region.kind),
            number(region.size),
            region.address
        );
        self.svg.rect(whole, pale(region.kind), &title);
        let mut names = Vec::new();
        for section in region.sections.iter().filter(|section| section.size > 0) {
            let Some(x) = self.scale.x(section.address) else {
                continue;
            };
            let width = self.scale.width(section.size);
            // neighbours of the same colour are told apart by a gap, where there is room for one
            let shown = if width > 3.0 { width - 0.6 } else { width };
            let at = Rect {
                x,
                y: BAR + 6.0,
                width: shown,
                height: BAR_HEIGHT - 12.0,
            };
            let title = format!(
                "{}: {} bytes at {:#x}",
                section.name,
                number(section.size),
                section.address
            );
            self.svg.rect(at, colour(region.kind), &title);
            if MONO * section.name.chars().count() as f64 + 4.0 < width {
                names.push((x + 3.0, &section.name));
            }
        }
        if region.kind.is_init() {
            self.svg
                .rect(whole, FREED, &format!("{title}, freed after init"));
        }
        for (x, name) in names {
            let y = BAR + BAR_HEIGHT / 2.0 + 4.0;
            self.svg.text(x, y, Face::Mono, name);
        }
        self.svg.line((x, BAR), (x, BAR + BAR_HEIGHT + 6.0), "#222");
    }

    /// The list of regions; gives where it ends.
    fn regions(&mut self) -> f64 {
        let mut y = LISTS;
        let columns = ["region", "address", "bytes", "used", "rights"];
        let at = [MARGIN + 22.0, MARGIN + 130.0, 390.0, 480.0, 500.0];
        for (nth, (name, x)) in columns.into_iter().zip(at).enumerate() {
            let x = if (2..4).contains(&nth) { x - 34.0 } else { x };
            self.svg.text(x, y, Face::Heading, name);
        }
        for region in &self.report.regions {
            y += LINE;
            self.swatch(y, colour(region.kind), region.kind.is_init());
            let name = region_name(region.kind);
            self.svg.text(at[0], y, Face::Mono, name);
            let address = format!("{:#x}", region.address);
            self.svg.text(at[1], y, Face::Mono, &address);
            self.svg.text(at[2], y, Face::MonoEnd, &number(region.size));
            self.svg.text(at[3], y, Face::MonoEnd, &number(region.used));
            let freed = if region.kind.is_init() { ", freed" } else { "" };
            let rights = format!("{}{freed}", rights(region.kind));
            self.svg.text(at[4], y, Face::Mono, &rights);
        }
        y
    }

    fn swatch(&mut self, y: f64, fill: &str, freed: bool) {
        let at = Rect {
            x: MARGIN,
            y: y - 10.0,
            width: 16.0,
            height: 11.0,
        };
        self.svg.rect(at, fill, "");
        if freed {
            self.svg.rect(at, FREED, "");
        }
    }

    /// What colours mean, and what there is to count; gives where it ends.
    fn legend(&mut self, from: f64, islands: &[Island]) -> f64 {
        let report = self.report;
        let mut y = from + 1.5 * LINE;
        let init = &report.init;
        self.swatch(y, "#999", true);
        let freed = match init.freed {
            0 => "freed after init: nothing".to_owned(),
            freed => format!(
                "freed after init: {} bytes (text {}, data {}), {} table entries dropped",
                number(freed),
                number(init.text),
                number(init.data),
                number(init.dropped_entries)
            ),
        };
        self.svg.text(MARGIN + 22.0, y, Face::Text, &freed);
        y += LINE;
        self.swatch(y, ISLAND, false);
        let stubs = format!(
            "islands: {} with {} stubs, {} bytes set aside",
            islands.len(),
            number(report.stubs.made),
            number(report.stubs.reserved_bytes)
        );
        self.svg.text(MARGIN + 22.0, y, Face::Text, &stubs);
        for (stroke, what) in [
            (DIRECT, "branch to its target"),
            (BY_STUB, "branch to a stub for its target"),
        ] {
            y += LINE;
            self.svg
                .line((MARGIN, y - 4.0), (MARGIN + 16.0, y - 4.0), stroke);
            self.svg.text(MARGIN + 22.0, y, Face::Text, what);
        }
        y += LINE;
        let pale = "a region is pale where no section is: stubs, names, rounding to pages";
        self.svg.text(MARGIN + 22.0, y, Face::Text, pale);
        y
    }

    /// The list of the largest sections; gives where it ends.
    fn sections(&mut self) -> f64 {
        let regions = self.report.regions.iter();
        let all = regions.flat_map(|region| region.sections.iter().map(move |s| (region.kind, s)));
        let mut all: Vec<_> = all.collect();
        let count = all.len();
        all.sort_by_key(|(_, section)| std::cmp::Reverse(section.size));
        all.truncate(LISTED);
        let mut y = LISTS;
        let heading = format!(
            "the {} largest of {} sections",
            all.len(),
            number(count as u64)
        );
        self.svg.text(SECTIONS, y, Face::Heading, &heading);
        for (kind, section) in all {
            y += LINE;
            let at = Rect {
                x: SECTIONS,
                y: y - 9.0,
                width: 9.0,
                height: 9.0,
            };
            self.svg.rect(at, colour(kind), "");
            if kind.is_init() {
                self.svg.rect(at, FREED, "");
            }
            let name = shortened(&section.name, 44);
            self.svg.text(SECTIONS + 16.0, y, Face::Mono, &name);
            let address = format!("{:#x}", section.address);
            self.svg.text(SECTIONS + 330.0, y, Face::Mono, &address);
            let bytes = number(section.size);
            self.svg.text(WIDTH - MARGIN, y, Face::MonoEnd, &bytes);
        }
        y
    }
}

/// At most so many characters of a name.
fn shortened(name: &str, most: usize) -> String {
    match name.char_indices().nth(most) {
        None => name.to_owned(),
        Some((at, _)) => format!("{}…", &name[..at]),
    }
}

/// The colour of a region's sections.
const fn colour(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Text => "#7aa6d8",
        RegionKind::Rodata => "#8fc9b9",
        RegionKind::RoAfterInit => "#b9d68a",
        RegionKind::Data => "#f0cf70",
        RegionKind::InitText => "#e08a80",
        RegionKind::InitRodata => "#efa876",
        RegionKind::InitData => "#e9a3c0",
        RegionKind::PerCpu => "#b9a2d6",
    }
}

/// The same where no section is.
const fn pale(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Text => "#dce8f5",
        RegionKind::Rodata => "#e2f2ee",
        RegionKind::RoAfterInit => "#edf5e0",
        RegionKind::Data => "#fbf3dc",
        RegionKind::InitText => "#f7e0dd",
        RegionKind::InitRodata => "#fbe9dd",
        RegionKind::InitData => "#f9e6ee",
        RegionKind::PerCpu => "#ece6f4",
    }
}
