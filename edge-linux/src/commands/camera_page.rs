//! The live page of `tinception camera`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::camera::tuning::Tuned;
use crate::engine::{self, OpenOptions};
use crate::labels::Labels;
use crate::output::notice;
use crate::serve::{self, Access, Desk, Feed, HostName, Live, Panel};

/// Where the page is, and who sees it.
#[derive(clap::Args, Debug)]
pub(crate) struct PageArgs {
    /// Serve a live page with picture, labels and times. For programs there are /events, /metrics, /healthz, /snapshot.jpg,
    /// /stream.mjpg, /api/classify and /api/settings
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080")]
    serve: Option<SocketAddr>,
    /// Token that clients must give, in the page's address (?token=...) or as a bearer token. By default a new one is drawn at
    /// each start if ADDRESS is open to other machines
    #[arg(long, value_name = "TEXT", env = "TINCEPTION_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Further name under which the page may be asked for. Without a token it may be asked for only from this machine, by the
    /// address's number or as localhost. The option can be given several times
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<HostName>,
}

impl PageArgs {
    /// Serves the page, if it is asked for. Pictures that are posted to it are classified by a network of its own. The
    /// settings in `tuned` can be changed there, and saved to `config`.
    pub(crate) fn start(
        &self,
        model: &Path,
        options: OpenOptions,
        labels: Option<&Path>,
        tuned: &Arc<Tuned>,
        config: Option<PathBuf>,
    ) -> Result<Option<Live>> {
        let Some(address) = self.serve else { return Ok(None) };
        let access = Access::new(address, self.token.clone(), self.allow_host.clone())?;
        let labels = labels.map(Labels::read).transpose()?;
        let model = model.to_owned();
        // One thread: the camera's frames go first.
        let options = OpenOptions { threads: 1, ..options };
        let desk = Desk::start(labels, move || engine::open(&model, &options))?;
        let feed = Arc::new(Feed::new());
        let panel = Panel::new(tuned.clone(), config);
        let bound = serve::start(address, access.clone(), feed.clone(), desk, panel)?;
        notice(format_args!("live page: {}", access.url(bound)));
        Live::start(feed, tuned.clone()).map(Some)
    }
}
