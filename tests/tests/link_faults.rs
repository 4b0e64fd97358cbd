//! Links that make no group are refused, one fault at a time: each file is valid but for one change.

use tinception_core::error::FormatError::{self, Step as StepError, Tensor as TensorError};
use tinception_core::error::StepProblem::{self, Link as Links, Overlap, Shape as Shapes};
use tinception_core::format::step::Link;
use tinception_core::format::tensor::{DataType, Stored};
use tinception_core::format::writer::{Writer, refresh_checksum};
use tinception_core::model::Model;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_tests::aligned::Aligned;
use tinception_tests::builder::Builder;
use tinception_tests::rng;

/// Steps of the model below.
const CONV: usize = 0;
const LRN: usize = 1;
const RESCALE: usize = 2;
const POOL: usize = 3;
const PROJECTION_POOL: usize = 4;
const PROJECTION: usize = 5;
const SHARED: [usize; 3] = [6, 7, 8];
const LOGITS: usize = 9;

/// A model with one group of each kind, every tensor with as much memory as if it were whole.
fn writer() -> Writer {
    let mut rng = rng(5);
    let mut b = Builder::new(&mut rng, Shape::new(9, 9, 3));
    b.linked = false;
    let same = Window::square(3, 1).padded(Padding::same(1));
    let made = b.conv("conv", 0, same, (1, 8));
    let normal = b.in_place_of(made, 4);
    b.lrn("lrn", (made, normal), 5, 8);
    let scaled = b.in_place_of(normal, 7);
    b.rescale("rescale", (normal, scaled));
    let pooled = b.max_pool("pool", scaled, Window::square(3, 2));
    let bare = b.max_pool("projection/pool", pooled, same);
    let projected = b.conv("projection", bare, Window::square(1, 1), (1, 8));
    let shared = [4, 8, 6].map(|outputs| b.conv("shared", projected, Window::square(1, 1), (1, outputs)));
    let logits = b.average_logits("logits", shared[0]);
    b.writer.logits = logits;
    // A patch of the first convolution takes 28 bytes.
    b.writer.scratch_size = 32;
    for ring in [made, normal, scaled] {
        b.writer.tensors[usize::from(ring)].stored = Stored::Ring(4);
    }
    b.writer.tensors[usize::from(bare)].stored = Stored::Nothing;
    let links = [(CONV, Link::Stream), (LRN, Link::Stream), (RESCALE, Link::Stream), (PROJECTION_POOL, Link::Stream)];
    for (step, link) in links.into_iter().chain([(SHARED[0], Link::Share), (SHARED[1], Link::Share)]) {
        b.writer.steps[step].link = link;
    }
    std::mem::take(&mut b.writer)
}

fn error(writer: &Writer) -> Option<FormatError> {
    Model::new(&Aligned::new(&writer.finish())).err()
}

/// The error after a change of the finished records.
fn after(change: impl FnOnce(&mut Writer)) -> Option<FormatError> {
    let mut writer = writer();
    assert_eq!(error(&writer), None);
    change(&mut writer);
    error(&writer)
}

fn step(step: usize, problem: StepProblem) -> Option<FormatError> {
    Some(StepError { step: step as u16, problem })
}

fn output(writer: &mut Writer, step: usize) -> &mut tinception_core::format::tensor::Tensor {
    let output = writer.steps[step].output;
    &mut writer.tensors[usize::from(output)]
}

#[test]
fn steps_that_are_no_group_are_refused() {
    let linked = |step: usize, link| after(|w| w.steps[step].link = link);
    assert_eq!(linked(LRN, Link::None), step(CONV, Links), "no pool at the end");
    assert_eq!(linked(POOL, Link::Stream), step(CONV, Links), "a pool in the middle");
    assert_eq!(linked(RESCALE, Link::Share), step(CONV, Links), "two kinds of links");
    assert_eq!(linked(CONV, Link::Share), step(CONV, Links), "a convolution does not share with a normalisation");
    assert_eq!(linked(CONV, Link::None), step(CONV, Shapes), "a ring for nobody");
    assert_eq!(linked(PROJECTION_POOL, Link::Share), step(PROJECTION_POOL, Links), "pools share nothing");
    assert_eq!(linked(PROJECTION_POOL, Link::None), step(PROJECTION_POOL, Shapes), "an output without memory");
    assert_eq!(linked(PROJECTION, Link::Stream), step(PROJECTION_POOL, Links), "a projection that streams on");
    assert_eq!(linked(SHARED[1], Link::Stream), step(SHARED[0], Links), "two kinds of links");
    assert_eq!(linked(SHARED[2], Link::Share), step(SHARED[0], Links), "a pool can't share");
    assert_eq!(linked(LOGITS, Link::Stream), step(LOGITS, Links), "nothing behind the last step");
    assert_eq!(linked(LOGITS, Link::Share), step(LOGITS, Links), "nothing behind the last step");
    // Five steps: one more than a group may have.
    let five = after(|w| {
        for _ in 0..2 {
            let copy = w.steps[SHARED[1]];
            w.steps.insert(SHARED[1], copy);
        }
    });
    assert_eq!(five, step(SHARED[0], Links));
    let order = after(|w| w.steps.swap(LRN, POOL));
    assert!(matches!(order, Some(StepError { problem: Links | Shapes, .. })), "the wrong order: {order:?}");
}

#[test]
fn rings_that_are_too_small_or_differ_are_refused() {
    let rows = |stored: [Stored; 3]| {
        after(|w| {
            for (step, stored) in [CONV, LRN, RESCALE].into_iter().zip(stored) {
                output(w, step).stored = stored;
            }
        })
    };
    let ring = Stored::Ring;
    assert_eq!(rows([ring(3); 3]), None, "as many rows as the pool's kernel has");
    assert_eq!(rows([ring(9); 3]), None, "all rows");
    assert_eq!(rows([ring(2); 3]), step(POOL, Links));
    assert_eq!(rows([ring(4), ring(3), ring(3)]), step(LRN, Links));
    assert_eq!(rows([ring(4), ring(4), ring(5)]), step(RESCALE, Links));
    assert_eq!(rows([Stored::Whole; 3]), step(LRN, Links), "a whole tensor doesn't stream");
    assert_eq!(rows([Stored::Nothing; 3]), step(LRN, Links), "rows need memory");
    assert_eq!(rows([ring(10); 3]), Some(TensorError { tensor: 1 }), "more rows than there are");
    for stored in [ring(3), Stored::Whole] {
        assert_eq!(after(|w| output(w, PROJECTION_POOL).stored = stored), step(PROJECTION, Links), "{stored:?}");
    }
}

#[test]
fn tensors_in_each_others_way_are_refused() {
    let on = |step: usize, other: usize| {
        after(|w| {
            let offset = output(w, other).offset;
            output(w, step).offset = offset;
        })
    };
    assert_eq!(on(SHARED[1], SHARED[0]), step(SHARED[2], Overlap));
    assert_eq!(on(SHARED[2], SHARED[1]), step(SHARED[2], Overlap));
    assert_eq!(on(SHARED[0], PROJECTION), step(SHARED[0], Overlap), "over the shared input");
    assert_eq!(on(PROJECTION, POOL), step(PROJECTION, Overlap), "over what is still pooled");
    assert_eq!(after(|w| output(w, POOL).offset = w.tensors[0].offset), step(POOL, Overlap), "over the input");
    assert_eq!(on(POOL, CONV), step(POOL, Overlap), "over the ring");
    let moved = after(|w| output(w, LRN).offset += 16);
    assert!(matches!(moved, Some(StepError { problem: Overlap | Links, .. })), "not in place: {moved:?}");
    let apart = after(|w| output(w, LRN).offset += 4096);
    assert!(matches!(apart, Some(StepError { problem: Links, .. })), "a second ring: {apart:?}");
}

#[test]
fn steps_that_read_something_else_are_refused() {
    // The first shared convolution's output has the shape of nothing else, so another input needs the projected shape.
    let other = after(|w| {
        let mut copy = *output(w, PROJECTION);
        copy.offset = w.activation_size();
        w.tensors.push(copy);
        w.steps[SHARED[1]].input = w.tensors.len() as u16 - 1;
    });
    assert_eq!(other, step(SHARED[1], Links));
    let other = after(|w| {
        let mut copy = *output(w, PROJECTION_POOL);
        copy.quant.zero_point ^= 1;
        w.tensors.push(copy);
        w.steps[PROJECTION].input = w.tensors.len() as u16 - 1;
    });
    assert_eq!(other, step(PROJECTION, Links));
    // What has not all its rows is for the next step alone.
    assert_eq!(after(|w| w.steps[LOGITS].input = w.steps[RESCALE].output), step(LOGITS, Shapes));
    assert_eq!(after(|w| w.tensors[0].stored = Stored::Ring(3)), step(CONV, Shapes));
    let logits = after(|w| output(w, LOGITS).stored = Stored::Ring(1));
    assert_eq!(logits, step(LOGITS, Shapes));
    let int32 = after(|w| output(w, SHARED[2]).data_type = DataType::Int32);
    assert!(matches!(int32, Some(StepError { problem: Links, .. } | TensorError { .. })), "{int32:?}");
}

#[test]
fn too_little_scratch_for_a_pooled_pixel_is_refused() {
    let mut writer = writer();
    // The projection's depth is 8; wider than the scratch, it would have nowhere to be.
    let mut rng = rng(6);
    let mut b = Builder::new(&mut rng, Shape::new(3, 3, 40));
    let bare = b.max_pool("pool", 0, Window::square(3, 1));
    b.store(bare, Stored::Nothing);
    b.link(Link::Stream);
    let projected = b.conv("conv", bare, Window::square(1, 1), (1, 4));
    b.writer.logits = b.average_logits("logits", projected);
    std::mem::swap(&mut writer, &mut b.writer);
    for (scratch, expected) in [(48, None), (32, step(1, Links))] {
        writer.scratch_size = scratch;
        assert_eq!(error(&writer), expected, "{scratch} bytes");
    }
}

#[test]
fn an_unknown_link_is_refused() {
    let writer = writer();
    for number in [3, 4, 255] {
        let mut file = Aligned::new(&writer.finish());
        let record = writer.steps[LRN].emit();
        let at = file.windows(record.len()).position(|bytes| bytes == record).expect("the record is in the file");
        file[at + 3] = number;
        refresh_checksum(&mut file);
        assert_eq!(Model::new(&file).err(), step(LRN, Links));
    }
}
