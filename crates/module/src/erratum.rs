//! The work around an erratum of processors: an instruction that computes a page's address must not stand
//! at certain offsets of a page.
//!
//! Source: Linux 6.1 `arch/arm64/kernel/module.c` (reloc_insn_adrp), `module-plts.c`
//! (module_emit_veneer_for_adrp). The facts are in [`PageErratum`].

use klink_arch::{Field, PAGE_BYTES, PageErratum, RelocError, Values};

use crate::branch::area;
use crate::error::Error;
use crate::relocate::{At, Relocator};
use crate::stubs::{Area, StubPlan};

/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;

impl Relocator<'_, '_, '_, '_, '_> {
    /// Applies a relocation that must not be applied as it is; whether it was one.
    pub(crate) fn avoid_erratum(
        &mut self,
        erratum: &PageErratum,
        at: &At<'_>,
        values: &Values,
    ) -> Result<bool, Error> {
        let hit = erratum.types.binary_search(&at.raw.number).is_ok();
        if !hit || !erratum.hits(values.place) {
            return Ok(false);
        }
        let target = values.symbol.wrapping_add_signed(values.addend);
        let page = Values {
            symbol: target & !(PAGE_BYTES - 1),
            addend: 0,
            ..*values
        };
        let endian = self.arch.endian;
        let bytes = self.field(at.site, at.raw.offset);
        match erratum.near.apply(endian, bytes, &page) {
            Ok(()) => {
                let field = Field::DATA32;
                let word = field.read(endian, bytes);
                word.and_then(|word| field.write(endian, bytes, word & !erratum.near_clear))
            }
            Err(RelocError::OutOfRange { .. }) => {
                self.leave_the_page(erratum, at, &page)?;
                Ok(())
            }
            Err(error) => Err(error),
        }
        .map_err(|error| self.failed(at, error))?;
        Ok(true)
    }

    /// Makes the instruction a branch to a stub that does the same and branches back.
    fn leave_the_page(
        &mut self,
        erratum: &PageErratum,
        at: &At<'_>,
        page: &Values,
    ) -> Result<(), Error> {
        let endian = self.arch.endian;
        let field = Field::DATA32;
        let branch = self.arch.relocation(erratum.branch_type);
        let branch = branch.ok_or(Error::NoRoom("stubs"))?;
        let old = field.read(endian, self.field(at.site, at.raw.offset));
        let old = old.map_err(|error| self.failed(at, error))?;
        let stub = self.erratum_room(at)?;
        let go = |bytes: &mut [u8], place: u64, target: u64| {
            let values = Values {
                symbol: target,
                place,
                ..Values::default()
            };
            field.write(endian, bytes, erratum.branch.into())?;
            branch.apply(endian, bytes, &values)
        };
        let arch = self.arch;
        let start = usize::try_from(stub.offset).ok();
        let image = self.images.get_mut(stub.block.index());
        let image = image.and_then(|image| image.get_mut(start?..));
        let image = image.ok_or(Error::NoRoom("stubs"))?;
        let in_stub = Values {
            place: stub.address,
            ..*page
        };
        let template = erratum.template;
        let written = template
            .resolve_with(arch, &in_stub, image)
            .and_then(|()| {
                let register = old & u64::from(erratum.register_mask);
                for (word, shifts) in image.chunks_mut(4).zip(erratum.register_shifts) {
                    let named = shifts
                        .iter()
                        .fold(0, |named, shift| named | register << shift);
                    let instruction = field.read(endian, word)?;
                    field.write(endian, word, instruction | named)?;
                }
                let back = image.get_mut(template.len()..).unwrap_or_default();
                let from = stub.address.wrapping_add(template.len() as u64);
                go(back, from, page.place.wrapping_add(INSTRUCTION))
            })
            .and_then(|()| go(self.field(at.site, at.raw.offset), page.place, stub.address));
        written.map_err(|error| self.failed(at, error))
    }

    fn erratum_room(&mut self, at: &At<'_>) -> Result<Area, Error> {
        let (addresses, site) = (self.addresses, at.site);
        let in_init = site.place.region.is_init();
        match &mut self.stubs {
            Some(stubs) => match stubs.plan {
                StubPlan::Linux(linux) => {
                    let key = linux.area_key(site.id, in_init).0;
                    stubs
                        .writer
                        .room(key, || area(addresses, linux, site, in_init))
                }
                StubPlan::None | StubPlan::Islands(_) => Err(Error::NoRoom("stubs")),
            },
            None => Err(Error::NoRoom("stubs")),
        }
    }
}
