//! Which bytes of the arena hold what, and from which step to which.

use tinception_core::format::tensor::Tensor;
use tinception_core::model::Model;

/// A buffer: what some step writes, until the last step that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// The step that writes it first; `input` for the network's input.
    pub(crate) name: String,
    /// First byte in the arena.
    pub(crate) start: u64,
    /// One past the last byte.
    pub(crate) end: u64,
    /// First step that needs it; the input lives from step 0 on.
    pub(crate) first: usize,
    /// Last step that needs it.
    pub(crate) last: usize,
    /// Elements from pixel to pixel, where steps write slices of its channels; `None` once it was read as a whole.
    open_stride: Option<u32>,
}

impl Buffer {
    fn new(name: &str, tensor: &Tensor, (first, last): (usize, usize)) -> Self {
        Self {
            name: name.to_owned(),
            start: tensor.offset.into(),
            end: tensor.end(),
            first,
            last,
            open_stride: (!tensor.is_contiguous()).then_some(tensor.pixel_stride),
        }
    }

    fn overlaps(&self, tensor: &Tensor) -> bool {
        self.start < tensor.end() && u64::from(tensor.offset) < self.end
    }
}

/// The buffers of a model, in the order in which they come to life. Slices of channels that several steps write into
/// one tensor are one buffer.
pub(crate) fn buffers(model: &Model<'_>) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> =
        model.input().map(|input| Buffer::new("input", &input, (0, 0))).into_iter().collect();
    for (first, group) in model.groups() {
        // What a step needs is there while those run that run together with it.
        let steps = (first, first + group.length - 1);
        for step in (first..first + group.length).filter_map(|index| model.step(index)) {
            for input in [Some(step.input), step.second_input].into_iter().flatten() {
                read(&mut buffers, &input, steps.1);
            }
            write(&mut buffers, step.name(), &step.output, steps);
        }
    }
    let end = model.step_count().saturating_sub(1);
    for result in [model.logits(), model.probabilities()].into_iter().flatten() {
        read(&mut buffers, &result, end);
    }
    buffers
}

/// The buffer that was written last where `tensor` lies lives until `step`.
fn read(buffers: &mut [Buffer], tensor: &Tensor, step: usize) {
    if let Some(buffer) = buffers.iter_mut().rev().find(|buffer| buffer.overlaps(tensor)) {
        buffer.last = step;
        if tensor.is_contiguous() {
            buffer.open_stride = None;
        }
    }
}

fn write(buffers: &mut Vec<Buffer>, name: &str, tensor: &Tensor, steps: (usize, usize)) {
    if tensor.extent() == 0 {
        return;
    }
    let is_slice = !tensor.is_contiguous();
    let wide = if is_slice { buffers.iter_mut().rev().find(|buffer| buffer.overlaps(tensor)) } else { None };
    match wide.filter(|buffer| buffer.open_stride == Some(tensor.pixel_stride)) {
        Some(buffer) => {
            buffer.start = buffer.start.min(tensor.offset.into());
            buffer.end = buffer.end.max(tensor.end());
            buffer.last = steps.1;
        }
        None => buffers.push(Buffer::new(name, tensor, steps)),
    }
}
