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
use tinception_models::compile::Label;

use super::classify::check_labels;
use crate::camera::colour::{ColourTags, Matrix, Range};
use crate::camera::frame::FrameFormat;
use crate::camera::sources::{Name, NameParser, SILENCE, Wanted};
use crate::camera::tuning::{Tuned, Tuning};
use crate::camera::view::{Framing, Region, Turn};
use crate::camera::{
    Change, Counts, Form, Hook, Moment, MqttCounts, Outputs, Pipeline, Present, Seen, Settings, Snapshots, Stages,
    Steadiness, Steady, SteadyLabel, Taken, UNKNOWN,
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
v4l2:/dev/video0    a USB camera or capture card; see `tinception cameras`\n  \
pipe:-              frames on standard input; give --width, --height, --format\n  \
mjpeg:http://...    the stream of a network camera\n  \
snapshot:http://... a network camera that sends one JPEG picture a request\n  \
rtsp://...          a network camera, also rtsps://; needs ffmpeg\n  \
y4m:FILE            a YUV4MPEG2 file, or - for standard input\n  \
images:DIR          the pictures of a folder, over and over again\n  \
video:FILE          any video; needs ffmpeg\n\n\
A pipe with --format mjpeg needs no size. --rate says how many pictures a second snapshot: and images: give.\n\n\
A live source always gives its newest frame: frames that come while the network is busy are dropped and counted. Files wait for the network instead.\n\n\
The shell runs the command of --on-change with the variables TINCEPTION_LABEL, TINCEPTION_ID, TINCEPTION_PREVIOUS, \
TINCEPTION_PROBABILITY and TINCEPTION_FRAME, which describe the change.\n\n\
Examples:\n  tinception camera --model googlenet.tin\n  \
rpicam-vid -n -t 0 --codec yuv420 --width 640 --height 480 --flush -o - | \\\n    \
tinception camera pipe:- --width 640 --height 480 --format yuv420\n  \
tinception camera mjpeg:http://camera.local:8080/?action=stream --json\n  \
tinception camera video:birds.mp4 \\\n    --on-change 'echo $TINCEPTION_LABEL >> birds.txt'")]
pub(crate) struct Args {
    /// Where the frames come from
    #[arg(value_name = "SOURCE", default_value = "v4l2:/dev/video0", value_parser = NameParser)]
    source: Name,
    /// TOML file with options. Its keys are the names of the long options, and `source`. Options on the command line take
    /// precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Network to use: a .tin file (int8), an .onnx file (float, together with --preset), or the name of a model on board
    #[arg(long, short, value_name = "FILE", default_value = artefacts::DEFAULT)]
    model: PathBuf,
    /// Engine that runs the network; by default the one for its kind of file
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Number of threads that share the work on a picture (.tin only); by default one for each processor core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Text file with the class names for an .onnx file, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What the camera is asked for, and what raw frames are.
    #[command(flatten, next_help_heading = "Frames")]
    frames: FrameArgs,
    /// When the label changes, and what happens then.
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
    /// Width in pixels that a camera is asked for (640 by default), or that raw frames have
    #[arg(long, value_name = "N", requires = "height")]
    width: Option<u32>,
    /// Height in pixels that a camera is asked for (480 by default), or that raw frames have
    #[arg(long, value_name = "N", requires = "width")]
    height: Option<u32>,
    /// Bytes from one row of raw frames (of their luma) to the next; by default rows have no padding
    #[arg(long, value_name = "BYTES")]
    stride: Option<usize>,
    /// Pixel format that a camera is asked for (by default the one that costs least), or that raw frames have
    #[arg(long, value_enum)]
    format: Option<FrameFormat>,
    /// Frames a second that a camera is asked for, or pictures a second that are taken from a folder or requested one by one (1
    /// by default)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// How YUV was computed from RGB, whatever the source itself says
    #[arg(long, value_enum)]
    matrix: Option<Matrix>,
    /// Which values of YUV stand for black and white, whatever the source itself says
    #[arg(long, value_enum)]
    range: Option<Range>,
    /// Reopen a camera that has given no whole frame for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = SILENCE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    silence: u64,
    /// Classify only one of N frames
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Stop after N classified frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Turn the picture clockwise by this many degrees
    #[arg(long, value_enum, value_name = "DEGREES", default_value = "0")]
    rotate: Turn,
    /// Mirror the turned picture: exchange left and right
    #[arg(long)]
    mirror: bool,
    /// Classify only this part of the turned and mirrored picture
    #[arg(long, value_name = "X,Y,WIDTH,HEIGHT")]
    roi: Option<Region>,
}

/// When the label changes, and what happens then.
#[derive(clap::Args, Debug)]
struct LabelArgs {
    /// How many classes to show of each frame, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Average the probabilities over the last N frames or so
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    average: u16,
    /// Averaged probability that a class needs; if none has it, the label is `unknown`. By default a quarter above chance, but
    /// at least 0.3: 0.75 for two classes, 0.5 for four, 0.3 from twenty on; 0.5 if the classes are independent of each other
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f64>,
    /// Lead that another class needs to become the label, and how far the probability of a label may fall below the threshold
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = probability)]
    hysteresis: f64,
    /// Print a JSON object for each frame and one at the end, each on a line of its own
    #[arg(long)]
    json: bool,
    /// Command that the shell runs when the label changes
    #[arg(long, value_name = "COMMAND")]
    on_change: Option<String>,
    /// Kill that command and all that it started after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    on_change_limit: u64,
    /// Folder for a PNG picture of each frame at which the label changes; date and time (UTC) are part of its name
    #[arg(long, value_name = "DIR")]
    snapshots: Option<PathBuf>,
    /// Keep only the newest N of these pictures; by default all of them are kept
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
        let mut label = Label::named(UNKNOWN);
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
                let new = steady.class().map_or_else(|| Label::named(UNKNOWN), |class| self.labels.get(class));
                let previous = std::mem::replace(&mut label, new);
                self.changed(&seen, previous, &label, steady.probability());
            }
            if changed || silent || classified == 1 {
                self.service.status(&label.name);
            }
            let present = steady.present();
            let present =
                Present::new(present.map(|classes| classes.into_iter().map(|class| self.labels.get(class)).collect()));
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
                    label: &label.name,
                    id: label.id.as_deref(),
                    short: label.short(),
                    class: steady.class(),
                    probability: steady.probability(),
                    changed,
                    present: &present,
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

    fn changed(&mut self, seen: &Seen, previous: Label, label: &Label, probability: f64) {
        let Label { id, name } = label.clone();
        let change = Change { frame: seen.number, label: name, id, previous: previous.name, probability };
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
