//! Runs of pieces without a statement between them. Most stay as they are from pass to pass: where one
//! begins at the same offset of a section that is aligned as before, nothing in it moves, and a pass
//! does not look at what may be thousands of inputs.

use std::ops::Range;

use super::*;

/// What decides where the pieces of a run go.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunStart {
    pub output: OutputId,
    /// The output section's address.
    pub address: u64,
    /// Where the run begins in the section, in bytes.
    pub offset: u64,
    pub subalign: Option<u64>,
    pub fill: Option<FillId>,
    /// Whether the output section takes no room.
    pub ignored: bool,
}

/// What became of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedRun {
    /// The piece behind it.
    pub next: usize,
    /// Where it ends in the section, in bytes.
    pub end: u64,
    /// Whether any of it takes room, be it none.
    pub any: bool,
}

/// A run as it was placed last.
#[derive(Clone, Debug)]
pub(super) struct Run {
    first: usize,
    start: RunStart,
    placed: PlacedRun,
    /// The greatest alignment in it, in bytes.
    align: u64,
    /// From the section's beginning, in bytes.
    gaps: Vec<(u64, u64)>,
}

impl Run {
    /// Whether it would be placed as it was.
    fn stays(&self, start: &RunStart) -> bool {
        let was = &self.start;
        was.offset == start.offset
            && (was.address ^ start.address) & (self.align - 1) == 0
            && was.subalign == start.subalign
            && was.fill == start.fill
            && was.ignored == start.ignored
    }
}

impl RunStart {
    fn gaps(&self, gaps: &[(u64, u64)]) -> impl Iterator<Item = Gap> {
        let output = self.output;
        self.fill.into_iter().flat_map(move |fill| {
            let gaps = gaps.iter();
            gaps.map(move |&(start, end)| Gap {
                output,
                start,
                end,
                fill,
            })
        })
    }
}

impl Layouter<'_, '_> {
    /// Gives an output section other pieces, or the same in another order.
    pub(in crate::image) fn set_pieces(&mut self, output: OutputId, pieces: Vec<Piece>) {
        self.layout.outputs.sections[output].pieces = pieces;
        self.runs[output].clear();
    }

    /// Places the run that begins at `first`, as it was if nothing moves it.
    pub(super) fn place_run(
        &mut self,
        pieces: &[Piece],
        first: usize,
        start: RunStart,
    ) -> Result<PlacedRun> {
        let known = &self.runs[start.output];
        let number = known.partition_point(|run| run.first < first);
        let old = known.get(number).filter(|run| run.first == first);
        if let Some(run) = old.filter(|run| run.stays(&start)) {
            self.layout.gaps.extend(start.gaps(&run.gaps));
            return Ok(run.placed);
        }
        let is_old = old.is_some();
        // What may have another size in the next pass is no part of any run.
        let is_late = self.is_late(&pieces[first]);
        let others = pieces[first..].iter();
        let others = others.take_while(|piece| match piece {
            Piece::Statement(_) => false,
            Piece::Section(_) | Piece::Island(_) => !self.is_late(piece),
        });
        let next = first + if is_late { 1 } else { others.count() };
        let run = self.place_anew(pieces, first..next, start)?;
        self.layout.gaps.extend(start.gaps(&run.gaps));
        let placed = run.placed;
        let known = &mut self.runs[start.output];
        match is_old {
            _ if is_late => {}
            true => known[number] = run,
            false => known.insert(number, run),
        }
        Ok(placed)
    }

    fn is_late(&self, piece: &Piece) -> bool {
        match *piece {
            Piece::Section(input) => self.layout.late_sizes.get(input).is_some(),
            Piece::Statement(_) | Piece::Island(_) => false,
        }
    }

    fn place_anew(&mut self, pieces: &[Piece], run: Range<usize>, start: RunStart) -> Result<Run> {
        let (output, address) = (start.output, start.address);
        let offset_of = |place: u64| place.wrapping_sub(address);
        let mut end = address.wrapping_add(start.offset);
        let (mut align, mut align_of_inputs, mut any) = (1, 1, false);
        let mut gaps = Vec::new();
        for piece in &pieces[run.clone()] {
            let (size, own_align) = match *piece {
                Piece::Statement(_) => continue,
                Piece::Section(input) if start.ignored || self.is_gone(input) => {
                    self.layout.placements.set_offset(input, offset_of(end));
                    continue;
                }
                Piece::Section(input) => {
                    let extent = self.extent(input, start.subalign);
                    align_of_inputs = extent.1.max(align_of_inputs);
                    extent
                }
                Piece::Island(number) => {
                    let islands = &self.layout.islands;
                    (islands.size(number), islands.align())
                }
            };
            let place = eval::align_up(end, own_align);
            if start.fill.is_some() && end < place {
                gaps.push((offset_of(end), offset_of(place)));
            }
            match *piece {
                Piece::Section(input) => {
                    self.layout.placements.set_offset(input, offset_of(place));
                }
                Piece::Island(number) => {
                    self.layout.islands.islands[number as usize].offset = offset_of(place);
                }
                Piece::Statement(_) => {}
            }
            end = place
                .checked_add(size)
                .ok_or_else(|| too_large(&self.layout.outputs.sections[output]))?;
            align = own_align.max(align);
            any = true;
        }
        let section = &mut self.layout.outputs.sections[output];
        section.align = section.align.max(align_of_inputs);
        Ok(Run {
            first: run.start,
            start,
            placed: PlacedRun {
                next: run.end,
                end: offset_of(end),
                any,
            },
            align,
            gaps,
        })
    }
}

fn too_large(section: &crate::output::OutputSection<'_>) -> LinkError {
    LinkError::BadSection {
        file: "output".to_owned(),
        section: String::from_utf8_lossy(section.name).into_owned(),
        what: "its inputs are larger together than an address can tell".to_owned(),
    }
}
