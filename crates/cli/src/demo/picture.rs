//! A picture of each link's code, as SVG: where its branches go, and where islands are.

use std::fmt::Write as _;

use super::Outcome;
use super::decode::Reach;
use super::elf::Place;
use super::links::Kind;

/// Width of the drawing, and of its margins, in SVG units.
const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 20.0;

/// Height of one link's row, and where its bar of code is in it.
const ROW: f64 = 260.0;
const BAR: f64 = 200.0;
const BAR_HEIGHT: f64 = 14.0;

/// How many branches of a link are drawn at most; more hide each other.
const ARCS: usize = 400;

/// Draws those of `outcomes` that merge code, one below the other, all in one scale.
pub(super) fn draw(outcomes: &[Outcome]) -> String {
    let outcomes: Vec<&Outcome> = (outcomes.iter())
        .filter(|outcome| outcome.kind != Kind::Plain)
        .collect();
    let ends = outcomes.iter().map(|o| largest(o).1.cast_signed());
    let last = ends.max().unwrap_or(0).max(1);
    let first = outcomes.iter().map(|o| first_end(o)).min().unwrap_or(0);
    let scale = (WIDTH - 2.0 * MARGIN) / (last - first) as f64;
    let height = ROW * outcomes.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (n, outcome) in outcomes.iter().enumerate() {
        let row = Row {
            top: ROW * n as f64,
            first,
            scale,
        };
        row.draw(outcome, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The index and size of the largest section of code.
fn largest(outcome: &Outcome) -> (usize, u64) {
    let section = outcome.output.code().max_by_key(|s| s.size);
    section.map_or((0, 0), |s| (s.index.0, s.size))
}

/// Where the foremost branch ends: in front of the section, if it goes to a stub of the kernel's.
fn first_end(outcome: &Outcome) -> i64 {
    let (section, _) = largest(outcome);
    let ends = (outcome.proof.displacements.iter())
        .filter(|(place, _)| place.section.0 == section)
        .map(|(place, displacement)| place.offset + 8 + displacement);
    ends.min().unwrap_or(0).min(0)
}

struct Row {
    top: f64,
    /// The offset at the left end; negative, since the kernel's stubs are in front of a section.
    first: i64,
    /// SVG units for each byte.
    scale: f64,
}

impl Row {
    fn draw(&self, outcome: &Outcome, svg: &mut String) {
        let (section, size) = largest(outcome);
        let bar = self.top + BAR;
        let is_here = |place: Place| place.section.0 == section;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{:.0}\">{}: the largest code section, {size} bytes</text>\n\
             <rect x=\"{:.2}\" y=\"{bar:.0}\" width=\"{:.2}\" height=\"{BAR_HEIGHT}\" \
             fill=\"#c8d4e0\"/>",
            self.top + 24.0,
            outcome.kind.title(),
            self.x(0),
            size as f64 * self.scale,
        );
        let mut branches: Vec<_> = (outcome.proof.displacements.iter())
            .filter(|(place, _)| is_here(*place))
            .collect();
        branches.sort_unstable();
        let step = branches.len().div_ceil(ARCS).max(1);
        for (place, displacement) in branches.into_iter().step_by(step) {
            self.arc(place.offset, *displacement, svg);
        }
        for stub in outcome.proof.stubs.iter().filter(|s| is_here(s.place)) {
            let _ = writeln!(
                svg,
                "<rect x=\"{:.2}\" y=\"{:.0}\" width=\"2\" height=\"{}\" fill=\"#d07000\"/>",
                self.x(stub.place.offset) - 1.0,
                bar - 4.0,
                BAR_HEIGHT + 8.0,
            );
        }
    }

    /// A branch: half an ellipse from it to where it goes, red where that is out of reach.
    fn arc(&self, from: i64, displacement: i64, svg: &mut String) {
        let colour = if Reach::of_bits(17).covers(displacement) {
            "#2060a0"
        } else {
            "#d02020"
        };
        let (x1, x2) = (self.x(from), self.x(from + 8 + displacement));
        let radius = (x2 - x1).abs() / 2.0;
        let flatness = radius.min(BAR - 40.0);
        let sweep = u8::from(displacement > 0);
        let y = self.top + BAR;
        let _ = writeln!(
            svg,
            "<path d=\"M{x1:.1} {y:.0}A{radius:.1} {flatness:.1} 0 0 {sweep} {x2:.1} {y:.0}\" \
             fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.25\"/>"
        );
    }

    fn x(&self, offset: i64) -> f64 {
        MARGIN + (offset - self.first) as f64 * self.scale
    }
}
