//! Models whose steps run together, and the same models with every step on its own.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tinception_core::format::step::Link;
use tinception_core::format::tensor::{DataType, Stored};
use tinception_core::kernels::AverageWindow;
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};

use crate::Rng;
use crate::builder::Builder;
use crate::cases::{counted, pool_window};

/// A `.tin` file with every kind of group, its sizes, windows, rings and scratch random; with `linked` unset, the same
/// network as single steps over whole tensors.
#[must_use]
pub fn linked_model(seed: u64, linked: bool) -> Vec<u8> {
    let mut rng = crate::rng(seed);
    let channels = *[1, 3, 8, 16, rng.random_range(1..=20)].choose(&mut rng).unwrap_or(&3);
    let input = Shape::new(rng.random_range(6..=20), rng.random_range(6..=20), channels);
    let b = &mut Builder::new(&mut rng, input);
    b.linked = linked;
    let spare = *[0, 0, 300, 4000].choose(b.rng).unwrap_or(&0);
    b.add_scratch(spare);
    let first = rows(b, "rows", 0);
    let projected = projection(b, "projection", first);
    let all = shared(b, "shared", projected);
    let second = rows(b, "rows again", all[0]);
    let third = projection(b, "projection again", all[all.len() - 1]);
    let last = shared(b, "shared again", third);
    for (index, end) in last.iter().enumerate() {
        b.average_logits(&format!("average {index}"), *end);
    }
    let logits = b.average_logits("logits", second);
    let probabilities = b.softmax("softmax", logits);
    b.finish(logits, Some(probabilities))
}

/// A window that fits on a shape and sees it everywhere.
fn fitting(rng: &mut Rng, shape: Shape) -> Window {
    loop {
        let window = pool_window(rng);
        if window.output(shape.height, shape.width).is_some() {
            return window;
        }
    }
}

/// A convolution, some of LRN and rescale in place, a max pool.
fn rows(b: &mut Builder<'_>, name: &str, input: u16) -> u16 {
    let (shape, _) = b.facts(input);
    let (mut window, mut groups, mut outputs) = (fitting(b.rng, shape), 1, b.rng.random_range(1..=20));
    match b.rng.random_range(0..4) {
        0 => (groups, outputs) = (shape.channels, shape.channels),
        // What exact Winograd takes.
        1 => (window, outputs) = (Window::square(3, 1).padded(Padding::same(1)), 16 + outputs),
        _ => {}
    }
    let made = b.conv(&format!("{name}/conv"), input, window, (groups, outputs));
    let (shape, zero_point) = b.facts(made);
    let pool = fitting(b.rng, shape);
    let least = pool.kernel_height.min(shape.height);
    let stored = b.rng.random_range(least..=shape.height);
    b.store(made, Stored::Ring(stored as u16));
    b.link(Link::Stream);
    let mut last = made;
    if b.rng.random() {
        let normal = b.in_place_of(last, zero_point.saturating_add(9));
        b.lrn(&format!("{name}/lrn"), (last, normal), 5, 9);
        b.link(Link::Stream);
        last = normal;
    }
    if b.rng.random() {
        let scaled = b.in_place_of(last, -7);
        b.rescale(&format!("{name}/rescale"), (last, scaled));
        b.link(Link::Stream);
        last = scaled;
    }
    b.max_pool(&format!("{name}/pool"), last, pool)
}

/// A max or average pool, a 1x1 convolution.
fn projection(b: &mut Builder<'_>, name: &str, input: u16) -> u16 {
    let (shape, _) = b.facts(input);
    let window = fitting(b.rng, shape);
    let pool = format!("{name}/pool");
    let pooled = if b.rng.random() {
        b.max_pool(&pool, input, window)
    } else {
        let window = AverageWindow { window, counted: counted(b.rng, &window.padding) };
        b.average_pool(&pool, input, window, DataType::Int8)
    };
    b.store(pooled, Stored::Nothing);
    b.link(Link::Stream);
    b.scratch_for(shape.channels.next_multiple_of(4) as usize);
    let outputs = b.rng.random_range(1..=20);
    b.conv(&format!("{name}/conv"), pooled, Window::square(1, 1), (1, outputs))
}

/// Two to four 1x1 convolutions, one of them into a slice.
fn shared(b: &mut Builder<'_>, name: &str, input: u16) -> Vec<u16> {
    let (shape, _) = b.facts(input);
    let count = b.rng.random_range(2..=4);
    let zero_point = b.rng.random();
    let wide = b.tensor(Shape { channels: 13, ..shape }, DataType::Int8, zero_point);
    let branch = |index: usize| {
        let name = format!("{name}/{index}");
        let output = if index == 1 {
            let slice = b.slice(wide, 4, 6);
            let range = Output { zero_point, min: -110, max: i8::MAX };
            b.conv_into(&name, (input, slice), Window::square(1, 1), 1, range);
            slice
        } else {
            let outputs = b.rng.random_range(1..=20);
            b.conv(&name, input, Window::square(1, 1), (1, outputs))
        };
        if index + 1 < count {
            b.link(Link::Share);
        }
        output
    };
    (0..count).map(branch).collect()
}
