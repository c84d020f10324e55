//! Sections that are about others (`SHF_LINK_ORDER`) stand in their order (ld/ldelfgen.c,
//! `fixup_link_order`).

use super::*;

/// Layouts after which the order is left as it is (ld/ldelfgen.c, `ldelf_map_segments`).
const MAX_TRIES: u32 = 10;

/// What decides where an input stands: first those that are about no other; the others by where the
/// sections that they are about are loaded, those sections' sizes, and where they run.
type Rank = (bool, u64, u64, u64);

impl<'a> Layouter<'a, '_> {
    /// Orders them, once sections have places, and lays out again as long as that moves something.
    pub(super) fn follow_links(&mut self) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let outputs = self.layout.outputs.order.clone();
            let mut moved = false;
            for output in outputs {
                moved |= self.order_by_links(output);
            }
            if !moved {
                return Ok(());
            }
            self.settle_again()?;
        }
        Ok(())
    }

    /// Sorts the inputs that one pattern took, or that were orphans. Whether any changed its place.
    fn order_by_links(&mut self, output: OutputId) -> bool {
        let section = &self.layout.outputs.sections[output];
        if !section
            .sections()
            .any(|input| self.linked_to(input).is_some())
        {
            return false;
        }
        let mut pieces = section.pieces.clone();
        let starts = section.part_starts.iter().copied();
        let bounds: Vec<usize> = std::iter::once(0)
            .chain(starts)
            .chain([pieces.len()])
            .collect();
        for bounds in bounds.windows(2) {
            if let Some(part) = pieces.get_mut(bounds[0]..bounds[1]) {
                self.sort_part(part);
            }
        }
        let moved = pieces != self.layout.outputs.sections[output].pieces;
        if moved {
            self.set_pieces(output, pieces);
        }
        moved
    }

    fn sort_part(&self, part: &mut [Piece]) {
        let is_input = |piece: &&mut Piece| matches!(piece, Piece::Section(_));
        let slots: Vec<&mut Piece> = part.iter_mut().filter(is_input).collect();
        let mut inputs: Vec<Piece> = slots.iter().map(|piece| (**piece).clone()).collect();
        inputs.sort_by_key(|piece| match *piece {
            Piece::Section(input) => self.rank(input),
            _ => Rank::default(),
        });
        for (slot, input) in slots.into_iter().zip(inputs) {
            *slot = input;
        }
    }

    fn rank(&self, input: SectionId) -> Rank {
        let Some(other) = self.linked_to(input) else {
            return Rank::default();
        };
        let start = self
            .layout
            .placements
            .output(other)
            .map_or((0, 0), |output| {
                let section = &self.layout.outputs.sections[output];
                (section.load_address, section.address)
            });
        let offset = self.layout.placements.offset(other);
        let (size, _) = self.extent(other, None);
        let [load, run] = [start.0, start.1].map(|start| start.wrapping_add(offset));
        (true, load, size, run)
    }

    /// The section that an input is about.
    fn linked_to(&self, input: SectionId) -> Option<SectionId> {
        self.resolved.linked_to(input)
    }
}
