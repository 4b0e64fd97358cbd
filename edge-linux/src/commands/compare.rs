//! `tinception compare`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

/// Arguments of `compare`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Both networks get the same pixels. The layer with the lowest signal to quantisation noise ratio (SQNR) comes first; the \
ratio counts all errors up to and including the layer. Saturated values lie at the end of their range and may have been \
cut off. A layer `NAME/rescale` copies the output of NAME into a concatenation.\n\n\
Example:\n  tinception compare googlenet.onnx googlenet.tin --images photos/ \\\n    --plot layers.svg")]
pub(crate) struct Args {
    /// Network in float
    #[arg(value_name = "MODEL.onnx")]
    float: PathBuf,
    /// Network in int8 that was compiled from it
    #[arg(value_name = "FILE.tin")]
    model: PathBuf,
    /// Folder of pictures
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Use only N pictures, evenly spread over all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Draw the SQNR of each layer, in the order of the network
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[cfg(feature = "tract")]
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    layers::run(args, out)
}

/// Says that this program lacks what the command needs.
#[cfg(not(feature = "tract"))]
pub(crate) fn run(args: &Args, _: &mut dyn Write) -> Result<ExitCode> {
    crate::engine::require_tract(&args.float)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "tract")]
mod layers {
    use std::io;

    use anyhow::Context;
    use serde::Serialize;
    use tinception_core::model::Checksum;
    use tinception_models::compare::{Comparison, LayerComparison};

    use super::*;
    use crate::destination;
    use crate::engine::{CoreNetwork, Network, graph};
    use crate::files;
    use crate::output::{Align, BAD_INPUT, file_error, json, progress, report_error, table};
    use crate::plot::{self, Bar};
    use crate::shorten;
    use crate::terminal::Plain;

    /// What is printed.
    #[derive(Serialize)]
    struct Report {
        images: usize,
        failed: usize,
        layers: Vec<Layer>,
    }

    /// A layer. `sqnr_db` is null where both networks are exactly equal.
    #[derive(Serialize)]
    struct Layer {
        step: usize,
        name: String,
        operator: &'static str,
        sqnr_db: Option<f64>,
        saturated: f64,
    }

    pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
        let mut pictures = files::pictures(&args.images)?;
        if let Some(path) = &args.plot {
            let networks = [&args.float, &args.model];
            destination::check(path, pictures.iter().chain(networks).map(PathBuf::as_path))?;
        }
        let mut stderr = Plain(io::stderr());
        let out = destination::text_beside(args.plot.as_deref(), out, &mut stderr);
        if let Some(limit) = args.limit {
            pictures = files::spread(&pictures, limit as usize);
        }
        let network = CoreNetwork::open(&args.model, Checksum::Verify, 1)?;
        let graph = graph(&args.float)?;
        let both = || format!("{} and {}", args.float.display(), args.model.display());
        let mut comparison = Comparison::new(&graph, network.model()).with_context(both)?;
        let bar = progress(pictures.len(), "comparing", args.json);
        let mut errors = Vec::new();
        for picture in &pictures {
            match network.preprocessor().read(picture) {
                Ok(pixels) => comparison.add(&pixels).with_context(both)?,
                Err(error) => errors.push(error),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        errors.iter().for_each(report_error);
        if errors.len() == pictures.len() {
            return Err(file_error(&args.images, "none of its pictures could be read"));
        }
        let compared = comparison.finish().with_context(both)?;
        if let Some(path) = &args.plot {
            destination::write(path, drawing(&compared).as_bytes())?;
        }
        let report = report(compared, pictures.len() - errors.len(), errors.len());
        if args.json {
            json(out, &report)?;
        } else {
            print(out, &report)?;
            if let Some(path) = &args.plot {
                writeln!(out, "wrote {}", path.display())?;
            }
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { BAD_INPUT.into() })
    }

    fn drawing(compared: &[LayerComparison]) -> String {
        let bars: Vec<Bar> = compared
            .iter()
            .map(|layer| {
                let value = if layer.sqnr_db.is_finite() { layer.sqnr_db.max(0.0) } else { 0.0 };
                Bar { name: layer.name.clone(), value }
            })
            .collect();
        plot::bars("Signal to quantisation noise ratio of each layer", "dB", &bars)
    }

    fn report(mut compared: Vec<LayerComparison>, images: usize, failed: usize) -> Report {
        compared.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        let layers = compared.into_iter().map(|layer| Layer {
            step: layer.step,
            name: layer.name,
            operator: layer.operator,
            sqnr_db: layer.sqnr_db.is_finite().then_some(layer.sqnr_db),
            saturated: layer.saturated,
        });
        Report { images, failed, layers: layers.collect() }
    }

    fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
        let names = shorten::names(report.layers.iter().map(|layer| layer.name.as_str()));
        let rows: Vec<_> = report
            .layers
            .iter()
            .zip(names)
            .map(|(layer, name)| {
                let sqnr = layer.sqnr_db.map_or_else(|| "exact".into(), |db| format!("{db:.1}"));
                let saturated = format!("{:.3} %", layer.saturated * 100.0);
                [layer.step.to_string(), name, layer.operator.into(), sqnr, saturated]
            })
            .collect();
        let (left, right) = (|title| (title, Align::Left), |title| (title, Align::Right));
        table(out, [right("#"), left("layer"), left("operator"), right("SQNR dB"), right("saturated")], &rows)?;
        writeln!(out, "{} pictures", report.images)?;
        Ok(())
    }
}
