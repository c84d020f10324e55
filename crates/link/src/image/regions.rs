//! Memory regions: MEMORY's, and the default one that all addresses belong to.

use klink_script::{MemoryRegion, RegionFlag};

use crate::output::Traits;

/// A region of memory while a pass fills it.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub name: String,
    /// Other names that `REGION_ALIAS` gives it.
    aliases: Vec<String>,
    pub origin: u64,
    /// Bytes.
    pub length: u64,
    /// Which sections without a region go here: some of these …
    with: Vec<RegionFlag>,
    /// … and none of these.
    without: Vec<RegionFlag>,
    /// The next free address.
    pub current: u64,
    /// The section whose distance between load address and address the next one keeps.
    pub last: Option<crate::id::OutputId>,
}

impl Region {
    /// Which sections without a region go here: some of the first, none of the second.
    pub(super) fn attributes(&self) -> (&[RegionFlag], &[RegionFlag]) {
        (&self.with, &self.without)
    }
}

/// A region, by number; the default one is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RegionId(usize);

/// The region without a name, which is all memory.
pub(super) const DEFAULT: RegionId = RegionId(0);

/// What GNU ld calls it (ld/ldlang.h, `DEFAULT_MEMORY_REGION`).
const DEFAULT_NAME: &str = "*default*";

/// Why a region cannot have another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadAlias {
    /// One of the two is all memory.
    Default,
    /// There is a region of that name.
    Redefined,
    /// There is no such region.
    Unknown,
}

/// All regions of a link.
#[derive(Clone, Debug)]
pub(super) struct Regions {
    regions: Vec<Region>,
}

impl Regions {
    /// The default region alone.
    pub(super) fn new() -> Self {
        Self {
            regions: vec![Region {
                name: DEFAULT_NAME.to_owned(),
                aliases: Vec::new(),
                origin: 0,
                length: u64::MAX,
                with: Vec::new(),
                without: Vec::new(),
                current: 0,
                last: None,
            }],
        }
    }

    /// Adds a region of a script, once its numbers are known.
    pub(super) fn add(&mut self, region: &MemoryRegion, origin: u64, length: u64) {
        let flags = |without| {
            let chosen = region
                .attributes
                .iter()
                .filter(move |a| a.without == without);
            chosen.map(|attribute| attribute.flag).collect()
        };
        self.regions.push(Region {
            name: region.name.value.clone(),
            aliases: Vec::new(),
            origin,
            length,
            with: flags(false),
            without: flags(true),
            current: origin,
            last: None,
        });
    }

    /// Adds a region that a script names but does not declare: it begins at 0 and has no end
    /// (ld/ldlang.c, `lang_memory_region_lookup`).
    pub(super) fn add_undeclared(&mut self, name: &str) -> RegionId {
        self.regions.push(Region {
            name: name.to_owned(),
            ..self.regions[0].clone()
        });
        RegionId(self.regions.len() - 1)
    }

    /// Gives a region a second name (ld/ldlang.c, `lang_memory_region_alias`).
    pub(super) fn alias(&mut self, alias: &str, region: &str) -> Result<(), BadAlias> {
        if [alias, region].contains(&DEFAULT_NAME) {
            return Err(BadAlias::Default);
        }
        if self.find(alias).is_some() {
            return Err(BadAlias::Redefined);
        }
        let id = self.find(region).ok_or(BadAlias::Unknown)?;
        self.regions[id.0].aliases.push(alias.to_owned());
        Ok(())
    }

    /// The regions of scripts, in order.
    pub(super) fn of_script(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().skip(1)
    }

    /// The region without a name.
    pub(super) fn default_region(&self) -> &Region {
        &self.regions[DEFAULT.0]
    }

    /// Whether a script defines any.
    pub(super) fn is_empty(&self) -> bool {
        self.regions.len() == 1
    }

    pub(super) fn find(&self, name: &str) -> Option<RegionId> {
        let is = |region: &Region| region.name == name || region.aliases.iter().any(|a| a == name);
        self.regions.iter().position(is).map(RegionId)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Region> {
        self.find(name).map(|id| &self.regions[id.0])
    }

    pub(super) fn get(&self, id: RegionId) -> &Region {
        &self.regions[id.0]
    }

    pub(super) fn get_mut(&mut self, id: RegionId) -> &mut Region {
        &mut self.regions[id.0]
    }

    /// Empties all of them before a pass.
    pub(super) fn reset(&mut self) {
        for region in &mut self.regions {
            region.current = region.origin;
            region.last = None;
        }
    }

    /// The region for a section that names none (ld/ldlang.c, `lang_memory_default`): the first whose
    /// attributes fit.
    pub(super) fn default_for(&self, traits: Traits) -> RegionId {
        let is_writable =
            traits.contains(Traits::ALLOC) && !traits.intersects(Traits::READ_ONLY | Traits::CODE);
        let has = |flag: &RegionFlag| match flag {
            RegionFlag::Alloc => traits.contains(Traits::ALLOC),
            RegionFlag::ReadOnly => traits.contains(Traits::READ_ONLY),
            RegionFlag::ReadWrite => traits.contains(Traits::DATA) || is_writable,
            RegionFlag::Executable => traits.contains(Traits::CODE),
            RegionFlag::Initialized => traits.contains(Traits::LOAD),
        };
        let fits = |region: &Region| region.with.iter().any(has) && !region.without.iter().any(has);
        let found = self.regions.iter().skip(1).position(fits);
        found.map_or(DEFAULT, |at| RegionId(at + 1))
    }
}
