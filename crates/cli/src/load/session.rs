//! Loads modules one after the other, as a kernel does that has nothing else to do.

use std::path::Path;
use std::time::{Duration, Instant};

use klink_arch::Arch;
use klink_module::{
    InitDiscarded, Linked, Live, LoadError, ModuleFile, Modules, Policy, RegionKind, Rules,
    SectionId, Taints,
};

use super::branches;
use super::check::{self, Check};
use super::dump;
use super::error::{Failure, Reason};
use super::kernel::Kernel;
use super::layout::{Layout, guard};
use super::memory::{Machine, Simulated};
use super::parameters::{self, Parameter};
use super::report::{self, Init, Region, Report, Section, Stubs, Times};
use super::tree::{Entry, Role};
use crate::compressed::Contents;

/// What is wanted besides loading.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extras<'o> {
    /// Sections in the reports, and the headroom of branches.
    pub(crate) details: bool,
    /// Every branch decoded and followed.
    pub(crate) prove: bool,
    /// Every branch in the report.
    pub(crate) jumps: bool,
    /// Where the regions go.
    pub(crate) dump: Option<&'o Path>,
}

/// A kernel with the modules that are loaded into it.
pub(crate) struct Session<'k> {
    kernel: &'k Kernel,
    arch: &'static Arch,
    policy: Policy,
    machine: Machine,
    modules: Modules,
    live: Vec<Live<Simulated, InitDiscarded>>,
    check: Check,
    vermagic: Option<Vec<u8>>,
    extras: Extras<'k>,
}

impl<'k> Session<'k> {
    /// A kernel without modules.
    pub(crate) fn new(
        kernel: &'k Kernel,
        arch: &'static Arch,
        layout: Layout,
        base: Option<u64>,
        extras: Extras<'k>,
    ) -> Self {
        let policy = layout.policy(arch);
        Self {
            kernel,
            arch,
            policy,
            machine: Machine::new(&arch.load.space, base, guard(&policy)),
            modules: Modules::new(),
            live: Vec::new(),
            check: Check::default(),
            vermagic: None,
            extras,
        }
    }

    /// Loads a module.
    ///
    /// # Errors
    /// Whatever a kernel would say.
    pub(crate) fn load(
        &mut self,
        entry: &Entry,
        role: Role,
        given: &[Parameter],
    ) -> Result<Report, Failure> {
        self.try_load(entry, role, given).map_err(|reason| Failure {
            name: entry.name.clone(),
            path: entry.path.clone(),
            reason: Box::new(reason),
        })
    }

    fn try_load(
        &mut self,
        entry: &Entry,
        role: Role,
        given: &[Parameter],
    ) -> Result<Report, Reason> {
        let start = Instant::now();
        let contents = Contents::open(&entry.path).map_err(Reason::Read)?;
        let mut clock = Clock::new(start.elapsed());
        let file = ModuleFile::parse(&contents)?;
        if !std::ptr::eq(file.arch(), self.arch) {
            return Err(Reason::OtherArch {
                is: file.arch().name,
                wanted: self.arch.name,
            });
        }
        let taints = self.check_rules(&file)?;
        clock.times.parse = clock.lap();
        let plan = file.plan(&self.policy)?;
        clock.times.plan = clock.lap();
        let machine = &mut self.machine;
        let placement = plan.allocate(|block| {
            klink_module::Host::allocate(machine, block).map_err(LoadError::Host)
        })?;
        clock.times.allocate = clock.lap();
        let linked = plan.link(placement, &self.modules.with_kernel(self.kernel))?;
        clock.times.link = clock.lap();

        let mut report = self.describe(&file, &linked, taints, role);
        let branches_are_wanted = self.extras.details && role == Role::Wanted;
        if branches_are_wanted || self.extras.prove {
            report.branches = branches::examine(&contents, &linked, self.extras.jumps);
        }
        if let Some(folder) = self.extras.dump {
            dump::write(folder, entry.name.as_str(), &linked)
                .map_err(|error| Reason::Read(error.into()))?;
        }
        report.name = entry.name.to_string();
        report.file = entry.path.display().to_string();
        report.file_bytes = contents.file_bytes;

        let linked = linked.with_arguments(parameters::command_line(given).as_bytes());
        clock.lap();
        let live = linked.commit(&mut self.machine, &mut self.modules)?;
        clock.times.commit = clock.lap();
        let freed = check::init_ranges(&live);
        clock.lap();
        let live = live.discard_init(&mut self.machine);
        // what cannot be protected is loaded all the same
        let mut live = live.unwrap_or_else(|(live, _)| live);
        clock.times.discard = clock.lap();
        let parameters = live.parameters(&self.machine).into_iter();
        report.parameters = parameters.map(report::Parameter::from).collect();
        report.unknown_parameters = live.unknown_parameters().to_vec();
        report.init.freed = live.freed();
        report.init.dropped_entries = live.dropped_entries();
        report.times = clock.times;
        self.check.note(live.id(), freed);
        self.live.push(live);
        Ok(report)
    }

    /// Walks all tables of all modules that are loaded.
    pub(crate) fn walk_tables(&self) -> check::Walk {
        self.check.walk(self.arch, &self.live)
    }

    fn check_rules(&mut self, file: &ModuleFile<'_>) -> Result<Taints, Reason> {
        let rules = Rules {
            vermagic: self.vermagic.as_deref(),
            wants_this_module: true,
        };
        let taints = rules.check(file)?;
        if self.vermagic.is_none() {
            self.vermagic = file.modinfo_value(b"vermagic").map(<[u8]>::to_vec);
        }
        Ok(taints)
    }

    fn describe(
        &self,
        file: &ModuleFile<'_>,
        linked: &Linked<'_, '_, '_, Simulated>,
        taints: Taints,
        role: Role,
    ) -> Report {
        let plan = linked.plan();
        let uses = linked.dependencies();
        let uses = uses.iter().filter_map(|&id| self.modules.get(id));
        let (init, code) = plan.init_sizes();
        Report {
            role: role.name(),
            architecture: self.arch.name,
            taints: taints.to_string(),
            regions: regions(file, linked, self.extras.details),
            memory_bytes: plan.total_size(),
            stubs: Stubs {
                made: linked.stub_count(),
                reserved_bytes: plan.stub_bytes(),
            },
            symbols_used: linked.uses().len() as u64,
            uses: uses.map(|record| record.name().to_owned()).collect(),
            init: Init {
                text: code,
                data: init - code,
                ..Init::default()
            },
            ..Report::default()
        }
    }
}

fn regions(
    file: &ModuleFile<'_>,
    linked: &Linked<'_, '_, '_, Simulated>,
    with_sections: bool,
) -> Vec<Region> {
    let plan = linked.plan();
    let section = |id: SectionId, kind: RegionKind| {
        plan.place(id).filter(|place| place.region == kind)?;
        Some(Section {
            name: String::from_utf8_lossy(file.section_name(file.section(id)?)).into_owned(),
            address: linked.section_address(id)?,
            size: plan.size(id),
        })
    };
    let mut regions = Vec::new();
    for (block, memory) in linked.blocks() {
        let base = klink_module::Memory::address(memory);
        for region in &block.regions {
            let sections = plan.places().filter_map(|(id, _)| section(id, region.kind));
            let mut sections: Vec<Section> = sections.collect();
            sections.sort_by_key(|section| (section.address, section.size));
            let used = sections.iter().map(|section| section.size).sum();
            regions.push(Region {
                kind: region.kind,
                address: base.wrapping_add(region.offset),
                size: region.size,
                used,
                section_count: sections.len() as u64,
                sections: if with_sections { sections } else { Vec::new() },
            });
        }
    }
    regions
}

impl From<klink_module::Parameter> for report::Parameter {
    fn from(parameter: klink_module::Parameter) -> Self {
        Self {
            name: parameter.name,
            value: parameter.value,
            permissions: parameter.permissions,
        }
    }
}

/// Measures one step after the other.
struct Clock {
    last: Instant,
    times: Times,
}

impl Clock {
    fn new(read: Duration) -> Self {
        Self {
            last: Instant::now(),
            times: Times {
                read,
                ..Times::default()
            },
        }
    }

    /// Time since the last call.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.last, now)
    }
}
