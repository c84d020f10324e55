//! What the walks for a better order have in common: which units may move, and chance.

use crate::graph::{Graph, UnitId};
use alloc::vec;
use alloc::vec::Vec;

/// The units that may move, and those among which they do.
pub(crate) struct Movers {
    /// The units that are in a run with others.
    pub(crate) units: Vec<UnitId>,
    /// By unit: its run in `graph.runs`.
    pub(crate) run_of: Vec<u32>,
    /// By unit: bytes.
    pub(crate) sizes: Vec<i64>,
}

impl Movers {
    /// `None` if no section may move.
    pub(crate) fn new(graph: &Graph<'_>) -> Option<Self> {
        let mut run_of = vec![0; graph.unit_count()];
        let mut units = Vec::new();
        for (number, run) in graph.runs.iter().enumerate() {
            for unit in run.clone() {
                run_of[unit as usize] = number as u32;
                if run.len() > 1 {
                    units.push(UnitId::new(unit));
                }
            }
        }
        if units.is_empty() {
            return None;
        }
        Some(Self {
            units,
            run_of,
            sizes: graph.unit_ids().map(|unit| graph.size_of(unit)).collect(),
        })
    }
}

/// Pseudo-random numbers (xorshift64*), the same in each run: equal problems have equal answers.
pub(crate) struct Random(u64);

impl Random {
    /// One of several such sequences.
    pub(crate) fn new(sequence: u32) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ u64::from(sequence) << 32)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((bits * u64::from(end)) >> 32) as u32
    }
}
