//! Which patterns of a script can match a name, found by how they begin. A kernel's script has some 400
//! patterns and its objects 10,000 names of sections.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_script::Pattern;

use crate::rules::{Part, Rules};

/// The place of a pattern among the rules: the first one that matches a section counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Match {
    pub rule: u32,
    pub part: u32,
    pub pattern: u32,
}

/// All patterns for section names, by their literal beginnings.
pub(crate) struct PatternIndex<'r> {
    by_beginning: HashMap<&'r [u8], Vec<(Match, &'r Pattern)>, RandomState>,
    /// The lengths of beginnings that there are.
    lengths: Vec<usize>,
}

impl<'r> PatternIndex<'r> {
    pub(crate) fn new(rules: &'r Rules<'_>) -> Self {
        let mut index = Self {
            by_beginning: HashMap::default(),
            lengths: Vec::new(),
        };
        for (rule, output) in rules.outputs.iter().enumerate() {
            for (part, inputs) in output.parts.iter().enumerate() {
                let Part::Inputs(inputs) = inputs else {
                    continue;
                };
                for (number, section) in inputs.sections.iter().enumerate() {
                    let place = Match {
                        rule: rule as u32,
                        part: part as u32,
                        pattern: number as u32,
                    };
                    index.add(place, &section.name);
                }
            }
        }
        index.lengths.sort_unstable();
        index.lengths.dedup();
        index
    }

    fn add(&mut self, place: Match, pattern: &'r Pattern) {
        let beginning = pattern.literal_prefix();
        self.lengths.push(beginning.len());
        let same = self.by_beginning.entry(beginning).or_default();
        same.push((place, pattern));
    }

    /// All patterns that match `name`, in script order.
    pub(crate) fn matches(&self, name: &[u8]) -> Vec<Match> {
        let beginnings = self.lengths.iter().map_while(|&length| name.get(..length));
        let candidates = beginnings.filter_map(|beginning| self.by_beginning.get(beginning));
        let mut found: Vec<Match> = candidates
            .flatten()
            .filter(|(_, pattern)| pattern.matches(name))
            .map(|&(place, _)| place)
            .collect();
        found.sort_unstable();
        found
    }
}
