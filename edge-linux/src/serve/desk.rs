//! Where pictures that are posted get classified: one thread, one network of its own, a few places.
//!
//! Who has a place may send a picture, and keeps the place until the thread is done with it, whether or not somebody still waits
//! for the answer. So no more pictures are in memory than there are places, encoded, and one of them decoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::engine::{Network, Worker};
use crate::labels::Labels;
use crate::picture::Budget;
use crate::ranking::{self, Class};

/// Pictures that are received, wait or are looked at; more are refused.
pub(super) const PLACES: usize = 5;
/// How long a client waits for the thread once its picture is there.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Classes in an answer.
const TOP: u16 = 5;

/// The right to have a picture classified.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

struct Request {
    picture: Bytes,
    answer: oneshot::Sender<Result<Vec<Class>>>,
    _place: Place,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The picture can't be decoded; the text says why.
    Picture(String),
    /// The thread has too much to do, or this picture takes too long.
    Late,
    /// The thread is gone.
    Gone,
}

/// Takes pictures and gives the best classes.
#[derive(Clone)]
pub(crate) struct Desk {
    requests: Sender<Request>,
    places: Arc<Semaphore>,
}

impl Desk {
    /// Starts the thread; it opens the network. Its classes are named by `labels`, or as the network names them.
    ///
    /// # Errors
    /// What `open` says, or no thread can be started.
    pub(crate) fn start(
        labels: Option<Labels>,
        open: impl FnOnce() -> Result<Box<dyn Network>> + Send + 'static,
    ) -> Result<Self> {
        let (requests, queue) = channel();
        let (opened, outcome) = sync_channel(1);
        let work = move || match open() {
            Ok(network) => {
                let _ = opened.send(Ok(()));
                let labels = labels.map(|labels| labels.fitting(&*network));
                let labels = labels.unwrap_or_else(|| Labels::new(network.labels()));
                answer(&*network, &labels, &queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        std::thread::Builder::new().name("desk".into()).spawn(work).context("a thread for posted pictures")?;
        outcome.recv().context("a thread for posted pictures")??;
        Ok(Self { requests, places: Arc::new(Semaphore::new(PLACES)) })
    }

    /// A place, if one is free.
    pub(super) fn place(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }

    /// The best classes of an encoded picture.
    pub(super) async fn classify(&self, place: Place, picture: Bytes) -> Result<Vec<Class>, Refusal> {
        let (answer, answered) = oneshot::channel();
        // Whoever has a place finds room: the channel has no limit but the places.
        self.requests.send(Request { picture, answer, _place: place }).map_err(|_| Refusal::Gone)?;
        match tokio::time::timeout(ANSWER_TIME, answered).await {
            Ok(Ok(Ok(classes))) => Ok(classes),
            Ok(Ok(Err(error))) => Err(Refusal::Picture(format!("{error:#}"))),
            Ok(Err(_)) => Err(Refusal::Gone),
            Err(_) => Err(Refusal::Late),
        }
    }
}

fn answer(network: &dyn Network, labels: &Labels, queue: &Receiver<Request>) {
    let mut worker = network.worker();
    while let Ok(Request { picture, answer, _place }) = queue.recv() {
        // Nobody waits any longer: the client is gone, or its time is over.
        if answer.is_closed() {
            continue;
        }
        // A decoder that panics has met a picture that its authors have not; the next picture is another one.
        let classes = catch_unwind(AssertUnwindSafe(|| classify(network, &mut *worker, labels, &picture)));
        let _ = answer.send(classes.unwrap_or_else(|_| {
            worker = network.worker();
            bail!("the decoder failed; convert the picture, and report what it is like")
        }));
    }
}

fn classify(network: &dyn Network, worker: &mut dyn Worker, labels: &Labels, picture: &[u8]) -> Result<Vec<Class>> {
    let pixels = network.preprocessor().parse(picture, Path::new("picture"), &Budget::FRAME)?;
    Ok(ranking::best(&worker.classify(&pixels)?, labels, TOP))
}
