//! What tests and the bench share: the real call graphs, made-up ones, and
//! the strategies of others.
#![allow(dead_code, unreachable_pub, reason = "every user uses a part of it")]

pub mod oracle;
pub mod others;

use flate2::read::GzDecoder;
use klink_reach::*;
use std::io::Read;

/// PA-RISC's 17-bit branch: 17 bits of words, counted from 8 bytes behind the
/// branch (psABI, R_PARISC_PCREL17F).
pub const PCREL17F: Form = Form {
    min: -(256 << 10) + 8,
    max: (256 << 10) - 4 + 8,
    stub: true,
};

/// Three instructions, absolute or pc-relative.
pub const STUBS: StubSizes = StubSizes {
    external: 12,
    internal: 12,
    align: 4,
};

/// A problem that owns its parts.
#[derive(Clone, Debug)]
pub struct Owned {
    pub sections: Vec<Section>,
    pub branches: Vec<Branch>,
    pub forms: Vec<Form>,
    pub stubs: StubSizes,
    pub reorder: Reorder,
    pub ends: Ends,
}

impl Owned {
    pub fn problem(&self) -> Problem<'_> {
        Problem {
            sections: &self.sections,
            branches: &self.branches,
            forms: &self.forms,
            stubs: self.stubs,
            reorder: self.reorder,
            ends: self.ends,
        }
    }

    pub fn reordered(mut self, reorder: Reorder) -> Self {
        self.reorder = reorder;
        self
    }

    /// No answer has fewer stubs: each external target needs one.
    pub fn least_stubs(&self) -> usize {
        let mut externals: Vec<_> = self.branches.iter().map(|branch| branch.target).collect();
        externals.retain(|target| matches!(target, Target::External(_)));
        externals.sort_unstable();
        externals.dedup();
        externals.len()
    }
}

/// Core text of Linux 6.1's xfs.ko, PA-RISC 32-bit; see `examples/extract.rs`.
pub fn xfs() -> Owned {
    read(include_bytes!("../data/xfs.txt.gz"))
}

/// Core text of Linux 6.1's ipv6.ko, PA-RISC 32-bit.
pub fn ipv6() -> Owned {
    read(include_bytes!("../data/ipv6.txt.gz"))
}

fn read(compressed: &[u8]) -> Owned {
    let mut text = String::new();
    GzDecoder::new(compressed)
        .read_to_string(&mut text)
        .expect("the data file is gzip");
    let (mut sections, mut branches) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (kind, numbers) = line.split_at(1);
        let numbers: Vec<i64> = numbers
            .split_whitespace()
            .map(|n| n.parse().expect("a number"))
            .collect();
        let target = match kind {
            "s" => {
                sections.push(Section::new(numbers[0] as u64, numbers[1].max(1) as u64));
                continue;
            }
            "i" => Target::Section {
                section: SectionId::new(numbers[1] as u32),
                offset: numbers[2],
            },
            _ => Target::External(ExternalId::new(numbers[1] as u32)),
        };
        let section = SectionId::new(sections.len() as u32 - 1);
        branches.push(Branch {
            section,
            offset: numbers[0] as u64,
            target,
            form: FormId::new(0),
        });
    }
    let (forms, reorder, ends) = (vec![PCREL17F], Reorder::Keep, Ends::default());
    Owned {
        sections,
        branches,
        forms,
        stubs: STUBS,
        reorder,
        ends,
    }
}

/// Pseudo-random numbers: the same on every run and machine (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }
}

/// A program of `branches` calls: ten for each function; of these, one in
/// eight goes out, half go to one of the 200 functions around, and the
/// others further, most of them to few functions that are called a lot.
/// `text` is its size in bytes, `reach` that of its branches.
pub fn program(branches: u32, text: u64, reach: i64) -> Owned {
    let count = (branches / 10).max(1);
    let mut random = Random::new(7);
    let mean = text / u64::from(count);
    let size = |_| Section::new(4 * (1 + random.below(mean / 2)), 4);
    let sections: Vec<Section> = (0..count).map(size).collect();
    let call = |index: u32| {
        let caller = index / 10 % count;
        let near = |n: u64| (u64::from(caller) + n) % u64::from(count);
        let section = match random.below(8) {
            0 => None,
            1..=4 => Some(near(200 * u64::from(count) + random.below(200) - 100)),
            _ => {
                let spread = 1 + random.below(u64::from(count));
                let most = 1 + random.below(spread);
                let rank = random.below(most);
                // Spread those that are called a lot over the program.
                Some(rank * 7919 % u64::from(count))
            }
        };
        let target = match section {
            Some(n) => Target::Section {
                section: SectionId::new(n as u32),
                offset: 0,
            },
            // Few are called from everywhere, many from few places.
            None => {
                let spread = 1 + random.below(u64::from(count / 8).max(1));
                Target::External(ExternalId::new(random.below(spread) as u32))
            }
        };
        let size = sections[caller as usize].size;
        let offset = 4 * random.below(size / 4);
        Branch {
            section: SectionId::new(caller),
            offset,
            target,
            form: FormId::new(0),
        }
    };
    let branches = (0..branches).map(call).collect();
    let forms = vec![Form {
        min: -reach,
        max: reach - 4,
        stub: true,
    }];
    let (reorder, ends) = (Reorder::Keep, Ends::default());
    Owned {
        sections,
        branches,
        forms,
        stubs: STUBS,
        reorder,
        ends,
    }
}
