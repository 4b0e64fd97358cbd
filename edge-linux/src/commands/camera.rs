//! `tinception camera`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tinception_core::model::Checksum;
use tinception_models::artefacts;

use super::classify::check_labels;
use crate::camera::colour::{ColourTags, Matrix, Range};
use crate::camera::frame::FrameFormat;
use crate::camera::sources::{Name, NameParser, SILENCE, Wanted};
use crate::camera::tuning::{Tuned, Tuning};
use crate::camera::view::{Framing, Region, Turn};
use crate::camera::{
    Change, Counts, Form, Hook, Moment, MqttCounts, Outputs, Pipeline, Seen, Settings, Snapshots, Stages, Steadiness,
    Steady, SteadyLabel, Taken, UNKNOWN,
};
use crate::engine::{self, Engine, Network, OpenOptions};
use crate::labels::Labels;
use crate::output::notice;
use crate::preprocess::PreprocessArgs;
use crate::systemd::Service;
use crate::{ranking, threads};

/// How often a silent source makes way for a look at signals and commands.
const GLANCE: Duration = Duration::from_millis(100);

/// Arguments of `camera`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Sources:\n  \
v4l2:/dev/video0    a USB camera or capture card (`tinception cameras` lists them)\n  \
pipe:-              raw frames on standard input; needs --width, --height and --format (mjpeg: --format alone)\n  \
mjpeg:http://...    the stream of a network camera\n  \
snapshot:http://... a network camera that gives one JPEG picture a request; --rate a second\n  \
rtsp://...          a network camera, where ffmpeg is installed; also rtsps://\n  \
y4m:FILE            a YUV4MPEG2 file, or - for standard input\n  \
images:DIR          the pictures of a folder, over and over again; --rate a second\n  \
video:FILE          any video, where ffmpeg is installed\n\n\
Live sources give the newest frame: those that come while the network works are dropped and counted. The others wait.\n\n\
--on-change has the shell run a command; TINCEPTION_LABEL, TINCEPTION_PREVIOUS, TINCEPTION_PROBABILITY and\n\
TINCEPTION_FRAME say what changed.\n\n\
Examples:\n  tinception camera --model googlenet.tin\n  \
rpicam-vid -n -t 0 --codec yuv420 --width 640 --height 480 --flush -o - | \\\n    \
tinception camera pipe:- --width 640 --height 480 --format yuv420 --model googlenet.tin\n  \
tinception camera mjpeg:http://camera.local:8080/?action=stream --json\n  \
tinception camera video:birds.mp4 --on-change 'echo $TINCEPTION_LABEL >> birds.txt'")]
pub(crate) struct Args {
    /// Where frames come from
    #[arg(value_name = "SOURCE", default_value = "v4l2:/dev/video0", value_parser = NameParser)]
    source: Name,
    /// Options from a file (TOML): its keys are the names of the long options, and `source`. The command line wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Network: .tin (int8), .onnx (float; with --preset), or the name of a model on board
    #[arg(long, short, value_name = "FILE", default_value = artefacts::DEFAULT)]
    model: PathBuf,
    /// What runs it; by default what its kind of file needs
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Threads that share the work on a picture (.tin); by default as many as there are processor cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Class names for an .onnx file, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What the camera is asked for, and what raw frames are.
    #[command(flatten, next_help_heading = "Frames")]
    frames: FrameArgs,
    /// What is told of the labels.
    #[command(flatten, next_help_heading = "Labels")]
    labelling: LabelArgs,
    /// The live page.
    #[cfg(feature = "serve")]
    #[command(flatten, next_help_heading = "Live page")]
    page: super::camera_page::PageArgs,
    /// Labels for an MQTT broker.
    #[cfg(feature = "mqtt")]
    #[command(flatten, next_help_heading = "MQTT")]
    mqtt: super::camera_mqtt::MqttArgs,
    /// How pictures become the input of an .onnx file
    #[command(flatten, next_help_heading = "Preprocessing of an .onnx file")]
    preprocess: PreprocessArgs,
}

/// What the camera is asked for, what raw frames are, and what is looked at.
#[derive(clap::Args, Debug)]
struct FrameArgs {
    /// Width in pixels: asked of a camera (640 if it isn't said), or that of raw frames
    #[arg(long, value_name = "N", requires = "height")]
    width: Option<u32>,
    /// Height in pixels: asked of a camera (480 if it isn't said), or that of raw frames
    #[arg(long, value_name = "N", requires = "width")]
    height: Option<u32>,
    /// Bytes from row to row of raw frames (of their luma); without padding if it isn't said
    #[arg(long, value_name = "BYTES")]
    stride: Option<usize>,
    /// How pixels lie in memory: asked of a camera (what costs least if it isn't said), or that of raw frames
    #[arg(long, value_enum)]
    format: Option<FrameFormat>,
    /// Frames a second that a camera is asked for, or pictures a second of a folder or of single requests (one if it isn't
    /// said)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// How YUV was made of RGB, whatever the source says of it
    #[arg(long, value_enum)]
    matrix: Option<Matrix>,
    /// Which values of YUV stand for black and white, whatever the source says of it
    #[arg(long, value_enum)]
    range: Option<Range>,
    /// A camera that gives no whole frame for so many seconds is opened anew
    #[arg(long, value_name = "SECONDS", default_value_t = SILENCE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    silence: u64,
    /// Look at one frame of N
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Stop after N classified frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Turn the picture, degrees clockwise
    #[arg(long, value_enum, value_name = "DEGREES", default_value = "0")]
    rotate: Turn,
    /// Then exchange left and right
    #[arg(long)]
    mirror: bool,
    /// Then look at this part only
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT")]
    roi: Option<Region>,
}

/// When the label changes, and what happens then.
#[derive(clap::Args, Debug)]
struct LabelArgs {
    /// How many classes to show of each frame, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Average the probabilities over about N frames
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    average: u16,
    /// Averaged probability that a class needs; below it the label is `unknown`. By default a quarter above chance, and at
    /// least 0.3: 0.75 for two classes, 0.5 for four, 0.3 from twenty on; 0.5 where classes are independent of each other
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f64>,
    /// Lead that another class needs to take over, and how far below the threshold a label may fall
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = probability)]
    hysteresis: f64,
    /// Print a JSON object a line for each frame, and one for the end
    #[arg(long)]
    json: bool,
    /// Run a command when the label changes
    #[arg(long, value_name = "COMMAND")]
    on_change: Option<String>,
    /// Kill that command, and what it started, after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    on_change_limit: u64,
    /// Keep a picture (PNG) of each moment when the label changes; its name has date and time (UTC)
    #[arg(long, value_name = "DIR")]
    snapshots: Option<PathBuf>,
    /// Keep no more than the newest N of these pictures; all of them if it isn't said
    #[arg(long, value_name = "N", requires = "snapshots", value_parser = clap::value_parser!(u32).range(1..))]
    snapshots_keep: Option<u32>,
}

/// A number from 0 to 1.
fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "give a number from 0 to 1".into())
}

impl Args {
    fn settings(&self, tuned: Arc<Tuned>) -> Settings {
        let FrameArgs { width, height, stride, format, rate, matrix, range, .. } = &self.frames;
        let FrameArgs { silence, every, rotate, mirror, .. } = &self.frames;
        let wanted = Wanted {
            size: width.zip(*height),
            stride: *stride,
            format: *format,
            rate: *rate,
            silence: Some(Duration::from_secs(*silence)),
            colours: ColourTags { matrix: *matrix, range: *range },
            stop: Arc::default(),
        };
        let framing = Framing { turn: *rotate, mirror: *mirror };
        Settings { source: self.source.clone(), wanted, framing, tuned, every: *every }
    }

    /// The settings that may change at run time, as they are at the start.
    const fn tuning(&self) -> Tuning {
        let LabelArgs { average, threshold, hysteresis, .. } = self.labelling;
        let steadiness = Steadiness { frames: average, threshold, hysteresis };
        Tuning { steadiness, region: self.frames.roi }
    }

    fn form(&self) -> Form {
        match self.labelling.json {
            true => Form::Json,
            false if std::io::stdout().is_terminal() => Form::Live,
            false => Form::Changes,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let threads = threads::for_file(&args.model, args.engine, args.threads)?;
    let options =
        OpenOptions { engine: args.engine, preprocess: args.preprocess.clone(), checksum: Checksum::Verify, threads };
    let network = engine::open(&args.model, &options)?;
    let tuned = Arc::new(Tuned::new(args.tuning()));
    #[cfg(feature = "serve")]
    let live = args.page.start(&args.model, options, args.labels.as_deref(), &tuned, args.config.clone())?;
    let labels = Labels::of(&*network, args.labels.as_deref())?;
    let LabelArgs { snapshots, snapshots_keep, on_change, on_change_limit, .. } = &args.labelling;
    let keep = snapshots_keep.map(|keep| keep as usize);
    let snapshots = snapshots.as_deref().map(|folder| Snapshots::new(folder, keep)).transpose()?;
    #[cfg(feature = "mqtt")]
    let mqtt = args.mqtt.start(&args.model)?;
    let stop = stopped_by_signals()?;
    // A line that is written over and over again needs control characters, which `out` escapes.
    let mut stdout = std::io::stdout();
    let out = if args.form() == Form::Live { &mut stdout } else { out };
    let mut outputs = Outputs::new(args.form(), out);
    let Some(mut pipeline) = Pipeline::start(args.settings(tuned.clone()), network.preprocessor().clone(), stop)?
    else {
        outputs.end(Counts::default(), None)?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut watcher = Watcher {
        args,
        network: &*network,
        labels: &labels,
        tuned,
        hook: on_change.clone().map(|command| Hook::new(command, Duration::from_secs(*on_change_limit))),
        snapshots,
        outputs,
        #[cfg(feature = "serve")]
        live,
        #[cfg(feature = "mqtt")]
        mqtt,
        service: Service::ready(),
    };
    let watched = watcher.watch(&pipeline, stop);
    watcher.service.stopping();
    let stopped = pipeline.stop();
    if let Some(hook) = &mut watcher.hook {
        hook.finish(stop);
    }
    #[cfg(feature = "mqtt")]
    if let Some(mqtt) = &mut watcher.mqtt {
        mqtt.finish();
    }
    let mqtt = watcher.mqtt_counts();
    let told = watcher.outputs.end(pipeline.counts(), mqtt);
    // What the source says counts more than that nothing comes any more.
    stopped.and(watched).and(told)?;
    Ok(ExitCode::SUCCESS)
}

/// Set by SIGTERM and SIGINT, until the program ends. The second of them ends it at once.
fn stopped_by_signals() -> Result<&'static AtomicBool> {
    let stop: &'static Arc<AtomicBool> = Box::leak(Box::default());
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_default(signal, Arc::clone(stop)).context("cannot wait for signals")?;
        flag::register(signal, Arc::clone(stop)).context("cannot wait for signals")?;
    }
    Ok(stop)
}

/// Classifies what comes.
struct Watcher<'a> {
    args: &'a Args,
    network: &'a dyn Network,
    labels: &'a Labels,
    tuned: Arc<Tuned>,
    hook: Option<Hook>,
    snapshots: Option<Snapshots>,
    outputs: Outputs<'a>,
    #[cfg(feature = "serve")]
    live: Option<crate::serve::Live>,
    #[cfg(feature = "mqtt")]
    mqtt: Option<crate::mqtt::Mqtt>,
    service: Service,
}

impl Watcher<'_> {
    /// Until the source ends, enough frames were classified, or a signal comes.
    fn watch(&mut self, pipeline: &Pipeline, stop: &'static AtomicBool) -> Result<()> {
        let mut steady = SteadyLabel::new(self.tuned.get().steadiness);
        let mut worker = self.network.worker();
        worker.stop_at(stop);
        let mut seen = Seen::default();
        let mut name = UNKNOWN.to_owned();
        let mut classified = 0;
        let mut last = Instant::now();
        let mut silent = false;
        while !stop.load(Ordering::Acquire) && self.args.frames.frames.is_none_or(|enough| classified < enough) {
            if let Some(hook) = &mut self.hook {
                hook.poll();
            }
            let Counts { skipped, broken, reconnects, .. } = pipeline.counts();
            self.service.alive(classified + skipped + broken + reconnects);
            match pipeline.next(&mut seen, GLANCE) {
                Taken::Item => {}
                Taken::Closed => return Ok(()),
                Taken::Nothing => {
                    if !silent && last.elapsed() > Duration::from_secs(5) {
                        silent = true;
                        notice(format_args!("{}: no frame for 5 s; waiting", self.args.source));
                        self.service.status("no frame; waiting");
                    }
                    continue;
                }
            }
            let start = Instant::now();
            #[cfg(feature = "serve")]
            let ranked = match self.live.as_ref().is_some_and(crate::serve::Live::wants_saturation) {
                true => worker.classify_watched(&seen.pixels),
                false => worker.classify(&seen.pixels).map(|scores| (scores, None)),
            };
            #[cfg(not(feature = "serve"))]
            let ranked = worker.classify(&seen.pixels);
            let ranked = match ranked {
                Err(_) if stop.load(Ordering::Acquire) => {
                    pipeline.leave();
                    break;
                }
                result => result?,
            };
            #[cfg(feature = "serve")]
            let (scores, saturation) = ranked;
            #[cfg(not(feature = "serve"))]
            let scores = ranked;
            let network_ms = milliseconds(start.elapsed());
            if classified == 0 {
                check_labels(self.labels, &scores, self.args.labels.as_deref().unwrap_or(&self.args.model))?;
            }
            classified += 1;
            steady.adjust(self.tuned.get().steadiness);
            let changed = steady.update(&scores);
            let latency_ms = milliseconds(seen.captured.elapsed());
            if changed {
                let label = steady.class().map_or_else(|| UNKNOWN.to_owned(), |class| self.labels.get(class));
                let previous = std::mem::replace(&mut name, label);
                self.changed(&seen, &previous, &name, steady.probability());
            }
            if changed || silent || classified == 1 {
                self.service.status(&name);
            }
            let present = steady.present();
            let present: Option<Vec<String>> =
                present.map(|classes| classes.into_iter().map(|class| self.labels.get(class)).collect());
            (last, silent) = (Instant::now(), false);
            let moment = Moment {
                frame: seen.number,
                latency_ms,
                stages: Stages {
                    decode_ms: milliseconds(seen.decode),
                    resize_ms: milliseconds(seen.resize),
                    network_ms,
                },
                top: ranking::best(&scores, self.labels, self.args.labelling.top),
                steady: Steady {
                    label: &name,
                    class: steady.class(),
                    probability: steady.probability(),
                    changed,
                    present: present.as_deref(),
                },
                counts: pipeline.counts(),
                mqtt: self.mqtt_counts(),
                #[cfg(feature = "serve")]
                saturation,
            };
            self.outputs.tell(&moment)?;
            #[cfg(feature = "mqtt")]
            if let Some(mqtt) = &mut self.mqtt {
                mqtt.tell(&moment);
            }
            #[cfg(feature = "serve")]
            if let Some(live) = &mut self.live {
                live.tell(&moment, &scores, self.labels, &mut seen.picture);
            }
        }
        Ok(())
    }

    fn mqtt_counts(&self) -> Option<MqttCounts> {
        #[cfg(feature = "mqtt")]
        return self.mqtt.as_ref().map(crate::mqtt::Mqtt::counts);
        #[cfg(not(feature = "mqtt"))]
        None
    }

    fn changed(&mut self, seen: &Seen, previous: &str, label: &str, probability: f64) {
        let change = Change { frame: seen.number, label: label.to_owned(), previous: previous.to_owned(), probability };
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.keep(&change, &seen.picture);
        }
        if let Some(hook) = &mut self.hook {
            hook.change(change);
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
