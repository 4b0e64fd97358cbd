//! The live page: what the camera sees and what the network makes of it, over HTTP.
//!
//! ```text
//! camera loop -> Feed -> page, events (SSE), stream (MJPEG), snapshot, metrics, health
//! picture (POST) -> Desk -> scores
//! ```
//!
//! The camera loop only ever writes into the [`Feed`], which keeps the newest and never waits for a reader. The server has a
//! thread of its own; connections, bodies and times are bounded, so that no client can take the board's memory.

mod access;
mod board;
mod desk;
mod feed;
mod live;
mod metrics;
mod picture;
mod routes;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

pub(crate) use self::access::Access;
pub(crate) use self::desk::Desk;
pub(crate) use self::feed::Feed;
pub(crate) use self::live::Live;

/// Connections at once; more are closed as they come.
const CONNECTIONS: usize = 64;
/// How long a client may take for the lines of a request, and how long a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a request may take from its first line to its answer, streams aside.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Largest picture that is taken, in bytes.
const LARGEST_BODY: usize = 8 << 20;

/// What all requests share.
struct Shared {
    feed: Arc<Feed>,
    desk: Desk,
    access: Access,
}

/// Binds `address` and serves from a thread of its own until the program ends.
///
/// Returns the address that clients connect to; it has the port that the system chose where `address` has port 0.
///
/// # Errors
/// The address can't be bound.
pub(crate) fn start(address: SocketAddr, access: Access, feed: Arc<Feed>, desk: Desk) -> Result<SocketAddr> {
    let unusable = || format!("{address}: cannot be served; another program may use it, choose another --serve");
    let listener = TcpListener::bind(address).with_context(unusable)?;
    listener.set_nonblocking(true).with_context(unusable)?;
    let bound = listener.local_addr().with_context(unusable)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the server's thread")?;
    let shared = Arc::new(Shared { feed, desk, access });
    let serve = move || runtime.block_on(accept(listener, shared));
    std::thread::Builder::new().name("serve".into()).spawn(serve).context("the server's thread")?;
    Ok(bound)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let routes = routes::all(shared);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others will be closed soon.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Without a permit the stream is dropped, that is closed.
        let Ok(permit) = free.clone().try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            // A client that breaks off is no event.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}
