//! Values all over the range of a relocation, and just beyond it.

use klink_arch::{Addends, Field, PAGE_BYTES, Relocation, StubUse, Value, Values};

use super::{Binutils, Site, TEXT, scatter};

/// What a relocation's value may be.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// What values are multiples of.
    pub(crate) unit: i64,
    /// What is at the relocated place before: it does not count with RELA, but GNU ld for PowerPC
    /// tells by the opcode what fits.
    pub(crate) word: u64,
}

/// Bytes of any value: `min` to `max`.
pub(crate) const fn rule(name: &'static str, (min, max): (i64, i64)) -> Rule {
    Rule {
        name,
        min,
        max,
        unit: 1,
        word: u64::MAX,
    }
}

/// As [`rule`], for multiples of `unit`; `max` is one more than the highest.
pub(crate) const fn units(name: &'static str, unit: i64, (min, max): (i64, i64)) -> Rule {
    Rule {
        name,
        min,
        max: max + 1 - unit,
        unit,
        word: u64::MAX,
    }
}

impl Rule {
    /// The same over such a word.
    pub(crate) const fn over(self, word: u64) -> Self {
        Self { word, ..self }
    }
}

/// −2ⁿ⁻¹ to 2ⁿ⁻¹ − 1.
pub(crate) const fn signed(bits: u32) -> (i64, i64) {
    let half = 1 << (bits - 1);
    (-half, half - 1)
}

/// 0 to 2ⁿ − 1.
pub(crate) const fn unsigned(bits: u32) -> (i64, i64) {
    (0, (1 << bits) - 1)
}

/// −2ⁿ to 2ⁿ − 1: meant as signed or unsigned.
pub(crate) const fn bitfield(bits: u32) -> (i64, i64) {
    (-(1 << bits), (1 << bits) - 1)
}

/// What an address may be, and a distance where the place is added.
pub(crate) const ANY: (i64, i64) = (i64::MIN / 2, i64::MAX / 2);

/// A site whose value is `value`: by the addend where it is in the relocation, which spares ld many
/// symbols; else by the symbol, since a field could not hold it.
pub(crate) fn site(
    tools: &Binutils,
    name: &'static str,
    value: i64,
    offset: u64,
    values: &Values,
) -> Site {
    let row = tools.arch.relocation_by_name(name).unwrap();
    let place = TEXT + offset;
    let base = match row.value {
        Value::Absolute => 0,
        Value::PcRelative { .. } => place,
        Value::GpRelative => values.gp,
        // what is in the page does not count
        Value::PageRelative => (place & !(PAGE_BYTES - 1)) + offset % PAGE_BYTES,
        value => panic!("{name}: {value:?}"),
    };
    let sum = value.wrapping_add(base.cast_signed());
    let (symbol, addend) = match tools.arch.addends {
        // ld names stubs after symbols and small addends
        Addends::Rela if may_have_stub(row) => (sum.cast_unsigned(), 0),
        Addends::Rela => (0x10, sum.wrapping_sub(0x10)),
        Addends::Rel => (sum.cast_unsigned() & 0xffff_ffff, 0),
    };
    Site {
        name,
        word: 0,
        symbol,
        addend,
    }
}

fn may_have_stub(row: &Relocation) -> bool {
    row.branch
        .is_some_and(|branch| branch.stub != StubUse::Never)
}

/// Links each edge of each range alone, and what is beyond it.
pub(crate) fn compare_edges(tools: &Binutils, rules: &[Rule]) {
    if !tools.available() {
        return;
    }
    for rule in rules {
        let Rule {
            name,
            min,
            max,
            unit,
            word,
        } = *rule;
        for (value, fits) in [
            (min, true),
            (min + unit, true),
            (-unit, min < 0),
            (0, true),
            (unit, true),
            (max - unit, true),
            (max, true),
            (max + unit, false),
            (min - unit, false),
            (max * 2 + 2 * unit, false),
        ] {
            let mut site = site(
                tools,
                name,
                value,
                tools.lead(name) as u64,
                &Values::default(),
            );
            if tools.arch.addends == Addends::Rela {
                site.word = word;
            }
            tools.compare_edge(&site, fits);
        }
    }
}

/// Links sites all over the range of each relocation.
pub(crate) fn compare_ranges(tools: &Binutils, rules: &[Rule]) {
    compare_ranges_with(tools, rules, &Values::default());
}

/// As [`compare_ranges`], `values` filling in what formulas need besides S, A and P.
pub(crate) fn compare_ranges_with(tools: &Binutils, rules: &[Rule], values: &Values) {
    if !tools.available() {
        return;
    }
    for rule in rules {
        let (stride, lead) = (tools.stride(rule.name) as u64, tools.lead(rule.name) as u64);
        let all = values_of(tools, rule);
        for batch in all.chunks(1 << 14) {
            let sites: Vec<Site> = batch
                .iter()
                .zip(0..)
                .map(|(&value, nth)| {
                    let mut site = site(tools, rule.name, value, nth * stride + lead, values);
                    // RELA: what was in the field does not count
                    if tools.arch.addends == Addends::Rela {
                        site.word = rule.word;
                    }
                    site
                })
                .collect();
            tools.compare(&sites, &[], values);
        }
    }
}

/// All values where they are few, else the edges and 20,000 of the others.
fn values_of(tools: &Binutils, rule: &Rule) -> Vec<i64> {
    let Rule { min, max, unit, .. } = *rule;
    let width = (i128::from(max) - i128::from(min)) / i128::from(unit) + 1;
    if width <= 1 << 17 {
        // a value of an architecture with addends in fields is a symbol each, which is slow
        let step = match tools.arch.addends {
            Addends::Rel if width > 1 << 10 => 5,
            _ => 1,
        };
        let step = step * usize::try_from(unit).unwrap();
        return (min..=max).step_by(step).chain([max]).collect();
    }
    let random = scatter(20_000).map(|n| {
        let nth = i128::from(n) % width;
        (nth * i128::from(unit) + i128::from(min)) as i64
    });
    [min, min + unit, -unit, 0, unit, max - unit, max]
        .into_iter()
        .filter(|&value| min <= value)
        .chain(random)
        .collect()
}

/// A value that is no multiple of the field's unit is refused by ld and by klink.
pub(crate) fn compare_misaligned(tools: &Binutils, names: &[&'static str]) {
    if !tools.available() {
        return;
    }
    for &name in names {
        let Field { shift, .. } = tools.arch.relocation_by_name(name).unwrap().field;
        for value in 1..1 << shift {
            let site = site(
                tools,
                name,
                value,
                tools.lead(name) as u64,
                &Values::default(),
            );
            tools.compare_edge(&site, false);
        }
    }
}
