//! `.dynsym`: which number each dynamic symbol has, and with the numbers the tables that need no
//! address: `.hash`, `.gnu.hash` and `.gnu.version`.
//!
//! Source: bfd/elflink.c (_bfd_elf_link_renumber_dynsyms, bfd_elf_size_dynsym_hash_dynstr,
//! elf_gnu_hash_process_symidx, elf_link_output_extsym).

use klink_arch::Class;

use super::encode::{Encoder, Form};
use super::hash::{self, Kind};

/// A global name that is in `.dynsym`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DynamicName<'a> {
    /// The name, without `@version`.
    pub(crate) name: &'a [u8],
    /// Whether it is local in the output (a version script or its visibility made it so) and yet
    /// has to be there.
    pub(crate) local: bool,
    /// Whether it is defined in the output: `.gnu.hash` has no others.
    pub(crate) defined: bool,
    /// Its entry of `.gnu.version`: 1 for the base version, else as
    /// [`Assignment::entry`](super::versions::Assignment::entry) has it.
    pub(crate) version: u16,
}

/// Which hash tables there are (`--hash-style`), and how they are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HashTables {
    /// `.hash`
    pub(crate) sysv: bool,
    /// `.gnu.hash`
    pub(crate) gnu: bool,
    /// Whether to look for the best number of buckets (`-O`).
    pub(crate) optimize: bool,
}

/// The numbers of dynamic symbols, and the tables that follow from them alone.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// For each name given its index in `.dynsym`.
    pub(crate) indices: Vec<u32>,
    /// Entries of `.dynsym`, the empty first one included.
    pub(crate) count: u32,
    /// `sh_info` of `.dynsym`: the index of its first global symbol.
    pub(crate) first_global: u32,
    /// Contents of `.hash`.
    pub(crate) sysv_hash: Option<Vec<u8>>,
    /// Contents of `.gnu.hash`.
    pub(crate) gnu_hash: Option<Vec<u8>>,
}

/// Numbers `names`, which are in the order of [`walk_order`](super::walk::walk_order). In front of
/// them `.dynsym` has `section_symbols` section symbols, from index 1 on.
pub(crate) fn number(
    form: Form,
    names: &[DynamicName<'_>],
    section_symbols: u32,
    tables: HashTables,
) -> Numbering {
    let mut indices = vec![0; names.len()];
    let mut next = 1 + section_symbols;
    let mut locals = 0;
    let passes = [true, false];
    for is_local in passes {
        for (index, name) in indices.iter_mut().zip(names) {
            if name.local == is_local {
                *index = next;
                next += 1;
                locals += u32::from(is_local);
            }
        }
    }
    let gnu_hash = tables
        .gnu
        .then(|| move_to_buckets(form, names, &mut indices, next, tables.optimize));
    // Chains are built by prepending, locals first.
    let chained: Vec<(u32, u32)> = passes
        .iter()
        .flat_map(|is_local| {
            (names.iter().zip(&indices))
                .filter(move |(name, _)| name.local == *is_local)
                .map(|(name, &index)| (hash::sysv_hash(name.name), index))
        })
        .collect();
    let sysv_hash = tables
        .sysv
        .then(|| hash::sysv_table(form, &chained, next as usize, tables.optimize));
    Numbering {
        indices,
        count: next,
        first_global: 1 + section_symbols + locals,
        sysv_hash,
        gnu_hash,
    }
}

/// Moves the symbols of a `.gnu.hash` to the end of `.dynsym`, by bucket, and makes the table.
fn move_to_buckets(
    form: Form,
    names: &[DynamicName<'_>],
    indices: &mut [u32],
    count: u32,
    optimize: bool,
) -> Vec<u8> {
    let hashed: Vec<usize> = (0..names.len())
        .filter(|&at| names[at].defined && !names[at].local)
        .collect();
    // Undefined symbols behind the first hashed one close up in front of all hashed ones.
    let Some(mut next) = hashed.iter().map(|&at| indices[at]).min() else {
        return hash::empty_gnu_table(form);
    };
    for (index, name) in indices.iter_mut().zip(names) {
        if *index >= next && !name.defined && !name.local {
            *index = next;
            next += 1;
        }
    }
    let hashes: Vec<u32> = hashed
        .iter()
        .map(|&at| hash::gnu_hash(names[at].name))
        .collect();
    let buckets = hash::bucket_count(&hashes, Kind::Gnu, count as usize, optimize);
    let first = count - hashed.len() as u32;
    let order = hash::bucket_order(&hashes, buckets);
    for (&at, index) in order.iter().zip(first..) {
        indices[hashed[at]] = index;
    }
    let ordered: Vec<u32> = order.iter().map(|&at| hashes[at]).collect();
    hash::gnu_table(form, &ordered, first, buckets)
}

impl Numbering {
    /// Contents of `.gnu.version`, 2 bytes for each entry of `.dynsym`. The symbols without a
    /// version of their own, the first and those of sections, have 0: local.
    pub(crate) fn versions(&self, form: Form, names: &[DynamicName<'_>]) -> Vec<u8> {
        let mut versions = vec![0_u16; self.count as usize];
        for (&index, name) in self.indices.iter().zip(names) {
            versions[index as usize] = name.version;
        }
        let mut table = Encoder::new(form, versions.len() * 2);
        versions.into_iter().for_each(|entry| table.half(entry));
        table.into_bytes()
    }
}

/// An entry of `.dynsym`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DynamicSymbol {
    /// `st_name`: offset in `.dynstr`.
    pub(crate) name: u32,
    /// `st_value`: the address.
    pub(crate) value: u64,
    /// `st_size`, bytes.
    pub(crate) size: u64,
    /// `st_info`: binding and type.
    pub(crate) info: u8,
    /// `st_other`: visibility.
    pub(crate) other: u8,
    /// `st_shndx`. Output sections beyond 0xfeff are not possible here (bfd/elflink.c,
    /// check_dynsym).
    pub(crate) section: u16,
}

/// Bytes of an entry of `.dynsym`.
pub(crate) fn symbol_size(class: Class) -> u64 {
    match class {
        Class::Elf32 => 16,
        Class::Elf64 => 24,
    }
}

/// Contents of `.dynsym`. `symbols` are all but the first, by rising index.
pub(crate) fn symbol_table(
    form: Form,
    symbols: impl IntoIterator<Item = DynamicSymbol>,
) -> Vec<u8> {
    let mut table = Encoder::new(form, 0);
    for symbol in std::iter::once(DynamicSymbol::default()).chain(symbols) {
        table.word(symbol.name);
        if form.class == Class::Elf32 {
            table.address(symbol.value);
            table.address(symbol.size);
        }
        table.byte(symbol.info);
        table.byte(symbol.other);
        table.half(symbol.section);
        if form.class == Class::Elf64 {
            table.address(symbol.value);
            table.address(symbol.size);
        }
    }
    table.into_bytes()
}
