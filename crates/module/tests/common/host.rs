//! A host of plain memory, which writes down what it is asked for.

use klink_module::{Block, Error, Host, LiveTable, Memory, Placement, Plan, RegionKind, Rights};

/// Memory that runs nowhere.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Memory for Simulated {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Gives addresses one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) next: u64,
    pub(crate) per_cpu: u64,
}

impl Space {
    pub(crate) fn place(&mut self, block: &Block) -> u64 {
        let next = match block.is_per_cpu() {
            true => &mut self.per_cpu,
            false => &mut self.next,
        };
        let address = next.next_multiple_of(block.align);
        *next = address + block.size;
        address
    }
}

/// A kernel without processors.
#[derive(Debug)]
pub(crate) struct SimulatedHost {
    pub(crate) space: Space,
    /// What init returns.
    pub(crate) init_result: i32,
    /// What it was asked for, in order.
    pub(crate) log: Vec<String>,
    /// The strings that it was given to keep.
    pub(crate) strings: Vec<Vec<u8>>,
    /// Bytes that it grants for a block.
    pub(crate) limit: u64,
}

impl SimulatedHost {
    pub(crate) fn new(space: Space) -> Self {
        Self {
            space,
            init_result: 0,
            log: Vec::new(),
            strings: Vec::new(),
            limit: 1 << 30,
        }
    }
}

impl Host for SimulatedHost {
    type Memory = Simulated;
    type Error = String;

    fn allocate(&mut self, block: &Block) -> Result<Simulated, String> {
        if block.size > self.limit {
            return Err(format!("no room for {} bytes", block.size));
        }
        Ok(Simulated {
            address: self.space.place(block),
            bytes: vec![0; block.size as usize],
        })
    }

    fn protect(
        &mut self,
        _: &mut Simulated,
        block: &Block,
        init_has_returned: bool,
    ) -> Result<(), String> {
        for region in &block.regions {
            let rights = match region.kind.rights(init_has_returned) {
                Rights::Read => "r",
                Rights::ReadWrite => "rw",
                Rights::ReadExecute => "rx",
            };
            self.log.push(format!("protect {:?} {rights}", region.kind));
        }
        Ok(())
    }

    fn register(&mut self, tables: &[LiveTable]) -> Result<(), String> {
        self.log.push(format!("register {}", tables.len()));
        Ok(())
    }

    fn trimmed(&mut self, _: &[LiveTable]) {
        self.log.push("trimmed".into());
    }

    fn unregister(&mut self, tables: &[LiveTable]) {
        self.log.push(format!("unregister {}", tables.len()));
    }

    fn quiesce(&mut self) {
        self.log.push("quiesce".into());
    }

    fn kept_string(&self, address: u64) -> Option<&[u8]> {
        let nth = (address / 0x1000).checked_sub(1)?;
        self.strings.get(nth as usize).map(Vec::as_slice)
    }

    fn keep_string(&mut self, text: &[u8]) -> Option<u64> {
        self.strings.push(text.to_vec());
        Some(0x1000 * self.strings.len() as u64)
    }

    fn call_init(&mut self, _: u64) -> i32 {
        self.log.push("init".into());
        self.init_result
    }

    fn call_exit(&mut self, _: u64) {
        self.log.push("exit".into());
    }
}

/// Memory for a plan, at the addresses that `space` gives.
pub(crate) fn placed(plan: &Plan<'_, '_>, mut space: Space) -> Placement<Simulated> {
    let placement = plan.allocate(|block| {
        Ok::<_, Error>(Simulated {
            address: space.place(block),
            bytes: vec![0; block.size as usize],
        })
    });
    placement.expect("blocks behind each other")
}

/// Walks every entry of every table of `live`, and gives those that point into one of `gone`.
pub(crate) fn dangling<Stage>(
    live: &mut klink_module::Live<Simulated, Stage>,
    numbers: klink_tables::Numbers,
    gone: &[std::ops::Range<u64>],
) -> Vec<String> {
    let tables = live.tables().to_vec();
    let memory = live.blocks().filter_map(|(_, memory)| memory);
    let stays: Vec<_> = memory
        .map(|memory| memory.address..memory.address + memory.bytes.len() as u64)
        .collect();
    let stays = |address: u64| stays.iter().any(|range| range.contains(&address));
    let mut found = Vec::new();
    for table in tables {
        let Some(form) = table.form else {
            continue;
        };
        let block = live.blocks_mut().find_map(|(_, memory)| {
            let memory = memory?;
            let start = table.address.checked_sub(memory.address)? as usize;
            memory.bytes.get(start..start + table.size as usize)
        });
        let bytes = block.expect("a table that is still there");
        let view = klink_tables::table::Table::new(form, numbers, bytes, table.address);
        for entry in view.entries() {
            for target in entry.targets() {
                // what ends a freed section counts too, where nothing else begins
                let is_end = gone.iter().any(|range| range.end == target) && !stays(target);
                if is_end || gone.iter().any(|range| range.contains(&target)) {
                    found.push(format!(
                        "{} entry {}: {target:#x}",
                        table.name,
                        entry.index()
                    ));
                }
            }
        }
    }
    found
}

/// The addresses of the blocks that will be freed.
pub(crate) fn init_ranges<Stage>(
    live: &klink_module::Live<Simulated, Stage>,
) -> Vec<std::ops::Range<u64>> {
    live.blocks()
        .filter(|(block, _)| block.is_init())
        .filter_map(|(block, memory)| Some((block, memory?.address)))
        .map(|(block, address)| address..address + block.size)
        .collect()
}

/// Whether a region may be written and executed at once: never.
pub(crate) fn is_write_xor_execute(kind: RegionKind) -> bool {
    [false, true]
        .into_iter()
        .all(|after| matches!(kind.rights(after), Rights::ReadExecute) == kind.is_code())
}
