//! Packs buffers with lifetimes into one arena.
//!
//! The problem is NP-hard; buffers are placed one after another into the gap that fits best, in several orders, and the
//! best result is kept (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", greedy by
//! size and its relatives).

use std::cmp::Reverse;

/// Memory that is needed for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes, a multiple of 16.
    pub size: u64,
    /// The first step that needs it.
    pub first: usize,
    /// The last step that needs it.
    pub last: usize,
}

impl Buffer {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The most bytes that are needed at once.
#[must_use]
pub fn lower_bound(buffers: &[Buffer]) -> u64 {
    let needed_at = |step: usize| buffers.iter().filter(|b| b.first <= step && step <= b.last).map(|b| b.size).sum();
    buffers.iter().map(|buffer| needed_at(buffer.first)).max().unwrap_or(0)
}

/// What buffers are sorted by: largest first, then by the second.
type SortKey = (Reverse<u64>, Reverse<u64>);

/// Orders that are tried before the shuffled ones.
const ORDERS: [fn(&Buffer) -> SortKey; 4] = [
    |b| (Reverse(b.size), Reverse((b.last - b.first) as u64)),
    |b| (Reverse((b.last - b.first) as u64), Reverse(b.size)),
    |b| (Reverse(b.size * (b.last - b.first + 1) as u64), Reverse(b.size)),
    |b| (Reverse(u64::MAX - b.first as u64), Reverse(b.size)),
];

/// Shuffled orders that are tried while the lower bound isn't reached.
const SHUFFLES: u32 = 500;

/// An offset for each buffer, multiples of 16, so that no two buffers that are needed at the same time overlap.
/// The same buffers get the same offsets every time.
#[must_use]
pub fn allocate(buffers: &[Buffer]) -> Vec<u64> {
    let bound = lower_bound(buffers);
    let mut best: Option<Packing> = None;
    for key in ORDERS {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|index| key(&buffers[*index]));
        best = better(best, pack(buffers, order));
    }
    let mut state = 1;
    for _ in 0..SHUFFLES {
        let Some(packing) = best.as_ref().filter(|packing| packing.size > bound) else { break };
        let mut order = packing.order.clone();
        let moved = order.remove(random(&mut state, order.len()));
        order.insert(random(&mut state, order.len() + 1), moved);
        best = better(best, pack(buffers, order));
    }
    best.map_or_else(Vec::new, |packing| packing.offsets)
}

struct Packing {
    order: Vec<usize>,
    offsets: Vec<u64>,
    size: u64,
}

fn better(best: Option<Packing>, packing: Packing) -> Option<Packing> {
    match best {
        // A packing of the same size is taken too: the search then doesn't stay with one order.
        Some(best) if best.size < packing.size => Some(best),
        _ => Some(packing),
    }
}

/// Marsaglia's xorshift (2003), below `limit`.
fn random(state: &mut u32, limit: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state as usize % limit
}

/// Places each buffer into the smallest gap that holds it between those placed before.
fn pack(buffers: &[Buffer], order: Vec<usize>) -> Packing {
    let mut offsets = vec![0; buffers.len()];
    let mut size = 0;
    for (position, &index) in order.iter().enumerate() {
        let buffer = &buffers[index];
        let met = order[..position].iter().filter(|other| buffers[**other].meets(buffer));
        let mut taken: Vec<(u64, u64)> = met.map(|other| (offsets[*other], buffers[*other].size)).collect();
        taken.sort_unstable();
        let mut free_from = 0;
        let mut best = None;
        for (offset, length) in taken {
            if offset >= free_from + buffer.size && best.is_none_or(|(gap, _)| offset - free_from < gap) {
                best = Some((offset - free_from, free_from));
            }
            free_from = free_from.max(offset + length);
        }
        offsets[index] = best.map_or(free_from, |(_, offset)| offset);
        size = size.max(offsets[index] + buffer.size);
    }
    Packing { order, offsets, size }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn total(buffers: &[Buffer], offsets: &[u64]) -> u64 {
        buffers.iter().zip(offsets).map(|(buffer, offset)| offset + buffer.size).max().unwrap_or(0)
    }

    #[test]
    fn buffers_that_meet_lie_apart() {
        let mut random = SmallRng::seed_from_u64(7);
        for _ in 0..200 {
            let count = random.random_range(0..30);
            let buffers: Vec<Buffer> = (0..count)
                .map(|_| {
                    let first = random.random_range(0..20);
                    Buffer { size: random.random_range(0..9) * 16, first, last: first + random.random_range(0..6) }
                })
                .collect();
            let offsets = allocate(&buffers);
            assert_eq!(offsets, allocate(&buffers), "the same every time");
            for (a, b) in (0..buffers.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let together =
                    (0..30).any(|t| [a, b].iter().all(|i| (buffers[*i].first..=buffers[*i].last).contains(&t)));
                let (end_a, end_b) = (offsets[a] + buffers[a].size, offsets[b] + buffers[b].size);
                let bytes_shared = end_a.min(end_b) > offsets[a].max(offsets[b]);
                assert!(!(together && bytes_shared), "{:?} and {:?}", buffers[a], buffers[b]);
            }
            assert!(offsets.iter().all(|offset| offset % 16 == 0));
            let needed = (0..30).map(|t| buffers.iter().filter(|b| b.first <= t && t <= b.last).map(|b| b.size).sum());
            let needed: u64 = needed.max().unwrap_or(0);
            assert_eq!(lower_bound(&buffers), needed);
            assert!(total(&buffers, &offsets) >= needed);
        }
    }

    #[test]
    fn a_chain_takes_its_two_largest_neighbours() {
        // What the classic order by size alone gets right, and the reuse of one end by the other.
        let sizes = [160, 800, 200, 600, 150];
        let chain = |index: usize, size: u64| Buffer { size: size * 16, first: index, last: index + 1 };
        let buffers: Vec<Buffer> = sizes.iter().enumerate().map(|(index, size)| chain(index, *size)).collect();
        assert_eq!(total(&buffers, &allocate(&buffers)), 1000 * 16);
    }
}
