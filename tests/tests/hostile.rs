//! Files that a stranger could write to leak, to stall or to speak to a terminal: each is refused, in a time that its size
//! allows. Those beside them that differ by one byte or one entry are taken.

use std::time::{Duration, Instant};

use tinception_core::error::{FormatError, StepProblem};
use tinception_core::format::step::{AveragePool, Conv, Link, Lrn, Operator, Rescale, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, LABEL_LIMIT, NAME_LIMIT, NO_TENSOR, PROVENANCE_LIMIT};
use tinception_core::image::{ColourOrder, Resize};
use tinception_core::kernels::conv::Layout;
use tinception_core::model::{Checksum, Model};
use tinception_core::quant::QuantParams;
use tinception_core::session::Session;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::linked::linked_model;

/// A file by hand: tensors where they are said to lie, no memory planned.
struct File(Writer);

impl File {
    /// With an input of this shape at the arena's start: tensor 0.
    fn new(shape: [u32; 3]) -> Self {
        let mut file = Self(Writer::new());
        file.tensor(0, shape);
        file
    }

    fn tensor(&mut self, offset: u32, shape: [u32; 3]) -> u16 {
        self.slice(offset, shape, shape[2])
    }

    /// A tensor whose pixels are `stride` bytes apart.
    fn slice(&mut self, offset: u32, [height, width, channels]: [u32; 3], pixel_stride: u32) -> u16 {
        let (shape, quant) = (Shape::new(height, width, channels), QuantParams { scale: 0.5, zero_point: 0 });
        let (stored, data_type) = (Stored::Whole, DataType::Int8);
        self.0.tensors.push(Tensor { offset, shape, pixel_stride, stored, data_type, quant });
        (self.0.tensors.len() - 1) as u16
    }

    fn step(&mut self, input: u16, output: u16, operator: Operator) {
        let (second_input, min, max, name, name_length) = (NO_TENSOR, -128, 127, 64, 0);
        self.0.steps.push(Step {
            input,
            second_input,
            output,
            min,
            max,
            name,
            name_length,
            link: Link::None,
            operator,
        });
    }

    fn copy(&mut self, input: u16, output: u16) {
        self.step(input, output, Operator::Rescale(Rescale { multiplier: 1 << 30, shift: 30 }));
    }

    /// What a reader says of the file, whose result is tensor `logits`; it takes no longer than a second for a megabyte.
    fn read(&mut self, logits: u16) -> Option<FormatError> {
        self.0.logits = logits;
        read(&self.0)
    }
}

fn read(writer: &Writer) -> Option<FormatError> {
    let bytes = Aligned::new(&writer.finish());
    let start = Instant::now();
    let error = Model::new(&bytes).err();
    let allowed = Duration::from_secs(2) + Duration::from_secs(2) * (bytes.len() >> 20) as u32;
    assert!(start.elapsed() < allowed, "{} bytes took {:?}", bytes.len(), start.elapsed());
    error
}

fn unwritten(step: u16) -> Option<FormatError> {
    Some(FormatError::Step { step, problem: StepProblem::Unwritten })
}

#[test]
fn what_nothing_wrote_is_not_read() {
    // The picture before: tensor 1 is written after it was read.
    let mut late = File::new([4, 4, 1]);
    let (kept, out, logits) = (late.tensor(16, [4, 4, 1]), late.tensor(32, [4, 4, 1]), late.tensor(32, [1, 1, 16]));
    late.copy(kept, out);
    late.copy(0, kept);
    assert_eq!(late.read(logits), unwritten(0));
    late.0.steps.swap(0, 1);
    assert_eq!(late.read(logits), None, "the other way round it is a network");

    // One byte before, behind and between what was written.
    for (offset, shape, expected) in [
        (16, [4, 4, 1], None),
        (15, [4, 4, 1], None),
        (17, [4, 4, 1], unwritten(1)),
        (31, [1, 1, 1], None),
        (32, [1, 1, 1], unwritten(1)),
        (0, [1, 2, 16], None),
        (0, [1, 3, 11], unwritten(1)),
    ] {
        let mut file = File::new([4, 4, 1]);
        let (made, read) = (file.tensor(16, [4, 4, 1]), file.tensor(offset, shape));
        let (out, logits) = (file.tensor(64, shape), file.tensor(64, [1, 1, 1]));
        file.copy(0, made);
        file.copy(read, out);
        assert_eq!(file.read(logits), expected, "{offset} {shape:?}");
    }

    // Slices of 3, 4 and 5 channels make 12; each of them alone, and all but one, do not.
    for missing in [None, Some(0), Some(1), Some(2)] {
        let mut file = File::new([3, 3, 12]);
        let mut first = 0;
        for (index, channels) in [3, 4, 5].into_iter().enumerate() {
            let (from, to) = (file.slice(first, [3, 3, channels], 12), file.slice(112 + first, [3, 3, channels], 12));
            if missing != Some(index) {
                file.copy(from, to);
            }
            first += channels;
        }
        let steps = file.0.steps.len() as u16;
        let expected = missing.and(unwritten(steps));
        // The wide tensor as a whole, as a flat view, one row, and channels that lie over two slices.
        for (offset, shape, stride) in
            [(112, [3, 3, 12], 12), (112, [1, 1, 108], 108), (148, [1, 3, 12], 12), (114, [3, 3, 5], 12)]
        {
            let mut file = File(file.0.clone());
            let (wide, out) = (file.slice(offset, shape, stride), file.tensor(240, shape));
            let logits = file.tensor(240, [1, 1, 3]);
            file.copy(wide, out);
            let reads_missing = missing != Some(2) || shape[2] != 5;
            assert_eq!(file.read(logits), expected.filter(|_| reads_missing), "{missing:?} {shape:?}");
        }
    }

    // A second input that nothing wrote; a result that nothing wrote, or half of it.
    let mut sum = File::new([2, 2, 4]);
    let (never, out) = (sum.tensor(16, [2, 2, 4]), sum.tensor(32, [2, 2, 4]));
    let logits = sum.tensor(32, [1, 1, 16]);
    sum.copy(0, out);
    sum.0.steps[0].operator = Operator::Add(tinception_core::format::step::Add { multipliers: [1, 1], shift: 1 });
    sum.0.steps[0].second_input = never;
    assert_eq!(sum.read(logits), unwritten(0));
    sum.0.steps[0].second_input = 0;
    assert_eq!(sum.read(logits), None);
    for (offset, channels, expected) in [(16, 4, true), (32, 16, false), (33, 16, true), (40, 8, false), (47, 2, true)]
    {
        let mut file = File(sum.0.clone());
        let logits = file.tensor(offset, [1, 1, channels]);
        let expected = expected.then_some(FormatError::Unwritten { tensor: logits });
        assert_eq!(file.read(logits), expected, "{offset} {channels}");
    }
}

/// Reads only what was written at the time, whatever the arena held: on all bytes of it, the scores stay the same.
#[test]
fn no_accepted_file_shows_what_was_in_the_arena() {
    let files = (0..4).map(every_operator_model).chain((0..12).map(|seed| linked_model(seed, true)));
    for file in files {
        let file = Aligned::new(&file);
        let model = Model::new(&file).expect("a valid model");
        let mut scores = Vec::new();
        for before in [0x00, 0x55, 0xFF] {
            let mut arena = vec![before; model.arena_size()];
            let mut session = Session::new(&model, &mut arena).expect("enough memory");
            session.input_mut().fill(33);
            session.run().expect("it runs");
            let results = [session.logits(), session.probabilities()].into_iter().flatten();
            scores.push(results.flat_map(|values| values.iter()).collect::<Vec<i32>>());
        }
        assert!(scores.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn pools_are_verified_without_their_rows_and_columns() {
    // Windows over 65,535 columns, 199 rows, with as many divisors as the kernel has rows: as often as the file likes.
    for (steps, in_table, expected) in [(20, 100, None), (20, 99, Some(0)), (2000, 100, None)] {
        let mut file = File::new([100, 65_535, 1]);
        let out = file.tensor(100 * 65_535 + 4, [199, 65_535, 1]);
        let logits = file.tensor(0, [1, 1, 4]);
        let window = Window { kernel_height: 100, ..Window::square(1, 1) };
        let window = window.padded(Padding { top: 99, bottom: 99, ..Padding::NONE });
        let table: Vec<i32> = (101 - in_table..=100).flat_map(|divisor| [divisor, 1 << 30, 30]).collect();
        let divisor_table = file.0.add_table(&table);
        let pool = AveragePool { window, counted: Padding::NONE, divisor_table, divisors: in_table as u32 };
        (0..steps).for_each(|_| file.step(0, out, Operator::AveragePool(pool)));
        let expected = expected.map(|step| FormatError::Step { step, problem: StepProblem::Window });
        match file.read(logits) {
            // Many steps may share a table, but not for ever.
            Some(FormatError::Step { problem: StepProblem::Effort, .. }) if steps > 20 || expected.is_none() => {}
            error => assert_eq!(error, expected, "{steps} steps"),
        }
    }
    // The kernel covers the whole input at 65,000 places along both axes: one count each.
    let mut file = File::new([300, 300, 1]);
    let window = Window::square(2000, 1).padded(Padding::same(1700));
    let side = 300 + 3400 - 2000 + 1;
    let out = file.tensor(90_000, [side, side, 1]);
    let divisor_table = file.0.add_table(&[90_000, 1, 30]);
    let pool = AveragePool { window, counted: Padding::NONE, divisor_table, divisors: 1 };
    file.step(0, out, Operator::AveragePool(pool));
    assert_eq!(file.read(out), Some(FormatError::Tensor { tensor: out }), "too many pixels for scores");
    let logits = file.tensor(90_000, [1, 1, 2]);
    assert_eq!(file.read(logits), None);
    // A window that lies in the padding, at one end or the other.
    for padding in [
        Padding { top: 3, bottom: 1, ..Padding::NONE },
        Padding { bottom: 3, top: 1, ..Padding::NONE },
        Padding { left: 3, right: 1, ..Padding::NONE },
        Padding { right: 3, left: 1, ..Padding::NONE },
    ] {
        let mut file = File::new([8, 8, 1]);
        let window = Window::square(3, 1).padded(padding);
        let (height, width) = window.output(8, 8).expect("it fits");
        let out = file.tensor(64, [height, width, 1]);
        file.step(0, out, Operator::MaxPool(window));
        let logits = file.tensor(64, [1, 1, 1]);
        assert_eq!(file.read(logits), Some(FormatError::Step { step: 0, problem: StepProblem::Window }), "{padding:?}");
    }
}

#[test]
fn every_count_of_a_pool_is_asked_for() {
    // Against all windows one by one: the table must have each divisor, and needs no other.
    let mut rng = tinception_tests::rng(5);
    use rand::Rng as _;
    for round in 0..300 {
        let size: u32 = rng.random_range(1..=9);
        let kernel = rng.random_range(1..=12);
        let side = |rng: &mut tinception_tests::Rng| rng.random_range(0..kernel);
        let padding =
            Padding { top: side(&mut rng), left: side(&mut rng), bottom: side(&mut rng), right: side(&mut rng) };
        let counted = Padding {
            top: rng.random_range(0..=padding.top),
            left: rng.random_range(0..=padding.left),
            bottom: rng.random_range(0..=padding.bottom),
            right: rng.random_range(0..=padding.right),
        };
        let window = Window::square(kernel, rng.random_range(1..=3)).padded(padding);
        let Some((height, width)) = window.output(size, size + 1) else { continue };
        let count = |at: u32, stride: u32, pad: u32, (before, size, after): (u32, u32, u32)| {
            let counts = |k: &u32| (pad - before..pad + size + after).contains(&(at * stride + k));
            (0..kernel).filter(counts).count() as i32
        };
        let sees = |at: u32, pad: u32, size: u32| count(at, window.stride_height, pad, (0, size, 0)) > 0;
        let seen =
            (0..height).all(|y| sees(y, padding.top, size)) && (0..width).all(|x| sees(x, padding.left, size + 1));
        let mut divisors = std::collections::BTreeSet::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let rows = count(y, window.stride_height, padding.top, (counted.top, size, counted.bottom));
            divisors
                .insert(rows * count(x, window.stride_width, padding.left, (counted.left, size + 1, counted.right)));
        }
        let missing = rng.random_range(0..divisors.len());
        for table in [None, Some(missing)] {
            let mut file = File::new([size, size + 1, 1]);
            let out = file.tensor(128, [height, width, 1]);
            let kept = divisors.iter().enumerate().filter(|(index, _)| Some(*index) != table);
            let entries: Vec<i32> = kept.flat_map(|(_, divisor)| [*divisor, 1 << 20, 30]).collect();
            let divisor_table = file.0.add_table(&entries);
            let pool = AveragePool { window, counted, divisor_table, divisors: entries.len() as u32 / 3 };
            file.step(0, out, Operator::AveragePool(pool));
            let logits = file.tensor(128, [1, 1, 1]);
            let expected = (!seen || table.is_some()).then_some(StepProblem::Window);
            let expected = expected.map(|problem| FormatError::Step { step: 0, problem });
            assert_eq!(file.read(logits), expected, "round {round}: {window:?} counted {counted:?}");
        }
    }
}

#[test]
fn weights_are_not_verified_again_and_again() {
    let window = Window::square(1, 1);
    let layout = Layout::new(&window, 1, 512, 512).expect("it fits");
    let weights = vec![0_u8; layout.weights];
    let table: Vec<i32> = [0, 1 << 30, 30, 0].into_iter().flat_map(|value| vec![value; layout.table]).collect();
    for (steps, taken) in [(1, true), (14, true), (40, false), (20_000, false)] {
        let mut file = File::new([1, 1, 512]);
        let out = file.tensor(512, [1, 1, 512]);
        let weights = file.0.add_data(&weights, ALIGNMENT);
        let channel_table = file.0.add_table(&table);
        let conv = Conv { window, groups: 1, weights, channel_table, winograd: None };
        (0..steps).for_each(|_| file.step(0, out, Operator::Conv(conv)));
        match file.read(out) {
            None => assert!(taken, "{steps}"),
            Some(FormatError::Step { problem: StepProblem::Effort, .. }) => assert!(!taken, "{steps}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn reads_of_what_lies_far_back_come_to_an_end() {
    // Each step reads what the first one wrote, and writes elsewhere.
    for steps in [50, 3_000, 30_000] {
        let mut file = File::new([1, 1, 16]);
        let first = file.tensor(16, [1, 1, 16]);
        file.copy(0, first);
        let places: Vec<u16> = (2..40).map(|place| file.tensor(place * 16, [1, 1, 16])).collect();
        (0..steps).for_each(|step| file.copy(first, places[step % places.len()]));
        match file.read(places[0]) {
            None => assert!(steps < 30_000),
            Some(FormatError::Step { problem: StepProblem::Effort, .. }) => assert!(steps > 50),
            other => panic!("{other:?}"),
        }
    }
    // A concatenation of many slices, written in the order that is worst to find them in.
    let mut file = File::new([2, 2, 1]);
    let slices: Vec<u16> = (0..100).map(|channel| file.slice(16 + channel, [2, 2, 1], 100)).collect();
    slices.iter().rev().for_each(|slice| file.copy(0, *slice));
    let (wide, out) = (file.tensor(16, [2, 2, 100]), file.tensor(4096, [2, 2, 100]));
    file.copy(wide, out);
    let logits = file.tensor(4096, [1, 1, 100]);
    assert_eq!(file.read(logits), None);
}

#[test]
fn texts_have_no_control_characters_and_a_length() {
    let refused = [
        "\u{1b}[2J",
        "\u{1b}]0;pwned\u{7}",
        "\0",
        "\r",
        "\t",
        "\u{7f}",
        "\u{85}",
        "\u{9b}31m",
        "\u{2028}",
        "\u{202e}abc",
        "\u{2066}",
        "\u{b}",
    ];
    let allowed = [
        "<script>alert(1)</script>",
        "a \u{200e}b",
        "Ärger, Übel",
        "猫",
        "🐈\u{200d}⬛",
        "\u{feff}x",
        "$(reboot) `id`",
        "%s%n",
    ];
    let with_id = |id: &str| {
        let mut file = File(Writer::with_label_ids(format!("{id}\nb\n")));
        file.tensor(0, [1, 1, 2]);
        let out = file.tensor(16, [1, 1, 2]);
        file.copy(0, out);
        file.0.labels = "a\nb\n".into();
        file.read(out)
    };
    let with_text = |label: &str, name: &str, line: &str| {
        let mut file = File::new([1, 1, 2]);
        let out = file.tensor(16, [1, 1, 2]);
        file.copy(0, out);
        file.0.labels = format!("{label}\nb\n");
        file.0.provenance = format!("source: {line}\ntool: x\n");
        (file.0.steps[0].name, file.0.steps[0].name_length) = (file.0.add_data(name.as_bytes(), 1), name.len() as u16);
        file.read(out)
    };
    let wrong_name = Some(FormatError::Step { step: 0, problem: StepProblem::Name });
    for text in refused {
        assert_eq!(with_text(text, "n", "l"), Some(FormatError::Text), "{text:?}");
        assert_eq!(with_text("l", "n", text), Some(FormatError::Text), "{text:?}");
        assert_eq!(with_id(text), Some(FormatError::Text), "{text:?}");
        assert_eq!(with_text("l", text, "l"), wrong_name, "{text:?}");
    }
    assert_eq!(with_text("l", "a\nb", "l"), wrong_name, "a name is one line");
    for text in allowed {
        assert_eq!(with_text(text, text, text), None, "{text:?}");
        assert_eq!(with_id(text), None, "{text:?}");
    }
    let long = |length: usize| "x".repeat(length);
    assert_eq!(with_text(&long(LABEL_LIMIT), &long(NAME_LIMIT), &long(PROVENANCE_LIMIT - 8)), None);
    assert_eq!(with_text(&long(LABEL_LIMIT + 1), "n", "l"), Some(FormatError::Text));
    assert_eq!(with_text("l", &long(NAME_LIMIT + 1), "l"), wrong_name);
    assert_eq!(with_text("l", "n", &long(PROVENANCE_LIMIT - 7)), Some(FormatError::Text));
    assert_eq!(with_text(&long(1 << 21), "n", "l"), Some(FormatError::Text));
    assert_eq!([with_id(""), with_id(&long(LABEL_LIMIT))], [None; 2]);
    assert_eq!(with_id(&long(LABEL_LIMIT + 1)), Some(FormatError::Text));
}

#[test]
fn scales_and_means_are_numbers() {
    let file = |change: &dyn Fn(&mut tinception_core::format::preprocess::Preprocess), channels: u32| {
        let mut file = File::new([2, 2, channels]);
        let (out, logits) = (file.tensor(16, [2, 2, channels]), file.tensor(16, [1, 1, 4]));
        file.copy(0, out);
        let table = file.0.add_data(&[0; 768], 4);
        let (mean, scale) = ([1.0; 3], [0.5; 3]);
        let order = if channels == 1 { ColourOrder::Grey } else { ColourOrder::Rgb };
        let mut preprocess =
            tinception_core::format::preprocess::Preprocess { order, resize: Resize::Stretch, mean, scale, table };
        if channels == 1 {
            (preprocess.mean, preprocess.scale) = ([1.0, 0.0, 0.0], [0.5, 0.0, 0.0]);
        }
        change(&mut preprocess);
        file.0.preprocess = Some(preprocess);
        file.read(logits)
    };
    let subnormal = f32::MIN_POSITIVE / 2.0;
    for scale in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, -1.0, subnormal, f32::from_bits(1)] {
        for channel in 0..3 {
            let error = file(&|preprocess| preprocess.scale[channel] = scale, 3);
            assert_eq!(error, Some(FormatError::Preprocess), "scale {scale} of channel {channel}");
        }
        assert_eq!(file(&|preprocess| preprocess.scale[0] = scale, 1), Some(FormatError::Preprocess));
        let mut file = File::new([1, 1, 2]);
        let out = file.tensor(16, [1, 1, 2]);
        file.copy(0, out);
        file.0.tensors[1].quant.scale = scale;
        assert_eq!(file.read(out), Some(FormatError::Tensor { tensor: 1 }), "{scale}");
    }
    for mean in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(file(&|preprocess| preprocess.mean[2] = mean, 3), Some(FormatError::Preprocess), "mean {mean}");
        assert_eq!(file(&|preprocess| preprocess.mean[2] = mean, 1), Some(FormatError::Preprocess), "of no channel");
    }
    for (mean, scale) in [(0.0, f32::MIN_POSITIVE), (-5.5, f32::MAX), (255.0, 1e-20)] {
        let change = |preprocess: &mut tinception_core::format::preprocess::Preprocess| {
            (preprocess.mean[0], preprocess.scale[0]) = (mean, scale);
        };
        assert_eq!([file(&change, 3), file(&change, 1)], [None; 2], "{mean} {scale}");
    }
    assert_eq!(file(&|preprocess| preprocess.scale[1] = f32::NAN, 1), Some(FormatError::Preprocess), "of no channel");
}

#[test]
fn a_model_tells_what_a_run_costs() {
    // A pool of 300 x 300 at 599 x 599 places, in 16 channels' time: the file has some 600 bytes.
    let mut file = File::new([300, 300, 1]);
    let out = file.tensor(90_000, [599, 599, 1]);
    file.step(0, out, Operator::MaxPool(Window::square(300, 1).padded(Padding::same(299))));
    file.0.logits = file.tensor(90_000, [1, 1, 2]);
    let bytes = Aligned::new(&file.0.finish());
    let model = Model::new(&bytes).expect("a valid model");
    assert_eq!(model.cost(), 599 * 599 * (300 * 300 * 16 + 64));
    // A convolution of 2 groups: 3 inputs and 5 outputs of each, padded to 8 outputs and 28 deep; LRN; no overflow.
    let mut file = File::new([6, 6, 6]);
    let (out, normal) = (file.tensor(216, [6, 6, 10]), file.tensor(216, [6, 6, 10]));
    let window = Window::square(3, 1).padded(Padding::same(1));
    let weights = file.0.add_data(&[0; 2 * 8 * 28], ALIGNMENT);
    let table: Vec<i32> = [0, 1 << 30, 30, 0].into_iter().flat_map(|value| [value; 16]).collect();
    let channel_table = file.0.add_table(&table);
    file.step(0, out, Operator::Conv(Conv { window, groups: 2, weights, channel_table, winograd: None }));
    let table = file.0.add_data(&[0; 8], 4);
    file.step(out, normal, Operator::Lrn(Lrn { size: 5, table, entries: 4, index_shift: 20, shift: 1 }));
    (file.0.logits, file.0.scratch_size) = (file.tensor(216, [1, 1, 10]), 32);
    let bytes = Aligned::new(&file.0.finish());
    let model = Model::with_checksum(&bytes, Checksum::Verify).expect("a valid model");
    let costs: Vec<u64> = model.steps().map(|step| step.cost()).collect();
    assert_eq!(costs, [36 * (2 * (28 * 8 + 64) + 64), 36 * (10 + 64)]);
    assert_eq!(model.cost(), costs.iter().sum::<u64>());
}
