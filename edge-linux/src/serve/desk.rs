//! Where pictures that are posted get classified: one thread, one network of its own, a short queue.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use anyhow::{Context, Result};
use axum::body::Bytes;
use tokio::sync::oneshot;

use crate::engine::Network;
use crate::labels::Labels;
use crate::picture::Budget;
use crate::ranking::{self, Class};

/// Pictures that wait; more are refused.
const QUEUE: usize = 4;
/// Classes in an answer.
const TOP: u16 = 5;

struct Request {
    picture: Bytes,
    answer: oneshot::Sender<Result<Vec<Class>>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Too many are waiting.
    Busy,
    /// The picture can't be decoded; the text says why.
    Picture(String),
    /// The thread is gone.
    Gone,
}

/// Takes pictures and gives the best classes.
#[derive(Clone)]
pub(crate) struct Desk {
    requests: SyncSender<Request>,
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
        let (requests, queue) = sync_channel(QUEUE);
        let (opened, outcome) = sync_channel(1);
        let work = move || match open() {
            Ok(network) => {
                let _ = opened.send(Ok(()));
                let labels = labels.unwrap_or_else(|| Labels::new(network.labels().into_iter()));
                answer(&*network, &labels, &queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        std::thread::Builder::new().name("desk".into()).spawn(work).context("a thread for posted pictures")?;
        outcome.recv().context("a thread for posted pictures")??;
        Ok(Self { requests })
    }

    /// The best classes of an encoded picture.
    pub(super) async fn classify(&self, picture: Bytes) -> Result<Vec<Class>, Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.requests.try_send(Request { picture, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Refusal::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(Refusal::Gone),
        }
        match answered.await {
            Ok(Ok(classes)) => Ok(classes),
            Ok(Err(error)) => Err(Refusal::Picture(format!("{error:#}"))),
            Err(_) => Err(Refusal::Gone),
        }
    }
}

fn answer(network: &dyn Network, labels: &Labels, queue: &Receiver<Request>) {
    let mut worker = network.worker();
    while let Ok(Request { picture, answer }) = queue.recv() {
        // Nobody waits any longer: the client is gone, or its time is over.
        if answer.is_closed() {
            continue;
        }
        let pixels = network.preprocessor().parse(&picture, Path::new("picture"), &Budget::FRAME);
        let scores = pixels.and_then(|pixels| worker.classify(&pixels));
        let _ = answer.send(scores.map(|scores| ranking::best(&scores, labels, TOP)));
    }
}
