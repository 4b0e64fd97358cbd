//! Memory with a page in front and behind that nobody may touch: a read or write one byte too far ends the test with a
//! segmentation fault, whether it comes from Rust, from an intrinsic or from assembly.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::slice;

use region::{Allocation, Protection, page};

/// On which side the forbidden page is as close as alignment allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The first element follows the forbidden page.
    Start,
    /// The last element precedes the forbidden page.
    End,
}

/// Elements between forbidden pages.
pub(crate) struct Guarded<T> {
    first: *mut T,
    length: usize,
    /// Frees the pages.
    _pages: Allocation,
}

/// Types of which all bytes are values.
pub(crate) trait Plain: Copy {}
impl Plain for i8 {}
impl Plain for u8 {}
impl Plain for i16 {}
impl Plain for u16 {}
impl Plain for i32 {}

impl<T: Plain> Guarded<T> {
    /// A copy of `values` at the edge of its pages.
    pub(crate) fn new(values: &[T], edge: Edge) -> Self {
        let size = size_of_val(values);
        let inner = page::ceil(size.max(1) as *const u8) as usize;
        let mut pages = region::alloc(inner + 2 * page::size(), Protection::READ_WRITE).expect("pages");
        let start = pages.as_mut_ptr::<u8>();
        let offset = if edge == Edge::Start { 0 } else { inner - size };
        // SAFETY: both pages belong to this allocation, and nothing refers to them yet; what is between them has room
        // for the values, `offset` is 0 or a multiple of their size away from a page's end, so that they are aligned,
        // and fresh memory overlaps with nothing.
        let first = unsafe {
            region::protect(start, page::size(), Protection::NONE).expect("the page in front");
            let behind = start.add(page::size() + inner);
            region::protect(behind, page::size(), Protection::NONE).expect("the page behind");
            let first = start.add(page::size() + offset).cast::<T>();
            first.copy_from_nonoverlapping(values.as_ptr(), values.len());
            first
        };
        Self { first, length: values.len(), _pages: pages }
    }
}

impl<T: Plain> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote the values there, and the pages live as long as `self`.
        unsafe { slice::from_raw_parts(self.first, self.length) }
    }
}

impl<T: Plain> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.first, self.length) }
    }
}

#[test]
fn pages_on_both_sides_are_forbidden() {
    for edge in [Edge::Start, Edge::End] {
        for length in [0, 1, 5, page::size(), page::size() + 3] {
            let values: Vec<i8> = (0..length).map(|index| index as i8).collect();
            let guarded = Guarded::new(&values, edge);
            assert_eq!(*guarded, values);
            let first = guarded.first.cast_const();
            let outside = if edge == Edge::Start { first.wrapping_sub(1) } else { first.wrapping_add(length) };
            let protection = region::query(outside).expect("a mapped page").protection();
            assert_eq!(protection, Protection::NONE, "{edge:?} of {length}");
        }
    }
}
