//! The live page: what the camera sees and what the network makes of it, over HTTP.
//!
//! ```text
//! camera loop -> Feed -> page, events (SSE), stream (MJPEG), snapshot, metrics, health
//! picture (POST) -> Desk -> scores
//! settings (POST) -> Panel -> Tuned -> camera's threads; on request the file of options
//! ```
//!
//! The camera loop only ever writes into the [`Feed`], which keeps the newest and never waits for a reader. The server has a
//! thread of its own; connections, bodies and times are bounded, so that no client can take the board's memory, nor
//! keep others out.

mod access;
mod board;
mod connections;
mod desk;
mod feed;
mod headers;
mod leaders;
mod live;
mod metrics;
mod origin;
mod pace;
mod page;
mod picture;
mod routes;
mod settings;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub(crate) use self::access::Access;
use self::connections::{Connection, Connections, Limits};
pub(crate) use self::desk::Desk;
pub(crate) use self::feed::Feed;
pub(crate) use self::live::Live;
pub(crate) use self::origin::HostName;
pub(crate) use self::settings::Panel;
use self::wire::Wire;

/// How long a client may take for the lines of a request, and how long a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a client may take for a picture that it sends.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Largest picture that is taken, in bytes.
const LARGEST_BODY: usize = 8 << 20;
/// Most bytes of a request's head, and of answers that wait for their client, but for a picture.
const BUFFER: usize = 32 << 10;
/// Most bytes that the kernel keeps for a client: a few pictures. By default it keeps megabytes, which an idle client takes from
/// a board's memory, and which hide for minutes that nobody reads events.
const KERNEL_BUFFER: u32 = 128 << 10;

/// What all requests share.
struct Shared {
    feed: Arc<Feed>,
    desk: Desk,
    access: Access,
    panel: Panel,
}

/// Binds `address` and serves from a thread of its own until the program ends.
///
/// Returns the address that clients connect to; it has the port that the system chose where `address` has port 0.
///
/// # Errors
/// The address can't be bound.
pub(crate) fn start(
    address: SocketAddr,
    access: Access,
    feed: Arc<Feed>,
    desk: Desk,
    panel: Panel,
) -> Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the server's thread")?;
    let listener = {
        let _within = runtime.enter();
        let unusable = || format!("{address}: cannot be served; another program may use it, choose another --serve");
        listen(address).with_context(unusable)?
    };
    let bound = listener.local_addr().context("the server's address")?;
    let shared = Arc::new(Shared { feed, desk, access, panel });
    let serve = move || runtime.block_on(accept(listener, shared));
    std::thread::Builder::new().name("serve".into()).spawn(serve).context("the server's thread")?;
    Ok(bound)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts anew finds its port, though connections of the one before may not have ended.
    socket.set_reuseaddr(true)?;
    // Accepted connections have it, too.
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(address)?;
    socket.listen(128)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let routes = TowerToHyperService::new(routes::all(shared));
    let connections = Connections::new(Limits::for_descriptors(getrlimit(Resource::Nofile).current));
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            // Out of descriptors, most likely: others will be closed soon.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        match connections.admit(client.ip()) {
            Some(connection) => {
                let connection = Arc::new(connection);
                let task = tokio::spawn(serve(stream, connection.clone(), routes.clone()));
                connection.served_by(task.abort_handle());
            }
            // It is closed in any case; a client that doesn't take these few bytes at once misses them.
            None => drop(stream.try_write(headers::no_room().as_bytes())),
        }
    }
}

/// Answers the requests of one connection.
async fn serve(stream: TcpStream, connection: Arc<Connection>, routes: TowerToHyperService<Router>) {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        routes.call(request)
    });
    // A client that breaks off is no event.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Wire::new(stream)), service)
        .await;
}
