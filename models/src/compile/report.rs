//! What a compiled network needs, layer by layer.

use tinception_core::format::writer::Writer;
use tinception_core::shape::Shape;

use crate::emit::{weight_bytes, winograd_bytes};
use crate::plan::Plan;
use crate::program::{Operator, Program, Step};

/// What a compiled network needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The steps, in order.
    pub steps: Vec<StepReport>,
    /// Bytes of RAM that hold activations.
    pub activations: usize,
    /// Bytes of RAM for scratch behind them.
    pub scratch: usize,
    /// Bytes of the file.
    pub flash: usize,
    /// Bytes of weights among them.
    pub weights: usize,
    /// The most bytes of activations that any step needs at once: no plan could need less.
    pub lower_bound: usize,
}

/// What a step needs.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The name of the node it comes from.
    pub name: String,
    /// What it computes.
    pub operator: &'static str,
    /// Shape of its (first) input.
    pub input: Shape,
    /// Shape of its output.
    pub output: Shape,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of its weights in the file.
    pub weight_bytes: usize,
    /// Bytes of its transformed weights in the file, beside the others.
    pub winograd_bytes: usize,
    /// Scale of its output.
    pub scale: f32,
    /// Zero point of its output.
    pub zero_point: i8,
}

impl Report {
    pub(super) fn new(program: &Program, plan: &Plan, writer: &Writer, flash: usize) -> Self {
        let names = writer.steps.iter().map(|step| step.operator.name());
        let steps: Vec<StepReport> =
            program.steps.iter().zip(names).map(|(step, operator)| step_report(program, step, operator)).collect();
        Self {
            activations: writer.activation_size() as usize,
            scratch: writer.scratch_size as usize,
            flash,
            weights: steps.iter().map(|step| step.weight_bytes).sum(),
            lower_bound: plan.lower_bound as usize,
            steps,
        }
    }

    /// Bytes of RAM a session needs.
    #[must_use]
    pub fn ram(&self) -> usize {
        self.activations + self.scratch
    }

    /// Bytes of transformed weights in the file.
    #[must_use]
    pub fn winograd(&self) -> usize {
        self.steps.iter().map(|step| step.winograd_bytes).sum()
    }

    /// Multiply-accumulates of one run.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|step| step.macs).sum()
    }
}

fn step_report(program: &Program, step: &Step, operator: &'static str) -> StepReport {
    let output = &program.tensors[step.output];
    let macs = match &step.operator {
        Operator::Conv(conv) => output.shape.elements() * conv.layout.depth as u64,
        _ => 0,
    };
    StepReport {
        name: step.name.clone(),
        operator,
        input: program.tensors[step.input].shape,
        output: output.shape,
        macs,
        weight_bytes: weight_bytes(step),
        winograd_bytes: winograd_bytes(step),
        scale: output.quant.scale,
        zero_point: output.quant.zero_point,
    }
}
