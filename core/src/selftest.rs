//! The self-test's input: a picture that never was, the same on every machine.
//!
//! Three octaves of value noise and a little white noise: structure at several scales, so that deep layers, too, have
//! something to say. Integers only.

use crate::shape::Shape;

/// Lattice spacing of the octaves in pixels, as powers of two, each with its weight in 1/16.
const OCTAVES: [(u32, i32); 3] = [(5, 8), (3, 4), (1, 3)];

/// Mixes a word (the finaliser of MurmurHash3).
const fn mix(mut word: u32) -> u32 {
    word ^= word >> 16;
    word = word.wrapping_mul(0x85EB_CA6B);
    word ^= word >> 13;
    word = word.wrapping_mul(0xC2B2_AE35);
    word ^ (word >> 16)
}

/// A value of 0..=255 for a lattice point.
const fn lattice(seed: u32, channel: u32, octave: u32, y: u32, x: u32) -> i32 {
    let word = mix(seed ^ mix(channel.wrapping_mul(8).wrapping_add(octave)));
    (mix(word ^ mix(y.wrapping_mul(0x9E37_79B9).wrapping_add(x))) >> 24) as i32
}

/// The self-test's value at row `y`, column `x`: -128..=127.
#[must_use]
pub fn input_value(seed: u32, y: u32, x: u32, channel: u32) -> i8 {
    let mut sum = lattice(seed, channel, 7, y, x);
    for (octave, (log2, weight)) in (0..).zip(OCTAVES) {
        let size = 1 << log2;
        let (cell_y, cell_x) = (y >> log2, x >> log2);
        let (down, right) = ((y % size) as i32, (x % size) as i32);
        let corner = |dy: u32, dx: u32| lattice(seed, channel, octave, cell_y + dy, cell_x + dx);
        let side = size as i32;
        let upper = corner(0, 0) * (side - right) + corner(0, 1) * right;
        let lower = corner(1, 0) * (side - right) + corner(1, 1) * right;
        sum += weight * ((upper * (side - down) + lower * down) / (side * side));
    }
    // The mean of sixteen shares crowds around the middle: stretched to three times its spread.
    (((sum - 16 * 128) * 3) >> 4).clamp(-128, 127) as i8
}

/// Fills a dense NHWC input of this shape.
pub fn fill_input(seed: u32, shape: Shape, input: &mut [i8]) {
    let mut values = input.iter_mut();
    for y in 0..shape.height {
        for x in 0..shape.width {
            for channel in 0..shape.channels {
                if let Some(value) = values.next() {
                    *value = input_value(seed, y, x, channel);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_rich_and_depends_on_the_seed() {
        let shape = if cfg!(miri) { Shape::new(24, 24, 3) } else { Shape::new(64, 64, 3) };
        let elements = shape.elements() as usize;
        let mut pictures = [std::vec![0; elements], std::vec![0; elements]];
        for (seed, picture) in (1..).zip(&mut pictures) {
            fill_input(seed, shape, picture);
            let mut seen = [false; 256];
            for value in picture.iter() {
                seen[(i32::from(*value) + 128) as usize] = true;
            }
            assert!(seen.iter().filter(|seen| **seen).count() > 200);
        }
        assert_ne!(pictures[0], pictures[1]);
    }
}
