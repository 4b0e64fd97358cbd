//! Weights that Rust and Python generate alike: no file has to hold them.
//!
//! `golden/nets/make.py` is the other side. It also writes the lists of tensors from which [`weights`] starts.

use tinception_models::weights::{Tensor, Weights};

/// `count` numbers from -1 to 1 for a name: the upper 24 bits of SplitMix64's outputs (Steele et al. 2014) for the seed
/// FNV-1a(name).
#[must_use]
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let number = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    (0..count).map(number).collect()
}

/// The five tensors of a batch normalisation, with the scale and offset of its numbers.
const BATCH_NORM: [(&str, f64, f64); 5] = [
    ("weight", 0.2, 1.0),
    ("bias", 0.1, 0.0),
    ("running_mean", 0.1, 0.0),
    ("running_var", 0.5, 1.0),
    ("num_batches_tracked", 0.0, 1.0),
];

/// The tensors of a list as `make.py` writes it, filled with generated numbers.
///
/// # Panics
/// On a line that is none of such a list.
#[must_use]
pub fn weights(file: &str, list: &str) -> Weights {
    let mut weights = Weights { file: file.to_owned(), ..Weights::default() };
    for line in list.lines() {
        let (name, sizes) = line.split_once(' ').expect("a name and sizes");
        let shape: Vec<usize> = sizes.split(' ').map(|size| size.parse().expect("a size")).collect();
        match name.strip_suffix(".*") {
            Some(front) => {
                for (part, scale, offset) in BATCH_NORM {
                    let shape = if part == "num_batches_tracked" { Vec::new() } else { shape.clone() };
                    insert(&mut weights, &format!("{front}.{part}"), shape, scale, offset);
                }
            }
            None if shape.len() > 1 => {
                let fan_in: usize = shape[1..].iter().product();
                insert(&mut weights, name, shape, (6.0 / fan_in as f64).sqrt(), 0.0);
            }
            None => insert(&mut weights, name, shape, 0.1, 0.0),
        }
    }
    weights
}

fn insert(weights: &mut Weights, name: &str, shape: Vec<usize>, scale: f64, offset: f64) {
    let values = uniform(name, shape.iter().product());
    let values = values.into_iter().map(|value| (value * scale + offset) as f32).collect();
    weights.tensors.insert(name.to_owned(), Tensor { shape, values });
}
