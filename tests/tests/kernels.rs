//! Each kernel on every backend against `kernels::reference`, bit for bit, and the bytes around its output against
//! what they were.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::kernels::conv::{self, minimum_scratch};
use tinception_core::kernels::elementwise::{self, Add, Rescale};
use tinception_core::kernels::lrn::{self, Lrn};
use tinception_core::kernels::pool::Max;
use tinception_core::kernels::sigmoid;
use tinception_core::kernels::softmax::{self, Softmax};
use tinception_core::kernels::{dense, pool, reference};
use tinception_core::quant::Requantize;
use tinception_core::shape::Shape;
use tinception_tests::cases::{self, AverageCase, ConvCase, Strided, Style, Values};
use tinception_tests::{Rng, backends, for_seeds, tables};

/// Random cases of each kernel; every one on every backend.
const CASES: u64 = 1500;

/// Runs a kernel on an output with gaps; it must write `expected` and touch no gap.
fn check(rng: &mut Rng, shape: Shape, expected: &[i8], what: &str, kernel: impl FnOnce(&mut Strided)) {
    let mut output = Strided::new(rng, shape, Values::Random);
    let gaps = output.gaps();
    kernel(&mut output);
    assert_eq!(output.dense(), expected, "{what}");
    assert_eq!(output.gaps(), gaps, "{what} wrote outside its output");
}

fn style(rng: &mut Rng) -> Style {
    if rng.random_bool(0.5) { Style::Extreme } else { Style::Natural { spread: 50.0 } }
}

/// From the least that the convolution runs with to what gathers all of its patches and more.
fn scratch(rng: &mut Rng, case: &ConvCase) -> Vec<i8> {
    let (least, patch) = (minimum_scratch(&case.window, &case.layout()), case.layout().padded_depth);
    let spare = rng.random_range(0..patch);
    let patches = rng.random_range(0..20);
    let sizes = [least, least + spare, least + patches * patch + spare, least + 200 * patch];
    vec![rng.random(); *sizes.choose(rng).unwrap_or(&least)]
}

#[test]
fn convolutions_give_the_references_bits() {
    let backends = backends::all();
    for_seeds(2 * CASES, |_, rng| {
        let style = style(rng);
        let case = ConvCase::random(rng, style);
        let values = Values::any(rng);
        let input = Strided::new(rng, case.input, values);
        let mut expected = vec![0; case.output.elements() as usize];
        reference::conv(&case.conv(), &input.dense(), case.input, &mut expected, case.output);
        for backend in &backends {
            let mut scratch = scratch(rng, &case);
            let what = format!("{} with {} bytes of scratch, {case:?}", backend.name(), scratch.len());
            check(rng, case.output, &expected, &what, |output| {
                let run = conv::run(*backend, &case.conv(), input.pixels(), &mut output.pixels_mut(), &mut scratch);
                assert_eq!(run, Some(()), "{what}");
            });
        }
    });
}

/// Convolutions that are fused with what follows them compute their pixels in pieces.
#[test]
fn pieces_of_a_convolution_give_its_bits() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let style = style(rng);
        let case = ConvCase::random(rng, style);
        let input = Strided::new(rng, case.input, Values::Random);
        let mut expected = vec![0; case.output.elements() as usize];
        reference::conv(&case.conv(), &input.dense(), case.input, &mut expected, case.output);
        let pixels = case.output.pixels() as usize;
        let start = rng.random_range(0..pixels);
        let range = start..rng.random_range(start + 1..=pixels);
        let channels = case.output.channels as usize;
        let expected = &expected[range.start * channels..range.end * channels];
        for backend in &backends {
            let mut scratch = scratch(rng, &case);
            let piece = Shape::new(1, range.len() as u32, channels as u32);
            check(rng, piece, expected, &format!("{} {range:?} of {case:?}", backend.name()), |output| {
                let (stride, shape, range) = (output.stride, case.output, range.clone());
                let mut pixels = output.pixels_mut();
                let out = pixels.from_pixel_mut(0).expect("there are pixels");
                let run =
                    conv::run_pixels(*backend, &case.conv(), input.pixels(), shape, range, out, stride, &mut scratch);
                assert_eq!(run, Some(()));
            });
        }
    });
}

#[test]
fn dense_layers_give_the_references_bits() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let style = if rng.random_bool(0.5) { Style::Extreme } else { Style::Natural { spread: 1e6 } };
        let case = loop {
            let case = ConvCase::random(rng, style);
            if !case.layout().depthwise {
                break case;
            }
        };
        let values = Values::any(rng);
        let input = Strided::new(rng, case.input, values);
        let mut expected = vec![0; case.output.elements() as usize];
        reference::conv_logits(&case.conv(), &input.dense(), case.input, &mut expected, case.output);
        for backend in &backends {
            let mut logits = vec![0xA5; expected.len() * 4];
            let mut scratch = scratch(rng, &case);
            let outputs = case.output.channels;
            let run = dense::run(*backend, &case.conv(), input.pixels(), outputs, &mut logits, &mut scratch);
            assert_eq!(run, Some(()));
            let logits: Vec<i32> = logits.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
            assert_eq!(logits, expected, "{} {case:?}", backend.name());
        }
    });
}

#[test]
fn four_dot_products_are_four_dot_products() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let quads = rng.random_range(1..=70);
        let (values, weights) = (Values::any(rng), Values::any(rng));
        let patch = values.fill(rng, quads * 4);
        let block: Vec<i8> = (0..quads * 16).map(|index| weights.value(rng, index, -127)).collect();
        let mut expected = [0; 4];
        for (k, value) in patch.iter().enumerate() {
            for (channel, sum) in expected.iter_mut().enumerate() {
                *sum += i32::from(*value) * i32::from(block[k / 4 * 16 + channel * 4 + k % 4]);
            }
        }
        for backend in &backends {
            assert_eq!(backend.dot4(&patch, &block), expected, "{} {quads} quads", backend.name());
        }
    });
}

/// Long enough sums for a backend that accumulates in 16 bits, or saturates, to show it.
#[test]
fn the_longest_and_largest_sums_do_not_saturate() {
    for backend in backends::all() {
        for quads in [1, 2, 3, 64, 1024, 12_544] {
            for (value, weight) in [(-128, -127), (-128, 127), (127, 127), (127, -127)] {
                let sums = backend.dot4(&vec![value; quads * 4], &vec![weight; quads * 16]);
                let expected = i32::from(value) * i32::from(weight) * quads as i32 * 4;
                assert_eq!(sums, [expected; 4], "{} {quads} quads of {value} * {weight}", backend.name());
            }
        }
    }
}

#[test]
fn a_scratch_one_byte_too_small_is_refused() {
    let backends = backends::all();
    for_seeds(200, |_, rng| {
        let case = ConvCase::random(rng, Style::Natural { spread: 50.0 });
        let least = minimum_scratch(&case.window, &case.layout());
        if least == 0 {
            return;
        }
        let input = Strided::new(rng, case.input, Values::Random);
        let mut output = Strided::new(rng, case.output, Values::Random);
        for backend in &backends {
            let scratch = &mut vec![0; least - 1];
            let run = conv::run(*backend, &case.conv(), input.pixels(), &mut output.pixels_mut(), scratch);
            assert_eq!(run, None);
        }
    });
}

#[test]
fn max_pools_give_the_references_bits() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let window = cases::pool_window(rng);
        let channels = rng.random_range(1..=37);
        let (shape, out) = cases::shapes(rng, &window, channels, 9);
        let values = Values::any(rng);
        let input = Strided::new(rng, shape, values);
        let pool = Max { window, output: cases::output(rng) };
        let mut expected = vec![0; out.elements() as usize];
        reference::max_pool(&pool, &input.dense(), shape, &mut expected, out);
        for backend in &backends {
            check(rng, out, &expected, &format!("{}: {window:?} on {shape:?}", backend.name()), |output| {
                let run = pool::max(*backend, &pool, input.pixels(), &mut output.pixels_mut());
                assert_eq!(run, Some(()));
            });
        }
    });
}

#[test]
fn average_pools_give_the_references_bits() {
    for_seeds(CASES, |_, rng| {
        let ratio = *[0.01, 0.7, 1.0, 1e6].choose(rng).unwrap_or(&1.0);
        let case = AverageCase::random(rng, ratio);
        let values = Values::any(rng);
        let input = Strided::new(rng, case.input, values);
        let dense = input.dense();
        let output = cases::output(rng);
        let mut expected = vec![0; case.output.elements() as usize];
        reference::average_pool(&case.average(output), &dense, case.input, &mut expected, case.output);
        check(rng, case.output, &expected, &format!("{case:?}"), |tensor| {
            let run = pool::average(&case.average(output), input.pixels(), &mut tensor.pixels_mut());
            assert_eq!(run, Some(()));
        });

        let mut expected = vec![0; case.output.elements() as usize];
        reference::average_pool_logits(&case.average(output), &dense, case.input, &mut expected, case.output);
        let mut logits = vec![0xA5; expected.len() * 4];
        let run = pool::average_logits(&case.average(output), input.pixels(), case.output.width, 0, &mut logits);
        assert_eq!(run, Some(()));
        let logits: Vec<i32> = logits.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
        assert_eq!(logits, expected, "{case:?}");
    });
}

/// A tensor for operators that work on one element or one pixel at a time.
fn elementwise_shape(rng: &mut Rng) -> Shape {
    Shape::new(rng.random_range(1..=5), rng.random_range(1..=5), rng.random_range(1..=40))
}

#[test]
fn normalisations_give_the_references_bits() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let shape = elementwise_shape(rng);
        let (size, index_shift) = (rng.random_range(1..=12), rng.random_range(6..=12));
        let table = tables::lrn(rng, size.min(shape.channels), index_shift);
        let table: Vec<u16> = if rng.random_bool(0.2) { table.iter().map(|_| rng.random()).collect() } else { table };
        let (zero_point, output) = (cases::zero_point(rng), cases::output(rng));
        let shift = *[1, 8, 15, 16, 30].choose(rng).unwrap_or(&1);
        let lrn = Lrn { size: size as usize, table: &table, index_shift, shift, zero_point, output };
        let values = Values::any(rng);
        let input = Strided::new(rng, shape, values);
        let mut expected = vec![0; shape.elements() as usize];
        reference::lrn(&lrn, &input.dense(), shape, &mut expected);
        let spare = rng.random_range(0..3);
        let mut scratch = vec![rng.random(); lrn::minimum_scratch(shape.channels) + spare];
        let least = lrn::minimum_scratch(shape.channels);
        let mut short = Strided::new(rng, shape, Values::Random);
        for backend in &backends {
            check(rng, shape, &expected, &format!("{}: {size} of {shape:?}", backend.name()), |tensor| {
                tensor.write(&input.dense());
                assert_eq!(lrn::run(*backend, &lrn, &mut tensor.pixels_mut(), &mut scratch), Some(()));
            });
            assert_eq!(lrn::run(*backend, &lrn, &mut short.pixels_mut(), &mut scratch[..least - 1]), None);
        }
    });
}

fn multiplier_and_shift(rng: &mut Rng) -> (i32, u32) {
    let multiplier = [0, 1, i32::MAX, rng.random_range(0..=i32::MAX), 1 << 30];
    let shift = [1, 62, rng.random_range(1..=62), rng.random_range(20..=32), 33];
    (*multiplier.choose(rng).unwrap_or(&0), *shift.choose(rng).unwrap_or(&1))
}

#[test]
fn additions_give_the_references_bits() {
    for_seeds(CASES, |_, rng| {
        let shape = elementwise_shape(rng);
        let ((first, shift), (second, _)) = (multiplier_and_shift(rng), multiplier_and_shift(rng));
        let zero_points = [cases::zero_point(rng), cases::zero_point(rng)];
        let add = Add { zero_points, multipliers: [first, second], shift, output: cases::output(rng) };
        let (values, others) = (Values::any(rng), Values::any(rng));
        let (a, b) = (Strided::new(rng, shape, values), Strided::new(rng, shape, others));
        let mut expected = vec![0; shape.elements() as usize];
        reference::add(&add, &a.dense(), &b.dense(), &mut expected);
        check(rng, shape, &expected, &format!("{add:?} on {shape:?}"), |tensor| {
            tensor.pixels_mut().copy_from(a.pixels()).expect("same shape");
            assert_eq!(elementwise::add(&add, &mut tensor.pixels_mut(), b.pixels()), Some(()));
        });
    });
}

#[test]
fn rescales_give_the_references_bits() {
    for_seeds(CASES, |_, rng| {
        let shape = elementwise_shape(rng);
        let (multiplier, shift) = multiplier_and_shift(rng);
        let rule = Requantize::new(multiplier, shift).expect("in range");
        let rescale = Rescale { zero_point: cases::zero_point(rng), rule, output: cases::output(rng) };
        let values = Values::any(rng);
        let input = Strided::new(rng, shape, values);
        let mut expected = vec![0; shape.elements() as usize];
        reference::rescale(&rescale, &input.dense(), &mut expected);
        check(rng, shape, &expected, &format!("{rescale:?} on {shape:?}"), |tensor| {
            tensor.write(&input.dense());
            elementwise::rescale(&rescale, &mut tensor.pixels_mut());
        });
    });
}

#[test]
fn softmaxes_give_the_references_bits() {
    let table = tables::softmax();
    let (whole, fraction) = table.split_first_chunk::<32>().expect("32 whole powers");
    let fraction = fraction.first_chunk().expect("256 fractions");
    for_seeds(CASES, |_, rng| {
        let (multiplier, shift) = multiplier_and_shift(rng);
        let rule = Requantize::new(multiplier, shift).expect("in range");
        let softmax = Softmax { rule, whole, fraction };
        let classes = rng.random_range(1..=1100);
        let spread = *[1, 1000, 1 << 20, i32::MAX].choose(rng).unwrap_or(&1);
        let mut logits: Vec<i32> = (0..classes).map(|_| rng.random_range(-spread..=spread)).collect();
        if rng.random_bool(0.1) {
            (logits[0], logits[classes - 1]) = (i32::MIN, i32::MAX);
        }
        let mut expected = vec![0; classes];
        reference::softmax(&softmax, &logits, &mut expected);
        let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        let mut probabilities = vec![0xA5; classes * 2];
        assert_eq!(softmax::run(&softmax, &bytes, &mut probabilities), Some(()));
        let computed: Vec<u16> = probabilities.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
        assert_eq!(computed, expected, "{softmax:?}");
    });
}

/// The integer softmax against the real one: within one part in a thousand of 1.0.
#[test]
fn the_softmax_is_a_softmax() {
    let table = tables::softmax();
    let (whole, fraction) = table.split_first_chunk::<32>().expect("32 whole powers");
    let softmax = Softmax {
        // Logits in 1/4096.
        rule: Requantize::new(1 << 30, 34).expect("in range"),
        whole,
        fraction: fraction.first_chunk().expect("256 fractions"),
    };
    for_seeds(100, |_, rng| {
        let logits: Vec<i32> = (0..100).map(|_| rng.random_range(-40_000..40_000)).collect();
        let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        let mut probabilities = vec![0; 200];
        softmax::run(&softmax, &bytes, &mut probabilities).expect("there are classes");
        let powers: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) / 4096.0).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (bytes, power) in probabilities.as_chunks().0.iter().zip(powers) {
            let computed = f64::from(u16::from_le_bytes(*bytes)) / 65535.0;
            assert!((computed - power / sum).abs() < 2e-3, "{computed} is not {}", power / sum);
        }
    });
}

fn sigmoids(parameters: &Softmax<'_>, logits: &[i32]) -> Vec<u16> {
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    let mut probabilities = vec![0xA5; logits.len() * 2];
    assert_eq!(sigmoid::run(parameters, &bytes, &mut probabilities), Some(()));
    probabilities.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect()
}

#[test]
fn sigmoids_give_the_references_bits() {
    let table = tables::softmax();
    let (whole, fraction) = table.split_first_chunk::<32>().expect("32 whole powers");
    let fraction = fraction.first_chunk().expect("256 fractions");
    for_seeds(CASES, |_, rng| {
        let (multiplier, shift) = multiplier_and_shift(rng);
        let parameters = Softmax { rule: Requantize::new(multiplier, shift).expect("in range"), whole, fraction };
        let classes = rng.random_range(1..=100);
        let spread = *[1, 1000, 1 << 20, i32::MAX].choose(rng).unwrap_or(&1);
        let mut logits: Vec<i32> = (0..classes).map(|_| rng.random_range(-spread..=spread)).collect();
        if rng.random_bool(0.1) {
            (logits[0], logits[classes - 1]) = (i32::MIN, i32::MAX);
        }
        let mut expected = vec![0; classes];
        reference::sigmoid(&parameters, &logits, &mut expected);
        assert_eq!(sigmoids(&parameters, &logits), expected, "{parameters:?}");
    });
}

/// The integer sigmoid against the real one, over its whole range: a logit is rounded to 1/256, where the sigmoid's slope is at
/// most 1/4, so within 1/2048 and half a step of the output.
#[test]
fn the_sigmoid_is_a_sigmoid() {
    let table = tables::softmax();
    let (whole, fraction) = table.split_first_chunk::<32>().expect("32 whole powers");
    let parameters = Softmax {
        // Logits in 1/4096.
        rule: Requantize::new(1 << 30, 34).expect("in range"),
        whole,
        fraction: fraction.first_chunk().expect("256 fractions"),
    };
    let logits: Vec<i32> = (-170_000..=170_000).step_by(37).chain([i32::MIN, 0, i32::MAX]).collect();
    let computed = sigmoids(&parameters, &logits);
    for (logit, probability) in logits.iter().zip(&computed) {
        let expected = 1.0 / (1.0 + (-f64::from(*logit) / 4096.0).exp());
        let found = f64::from(*probability) / 65535.0;
        assert!((found - expected).abs() <= 1.0 / 2048.0 + 1.0 / 65535.0, "{logit}: {found} is not {expected}");
    }
    assert_eq!(computed[computed.len() - 3..], [0, 32768, 65535]);
    assert!(computed[..computed.len() - 3].is_sorted(), "a larger logit never has a smaller probability");
}

/// Dispatch must not change what a backend computes: the enum and the ladder's best agree on a whole layer.
#[test]
fn the_detected_backend_is_one_of_the_available() {
    let detected: AnyBackend = tinception_core::arch::detect();
    let names: Vec<&str> = backends::all().iter().map(|backend| backend.name()).collect();
    assert_eq!(names.first(), Some(&detected.name()));
}
