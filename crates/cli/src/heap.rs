//! Memory for a process that ends before giving memory back would pay.
//!
//! A link makes some hundred thousand things, on several threads, and most of them live until the end.
//! What that costs is mainly the system's work: a page fault for each 4 KiB, and, with glibc's heaps for
//! threads other than the first, a call for every few KiB by which one grows (a fifth of the processor
//! time of linking a PA-RISC kernel). So memory comes from the system in large chunks that it may back
//! by huge pages. A thread cuts blocks off its own chunk; a block that is freed is kept in a list, by
//! size, for the thread that freed it.
#![allow(
    unsafe_code,
    reason = "an allocator's interface is unsafe, and so is memory without a type"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};

use memmap2::{Advice, MmapMut};

/// Bytes of address space that a thread takes first, without huge pages: all that a module's link needs,
/// whose memory these would double.
const FIRST_CHUNK: usize = 8 << 20;

/// Bytes of address space that a thread takes at a time from then on. Only what is used of it becomes
/// memory.
const CHUNK: usize = 64 << 20;

/// Size of a huge page, to which chunks are aligned (that of x86-64 and of arm64 with 4 KiB pages;
/// elsewhere it costs nothing but address space).
const HUGE_PAGE: usize = 2 << 20;

/// What every block is aligned to, and the unit of the smallest sizes.
const UNIT: usize = 16;

/// Bytes of the largest blocks; larger ones come from the system's allocator.
const LARGEST: usize = 8 << 20;

/// Sizes up to this are multiples of [`UNIT`]; of larger ones there are four to each doubling, so that at
/// most a fifth of a block is of no use.
const FINE: usize = 8 * UNIT;

const CLASSES: usize = class_of(LARGEST) + 1;

/// The allocator.
pub(crate) struct Heap;

/// What a thread cuts blocks from.
struct Chunk {
    /// The first free byte, and one past the last; both 0 before the first chunk.
    next: Cell<usize>,
    end: Cell<usize>,
    /// By class: the first block that was freed. Each begins with a pointer to the next one.
    free: UnsafeCell<[Option<NonNull<u8>>; CLASSES]>,
}

thread_local! {
    // Without a destructor and made without running code, so that it can be used at any time.
    static CHUNK_OF_THREAD: Chunk = const {
        Chunk {
            next: Cell::new(0),
            end: Cell::new(0),
            free: UnsafeCell::new([None; CLASSES]),
        }
    };
}

/// The number of the smallest size that holds `size` bytes.
const fn class_of(size: usize) -> usize {
    if size <= FINE {
        return size.saturating_sub(1) / UNIT;
    }
    let last = size - 1;
    let doubling = last.ilog2() as usize;
    let quarter = last >> (doubling - 2) & 3;
    (doubling - FINE.ilog2() as usize) * 4 + quarter + FINE / UNIT
}

/// Bytes of the blocks of a class.
const fn size_of_class(class: usize) -> usize {
    if class < FINE / UNIT {
        return (class + 1) * UNIT;
    }
    let above = class - FINE / UNIT;
    (5 + above % 4) << (FINE.ilog2() as usize - 2 + above / 4)
}

/// Whether blocks of this layout are cut from chunks.
const fn is_own(layout: &Layout) -> bool {
    layout.size() <= LARGEST && layout.align() <= UNIT
}

impl Chunk {
    /// A block of a class, and whether it is known to be zero.
    fn take(&self, class: usize) -> Option<(NonNull<u8>, bool)> {
        // SAFETY: the thread has no other reference to the lists: none is kept, and nothing that is
        // called meanwhile allocates.
        let head = unsafe { &mut (*self.free.get())[class] };
        if let Some(block) = *head {
            // SAFETY: `put` wrote the next block's address, or none, where this one begins.
            *head = unsafe { block.cast::<Option<NonNull<u8>>>().read() };
            return Some((block, false));
        }
        let size = size_of_class(class);
        if self.end.get() - self.next.get() < size {
            self.renew(size)?;
        }
        let block = self.next.get();
        self.next.set(block + size);
        // Whatever memory was mapped for is not null.
        NonNull::new(ptr::with_exposed_provenance_mut(block)).map(|block| (block, true))
    }

    /// Takes a new chunk with room for `size` bytes. What is left of the old one is lost.
    fn renew(&self, size: usize) -> Option<()> {
        let is_first = self.end.get() == 0 && size <= FIRST_CHUNK;
        let length = if is_first { FIRST_CHUNK } else { CHUNK };
        let mut map = MmapMut::map_anon(length + HUGE_PAGE).ok()?;
        #[cfg(target_os = "linux")]
        if !is_first {
            // Without huge pages it is only slower.
            let _ = map.advise(Advice::HugePage);
        }
        let start = map.as_mut_ptr().expose_provenance();
        // It stays until the process ends.
        std::mem::forget(map);
        let start = start.next_multiple_of(HUGE_PAGE);
        self.next.set(start);
        self.end.set(start + length);
        Some(())
    }

    /// Lets a block grow where it is, if it is the last one that was cut off.
    fn grow(&self, block: *mut u8, from: usize, to: usize) -> bool {
        let start = block.addr();
        let is_last = start + size_of_class(from) == self.next.get();
        let fits = start + size_of_class(to) <= self.end.get();
        let grows = from < to && is_last && fits;
        if grows {
            self.next.set(start + size_of_class(to));
        }
        grows
    }

    fn put(&self, block: NonNull<u8>, class: usize) {
        // SAFETY: as in `take`.
        let head = unsafe { &mut (*self.free.get())[class] };
        // SAFETY: the block is free, is aligned to `UNIT`, and has at least that many bytes.
        unsafe { block.cast::<Option<NonNull<u8>>>().write(*head) };
        *head = Some(block);
    }
}

fn take(layout: Layout) -> Option<(NonNull<u8>, bool)> {
    CHUNK_OF_THREAD.with(|chunk| chunk.take(class_of(layout.size())))
}

// SAFETY: blocks do not overlap: each is cut off a chunk once, and is in at most one list while it is
// free, in none while it is not. They have at least the size asked for, since it is that of its class,
// and are aligned to `UNIT`, as chunks and all sizes are. Which blocks are whose follows from the
// layout, which is the same when a block is freed.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_own(&layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        take(layout).map_or(ptr::null_mut(), |(block, _)| block.as_ptr())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_own(&layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let Some((block, is_zero)) = take(layout) else {
            return ptr::null_mut();
        };
        if !is_zero {
            // SAFETY: the block has as many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_own(&layout) {
            // SAFETY: the caller's promise; it came from there.
            return unsafe { System.dealloc(block, layout) };
        }
        if let Some(block) = NonNull::new(block) {
            CHUNK_OF_THREAD.with(|chunk| chunk.put(block, class_of(layout.size())));
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is not more than a layout can have.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (from, to) = (class_of(layout.size()), class_of(size));
        match (is_own(&layout), is_own(&new)) {
            (true, true) if from == to => block,
            (true, true) if CHUNK_OF_THREAD.with(|chunk| chunk.grow(block, from, to)) => block,
            // SAFETY: the caller's promise; it came from there, and stays there.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            _ => {
                // SAFETY: the caller's promise.
                let moved = unsafe { self.alloc(new) };
                if !moved.is_null() {
                    let both = layout.size().min(size);
                    // SAFETY: two blocks, of at least this many bytes each; the old one is the
                    // caller's, and not used any more.
                    unsafe {
                        ptr::copy_nonoverlapping(block, moved, both);
                        self.dealloc(block, layout);
                    }
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_sizes() {
        let mut before = 0;
        for class in 0..CLASSES {
            let size = size_of_class(class);
            assert!(
                size > before && size.is_multiple_of(UNIT),
                "{class}: {size}"
            );
            assert_eq!(class_of(size), class);
            assert_eq!(class_of(before + 1), class, "{before} + 1");
            assert!(class < 8 || size - before <= before / 4 + UNIT, "{size}");
            before = size;
        }
        assert_eq!(before, LARGEST);
        assert_eq!(class_of(0), 0);
    }

    /// Blocks of many sizes, made, grown, shrunk and freed at random: each keeps what was written to it.
    #[test]
    fn blocks_do_not_overlap() {
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut blocks: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
        let check = |(block, layout, mark): (NonNull<u8>, Layout, u8), upto: usize| {
            // SAFETY: `upto` bytes of the block were written.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), upto) };
            assert!(bytes.iter().all(|&byte| byte == mark), "{layout:?}");
        };
        for step in 0..600u32 {
            let bits = random(24);
            let size = 1 + random(1 << bits) as usize;
            let mark = step as u8;
            let at = random(blocks.len() as u64 + 1) as usize;
            let kind = random(3);
            // SAFETY: layouts are those of the blocks, sizes are not 0, and blocks are freed once.
            let new = unsafe {
                match blocks.get(at).copied() {
                    Some(old) if kind == 0 => {
                        check(old, old.1.size());
                        Heap.dealloc(old.0.as_ptr(), old.1);
                        blocks.swap_remove(at);
                        continue;
                    }
                    Some(old) if kind == 1 => {
                        let layout = Layout::from_size_align(size, old.1.align()).unwrap();
                        let block = Heap.realloc(old.0.as_ptr(), old.1, size);
                        let block = NonNull::new(block).unwrap();
                        check((block, layout, old.2), size.min(old.1.size()));
                        blocks.swap_remove(at);
                        (block, layout, mark)
                    }
                    _ => {
                        let layout = Layout::from_size_align(size, 1 << random(8)).unwrap();
                        let block = NonNull::new(Heap.alloc_zeroed(layout)).unwrap();
                        check((block, layout, 0), size);
                        (block, layout, mark)
                    }
                }
            };
            assert!(new.0.addr().get().is_multiple_of(new.1.align()));
            // SAFETY: the block has as many bytes.
            unsafe { new.0.write_bytes(mark, new.1.size()) };
            blocks.push(new);
        }
        for block in blocks {
            check(block, block.1.size());
            // SAFETY: as above.
            unsafe { Heap.dealloc(block.0.as_ptr(), block.1) };
        }
    }

    #[test]
    fn blocks_are_freed_by_other_threads() {
        let blocks: Vec<Box<[u8]>> = (1..2000).map(|size| vec![7; size].into()).collect();
        let sum = std::thread::spawn(move || blocks.iter().map(|block| block.len()).sum::<usize>());
        assert_eq!(sum.join().unwrap(), 1_999_000);
    }
}
