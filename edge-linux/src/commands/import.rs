//! `tinception import`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::preprocess::PreprocessArgs;

/// Arguments of `import`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
PyTorch checkpoints (.pth, .pt), safetensors and .caffemodel files are read. Their tensors must have the names that \
torchvision or Caffe give them; a prefix that all of them share, such as Lightning's `model.` or torch.compile's \
`_orig_mod.`, is removed. No pickle is executed. Weights of auxiliary classifiers are left out.\n\n\
The .onnx file holds the float network, its class names and its preprocessing, so that quantize, classify, eval and compare \
need nothing else. The default preprocessing is that of the published weights or of this project's training.\n\n\
Examples:\n  tinception import googlenet-1378be20.pth --arch googlenet-torchvision \\\n    --labels imagenet.txt -o googlenet.onnx\n  \
tinception import runs/mine/best.pt --arch nano -o mine.onnx")]
pub(crate) struct Args {
    /// File with the weights
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,
    /// Architecture that the weights belong to
    #[arg(long, value_name = "NAME", value_enum)]
    arch: Arch,
    /// Number of classes that the network must have; by default as many as its classifier has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    classes: Option<u32>,
    /// Side of the pictures in pixels; by default what the checkpoint says, or else what the network was designed for
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=4096))]
    size: Option<u32>,
    /// Text file with the class names, one a line; by default the names in the checkpoint
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Licence of the weights, which is written into the file
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// File to write
    #[arg(long, short, value_name = "OUT.onnx")]
    output: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// How pictures become the network's input
    #[command(flatten, next_help_heading = "Preprocessing")]
    preprocess: PreprocessArgs,
}

/// Architectures, as the command line names them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arch {
    /// The reduced Inception for microcontrollers, 32x32
    Nano,
    /// The book's network, 32x32: nine modules, 5x5 as two 3x3
    Book,
    /// GoogLeNet as this project trains it: batch normalisation, true 5x5
    #[value(name = "googlenet")]
    GoogLeNet,
    /// This project's GoogLeNet for small pictures, 64x64: all modules see twice the resolution
    #[value(name = "googlenet-fine")]
    GoogLeNetFine,
    /// torchvision's GoogLeNet: batch normalisation, 3x3 for 5x5
    #[value(name = "googlenet-torchvision")]
    GoogLeNetTorchvision,
    /// Caffe's GoogLeNet: local response normalisation, true 5x5
    #[value(name = "googlenet-caffe")]
    GoogLeNetCaffe,
    /// torchvision's Inception v3, 299x299
    InceptionV3,
}

/// Runs the command.
#[cfg(feature = "tract")]
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    network::run(args, out)
}

/// Says that this program lacks what the command needs.
#[cfg(not(feature = "tract"))]
pub(crate) fn run(args: &Args, _: &mut dyn Write) -> Result<ExitCode> {
    crate::engine::require_tract(&args.output)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "tract")]
mod network {
    use std::io;

    use anyhow::Context;
    use serde::Serialize;
    use tinception_models::compile::Label;
    use tinception_models::nets::{Architecture, Built};
    use tinception_models::onnx::{self, Metadata};
    use tinception_models::{passes, weights};

    use super::*;
    use crate::labels::Labels;
    use crate::output::{file_error, grouped, json, sha256};
    use crate::preprocess::Preprocessor;
    use crate::terminal::Plain;
    use crate::{destination, files};

    /// What is printed.
    #[derive(Serialize)]
    struct Summary {
        file: String,
        architecture: &'static str,
        input: [u32; 3],
        classes: u32,
        labels: usize,
        macs: u64,
        tensors: usize,
        left_out: Vec<String>,
        prefix: String,
        passed_over: Vec<String>,
        preprocessing: String,
    }

    impl Arch {
        const fn architecture(self) -> Architecture {
            match self {
                Self::Nano => Architecture::Nano,
                Self::Book => Architecture::Book,
                Self::GoogLeNet => Architecture::GoogLeNet,
                Self::GoogLeNetFine => Architecture::GoogLeNetFine,
                Self::GoogLeNetTorchvision => Architecture::GoogLeNetTorchvision,
                Self::GoogLeNetCaffe => Architecture::GoogLeNetCaffe,
                Self::InceptionV3 => Architecture::InceptionV3,
            }
        }
    }

    pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
        files::check(&args.weights)?;
        destination::check(&args.output, args.labels.iter().chain([&args.weights]).map(PathBuf::as_path))?;
        let mut stderr = Plain(io::stderr());
        let out = destination::text_beside(Some(&args.output), out, &mut stderr);
        let weights = weights::read(&args.weights)?;
        let architecture = args.arch.architecture();
        let size = args.size.or(weights.size).unwrap_or(architecture.size());
        let Built { mut graph, left_out, prefix, passed_over } = architecture.build(&weights, size)?;
        let tensors = weights.tensors.len() - left_out.len() - passed_over.len();
        passes::simplify(&mut graph).with_context(|| args.weights.display().to_string())?;
        let classes = graph.shape(graph.output).channels;
        if let Some(asked) = args.classes.filter(|asked| *asked != classes) {
            return Err(file_error(&args.weights, format_args!("its classifier has {classes} classes, not {asked}")));
        }
        let labels = match &args.labels {
            Some(path) => Labels::read(path)?.classes().iter().map(Label::line).collect(),
            None => weights.labels,
        };
        if !labels.is_empty() && labels.len() != classes as usize {
            let file = args.labels.as_ref().unwrap_or(&args.weights);
            let found = labels.len();
            let message =
                format!("has {found} labels, but the network has {classes} classes; give one line for each class");
            return Err(file_error(file, message));
        }
        let preprocessing = args.preprocess.over(Some(architecture.preprocessing(size)))?;
        Preprocessor::new(preprocessing, graph.shape(graph.input), &args.weights)?;
        let name = args.weights.file_name().unwrap_or(args.weights.as_os_str()).to_string_lossy().into_owned();
        let mut others = vec![
            ("architecture".to_owned(), architecture.name().to_owned()),
            ("weights".to_owned(), name),
            ("weights-sha256".to_owned(), sha256(&args.weights)?),
        ];
        others.extend(args.licence.clone().map(|licence| ("licence".to_owned(), licence)));
        let metadata = Metadata { labels, preprocessing: Some(preprocessing), others };
        let mut model = onnx::to_onnx(&graph);
        metadata.write(&mut model);
        destination::write(&args.output, &onnx::encode(&model))?;
        let input = graph.shape(graph.input);
        let summary = Summary {
            file: args.output.display().to_string(),
            architecture: architecture.name(),
            input: [input.height, input.width, input.channels],
            classes,
            labels: metadata.labels.len(),
            macs: graph.macs(),
            tensors,
            left_out,
            prefix,
            passed_over,
            preprocessing: preprocessing.to_string(),
        };
        if args.json {
            json(out, &summary)?
        } else {
            print(out, &summary)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(out: &mut dyn Write, summary: &Summary) -> Result<()> {
        let [height, width, channels] = summary.input;
        let names = if summary.labels == 0 { "without names; --labels gives them names" } else { "with their names" };
        writeln!(out, "architecture   {}", summary.architecture)?;
        writeln!(out, "input          {height} x {width} x {channels}, {}", summary.preprocessing)?;
        writeln!(out, "classes        {}, {names}", summary.classes)?;
        writeln!(out, "MACs           {}", grouped(summary.macs))?;
        writeln!(out, "tensors        {}", summary.tensors)?;
        if !summary.left_out.is_empty() {
            let first = &summary.left_out[0];
            let count = summary.left_out.len();
            writeln!(
                out,
                "left out       {count} tensors of auxiliary classifiers, which only training uses ({first}, ...)"
            )?;
        }
        if !summary.prefix.is_empty() {
            writeln!(out, "prefix         {} was removed from the names of the tensors", summary.prefix)?;
        }
        if let Some(first) = summary.passed_over.first() {
            let count = summary.passed_over.len();
            writeln!(
                out,
                "passed over    {count} tensors without that prefix, which do not belong to the network ({first}, ...)"
            )?;
        }
        writeln!(out, "wrote          {}", summary.file)?;
        Ok(())
    }
}
