//! The answers.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tower_http::timeout::TimeoutLayer;

use super::board::{self, Health};
use super::desk::Refusal;
use super::feed::Update;
use super::{LARGEST_BODY, REQUEST_TIME, Shared, access};

/// Without an update for this long the camera counts as stopped.
const STALE: f64 = 10.0;
/// How long a snapshot waits for the next frame.
const NEXT_FRAME: Duration = Duration::from_secs(3);
/// Between the pictures of a stream; clients find it by the header that names it.
const BOUNDARY: &str = "frame";

type Served = State<Arc<Shared>>;

pub(super) fn all(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/history", get(history))
        .route("/stream.mjpg", get(stream))
        .route("/snapshot.jpg", get(snapshot))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/api/classify", post(classify))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME))
        .with_state(shared)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn failed(status: StatusCode, error: &str) -> Response {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: &'a str,
    }
    json(status, &Failed { error })
}

/// The page takes nothing from elsewhere, and no other page may show it in a frame.
async fn page() -> Response {
    let policy = "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::REFERRER_POLICY, "no-referrer")];
    (headers, Html(include_str!("page.html"))).into_response()
}

/// An update, and how the board is at that moment.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    update: &'a Update,
    board: Health,
}

async fn events(State(shared): Served) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let updates = WatchStream::new(shared.feed.updates()).filter_map(|update| {
        let told = Told { update: &*update?, board: board::health(Path::new("/sys")) };
        Some(Ok(Event::default().data(serde_json::to_string(&told).ok()?)))
    });
    Sse::new(updates).keep_alive(KeepAlive::default())
}

async fn history(State(shared): Served) -> Response {
    json(StatusCode::OK, &shared.feed.history())
}

async fn stream(State(shared): Served) -> Response {
    let (pictures, viewer) = shared.feed.pictures();
    let parts = WatchStream::from_changes(pictures).map(move |jpeg| {
        // The picture's viewer is gone when the stream is.
        let _viewer = &viewer;
        let head = format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        Ok::<_, Infallible>(Bytes::from([head.as_bytes(), &jpeg, b"\r\n"].concat()))
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response()
}

async fn snapshot(State(shared): Served) -> Response {
    let (mut pictures, _viewer) = shared.feed.pictures();
    match tokio::time::timeout(NEXT_FRAME, pictures.changed()).await {
        Ok(Ok(())) => {
            let headers = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")];
            (headers, pictures.borrow().clone()).into_response()
        }
        _ => failed(StatusCode::SERVICE_UNAVAILABLE, "the camera gives no frames"),
    }
}

async fn metrics(State(shared): Served) -> Response {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], shared.feed.metrics()).into_response()
}

async fn healthz(State(shared): Served) -> Response {
    #[derive(Serialize)]
    struct State {
        camera: &'static str,
        seconds_since_frame: Option<f64>,
    }
    let age = shared.feed.age();
    let (status, camera) = match age {
        Some(age) if age < STALE => (StatusCode::OK, "running"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "silent"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
    };
    json(status, &State { camera, seconds_since_frame: age })
}

async fn classify(State(shared): Served, picture: Bytes) -> Response {
    match shared.desk.classify(picture).await {
        Ok(classes) => json(StatusCode::OK, &classes),
        Err(Refusal::Picture(error)) => failed(StatusCode::UNPROCESSABLE_ENTITY, &error),
        Err(Refusal::Busy) => failed(StatusCode::SERVICE_UNAVAILABLE, "too many pictures at once; try again"),
        Err(Refusal::Gone) => failed(StatusCode::SERVICE_UNAVAILABLE, "this server can classify no more; restart it"),
    }
}
