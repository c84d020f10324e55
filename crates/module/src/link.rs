//! The link: contents are copied, symbols resolved, relocations applied, the kernel's names written.

use alloc::vec::Vec;

use klink_arch::{Arch, LoaderPointer};

use crate::error::Error;
use crate::id::{BlockId, SectionId, SymbolId};
use crate::kallsyms;
use crate::layout::range;
use crate::params::Kind;
use crate::placement::{Memory, Placement};
use crate::plan::{Place, Plan};
use crate::region::Block;
use crate::relocate::Relocator;
use crate::resolve::{self, Use};
use crate::symbols::{ModuleId, Symbols};
use crate::tables;

/// A module whose bytes are finished, and that nothing can reach yet.
#[derive(Debug)]
pub struct Linked<'p, 'f, 'a, M> {
    plan: &'p Plan<'f, 'a>,
    memory: Vec<M>,
    values: Vec<u64>,
    uses: Vec<Use>,
    parameters: Vec<(u64, Kind)>,
    gpl_compatible: bool,
    stubs: u64,
    arguments: Vec<u8>,
    pointers: Pointers,
}

impl<'f, 'a> Plan<'f, 'a> {
    /// Links the module for the addresses of `placement`, with what `symbols` exports. The memory is
    /// written here, once.
    ///
    /// # Errors
    /// [`Error::Unresolved`] with every symbol that is missing or refused, or what is wrong with a
    /// relocation. The memory is given back then.
    pub fn link<M: Memory, S: Symbols>(
        &self,
        placement: Placement<M>,
        symbols: &S,
    ) -> Result<Linked<'_, 'f, 'a, M>, Error> {
        let mut memory = placement.into_blocks();
        let bases: Vec<u64> = memory.iter().map(Memory::address).collect();
        let mut images: Vec<&mut [u8]> = memory.iter_mut().map(Memory::bytes).collect();
        let addresses = Addresses { plan: self, bases };
        let pointers = Pointers::new(&addresses, symbols)?;
        let sections: Vec<u64> = (0..self.file().sections().len() as u32)
            .map(|index| addresses.section(SectionId(index)).unwrap_or(0))
            .collect();
        let resolved = resolve::resolve(self.file(), symbols, &sections, pointers.module)?;
        copy_contents(self, &mut images)?;
        let mut relocator = Relocator::new(&addresses, &resolved.values, pointers, &mut images);
        relocator.relocate_all()?;
        let stubs = relocator.stub_count();
        tables::sort_exceptions(self, |place| addresses.of(place), &mut images);
        kallsyms::fill(self, &resolved.values, &mut images).ok_or(Error::NoRoom("names"))?;
        Ok(Linked {
            plan: self,
            memory,
            values: resolved.values,
            uses: resolved.uses,
            parameters: resolved.parameters,
            gpl_compatible: resolved.gpl_compatible,
            stubs,
            arguments: Vec::new(),
            pointers,
        })
    }
}

impl<'p, 'f, 'a, M: Memory> Linked<'p, 'f, 'a, M> {
    /// The plan that it was linked by.
    #[must_use]
    pub const fn plan(&self) -> &'p Plan<'f, 'a> {
        self.plan
    }

    /// The run address of a section; `None` if it is not loaded.
    #[must_use]
    pub fn section_address(&self, section: SectionId) -> Option<u64> {
        let place = self.plan.place(section)?;
        let base = self.memory.get(place.block.index())?.address();
        Some(base.wrapping_add(place.offset))
    }

    /// The bytes of a section as they are in memory; empty if it is not loaded.
    pub fn section_bytes(&mut self, section: SectionId) -> &[u8] {
        let size = self.plan.size(section);
        let found = self.plan.place(section).and_then(|place| {
            let block = self.memory.get_mut(place.block.index())?;
            block.bytes().get(range(place, size)?)
        });
        found.unwrap_or_default()
    }

    /// The command line that its parameters are set from when it is committed: `name=value`,
    /// separated by blanks.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[u8]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// The memory of its blocks, its command line, and the functions that set parameters.
    pub(crate) fn into_parts(self) -> (Vec<M>, Vec<u8>, Vec<(u64, Kind)>) {
        (self.memory, self.arguments, self.parameters)
    }

    pub(crate) const fn is_gpl_compatible(&self) -> bool {
        self.gpl_compatible
    }

    /// The memory of a block.
    pub fn memory(&mut self, block: BlockId) -> Option<&mut M> {
        self.memory.get_mut(block.index())
    }

    /// The blocks and their memory.
    pub fn blocks(&self) -> impl Iterator<Item = (&Block, &M)> {
        self.plan.blocks().iter().zip(&self.memory)
    }

    /// The run address of a symbol; what no section holds has the value that the file says.
    #[must_use]
    pub fn symbol_address(&self, symbol: SymbolId) -> Option<u64> {
        self.values.get(symbol.index()).copied()
    }

    /// The symbols of the kernel and of modules that it uses.
    #[must_use]
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The modules that it uses symbols of, each once.
    #[must_use]
    pub fn dependencies(&self) -> Vec<ModuleId> {
        let mut owners: Vec<ModuleId> = self.uses.iter().filter_map(|used| used.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// What the global pointers hold.
    #[must_use]
    pub const fn pointers(&self) -> Pointers {
        self.pointers
    }

    /// Number of stubs that were made.
    #[must_use]
    pub const fn stub_count(&self) -> u64 {
        self.stubs
    }
}

/// A plan with the addresses of its blocks.
#[derive(Debug)]
pub(crate) struct Addresses<'p, 'f, 'a> {
    pub(crate) plan: &'p Plan<'f, 'a>,
    bases: Vec<u64>,
}

impl Addresses<'_, '_, '_> {
    pub(crate) fn arch(&self) -> &'static Arch {
        self.plan.file().arch()
    }

    /// The run address of a place.
    pub(crate) fn of(&self, place: Place) -> u64 {
        let base = self.bases.get(place.block.index()).copied().unwrap_or(0);
        base.wrapping_add(place.offset)
    }

    /// The run address of a section; `None` if it is not loaded.
    pub(crate) fn section(&self, id: SectionId) -> Option<u64> {
        Some(self.of(self.plan.place(id)?))
    }

    /// The run address of the first loaded section of this name.
    fn named(&self, name: &str) -> Option<u64> {
        let file = self.plan.file();
        let named = |section| file.section_name(section) == name.as_bytes();
        let mut sections = file.section_ids().filter(|(_, section)| named(section));
        sections.find_map(|(id, _)| self.section(id))
    }

    /// Whether an address is in the module.
    pub(crate) fn contains(&self, address: u64) -> bool {
        let blocks = self.plan.blocks().iter().zip(&self.bases);
        // one past the end counts, as in Linux (arch/parisc/kernel/module.c, in_core)
        blocks
            .filter(|(block, _)| !block.is_per_cpu())
            .any(|(block, &base)| address.wrapping_sub(base) <= block.size)
    }
}

/// What global pointers hold.
#[derive(Clone, Copy, Debug)]
pub struct Pointers {
    /// In the module's code.
    pub module: u64,
    /// In the kernel's; `None`: not known.
    pub kernel: Option<u64>,
}

impl Pointers {
    fn new<S: Symbols>(addresses: &Addresses<'_, '_, '_>, symbols: &S) -> Result<Self, Error> {
        let plan = addresses.plan;
        let form = addresses.arch().load.global_pointer;
        let kernel = form
            .symbol()
            .and_then(|symbol| symbols.kernel_symbol(symbol.as_bytes()));
        let module = match form {
            LoaderPointer::None => 0,
            LoaderPointer::Kernel(symbol) => kernel.ok_or(Error::NoGlobalPointer { symbol })?,
            LoaderPointer::Slots => plan.layout().slots.map_or(0, |place| addresses.of(place)),
            LoaderPointer::Section {
                names,
                align,
                offset,
                ..
            } => {
                let base = names.iter().find_map(|name| addresses.named(name));
                let base = base.unwrap_or(0) & !align.wrapping_sub(1);
                base.wrapping_add(offset)
            }
        };
        Ok(Self { module, kernel })
    }
}

/// Copies what sections have in the file.
fn copy_contents(plan: &Plan<'_, '_>, images: &mut [&mut [u8]]) -> Result<(), Error> {
    let file = plan.file();
    for (id, place) in plan.places() {
        let (Some(section), Some(shape)) = (file.section(id), plan.shapes().get(id)) else {
            continue;
        };
        // what only names need is written with them
        if shape.region.is_none() || !shape.has_contents {
            continue;
        }
        let contents = file.contents(section);
        let size = (contents.len() as u64).min(shape.size);
        let out = images.get_mut(place.block.index()).zip(range(place, size));
        let out = out.and_then(|(image, range)| image.get_mut(range));
        let out = out.ok_or(Error::NoRoom("sections"))?;
        out.copy_from_slice(contents.get(..out.len()).unwrap_or_default());
    }
    Ok(())
}
