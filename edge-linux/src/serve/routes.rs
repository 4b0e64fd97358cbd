//! The answers.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::board::{self, Health};
use super::connections::Connection;
use super::desk::Refusal;
use super::feed::{Look, Picture, Update};
use super::settings::{LARGEST_BODY, SaveError};
use super::upload::{self, Refused};
use super::{BODY_TIME, Shared, access, headers, page};
use crate::ranking::Class;

/// Without an update for this long the camera counts as stopped.
const STALE: f64 = 10.0;
/// How long a snapshot waits for the next frame.
const NEXT_FRAME: Duration = Duration::from_secs(3);

/// Tells nginx not to keep what is sent until there is more of it.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

type Served = State<Arc<Shared>>;
type Connected = Extension<Arc<Connection>>;

pub(super) fn all(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || page::answer()))
        .route("/events", get(events))
        .route("/history", get(history))
        .route("/stream.mjpg", get(stream))
        .route("/snapshot.jpg", get(snapshot))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/api/classify", post(classify))
        .route("/api/settings", get(settings).post(change_settings))
        .route("/api/settings/save", post(save_settings))
        .layer(middleware::from_fn_with_state(shared.clone(), access::check))
        .layer(middleware::from_fn(at_work))
        .layer(middleware::from_fn(headers::add))
        .with_state(shared)
}

/// While an answer is made, its connection makes way for no other.
async fn at_work(Extension(connection): Connected, request: Request, next: middleware::Next) -> Response {
    let _work = connection.works();
    next.run(request).await
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

/// A refusal that may be none in a moment.
fn busy(error: &str) -> Response {
    let mut response = failed(StatusCode::SERVICE_UNAVAILABLE, error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// What is said last on this connection.
fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Which picture is asked for.
#[derive(Deserialize)]
struct Wanted {
    /// With the label on it.
    #[serde(default)]
    drawn: bool,
}

impl Wanted {
    const fn look(&self) -> Look {
        if self.drawn { Look::Drawn } else { Look::Bare }
    }
}

/// An update, and how the board is at that moment.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    update: &'a Update,
    board: Health,
}

async fn events(State(shared): Served, Extension(connection): Connected) -> Response {
    let Some(work) = connection.streams() else { return too_many_streams() };
    let updates = WatchStream::new(shared.feed.updates()).filter_map(move |update| {
        // The work ends with the stream.
        let _work = &work;
        let told = Told { update: &*update?, board: board::health(Path::new("/sys")) };
        Some(Ok::<_, Infallible>(Event::default().data(serde_json::to_string(&told).ok()?)))
    });
    ([UNBUFFERED], Sse::new(updates).keep_alive(KeepAlive::default())).into_response()
}

fn too_many_streams() -> Response {
    busy("too many streams of pictures and events at once; close a page and try again")
}

async fn history(State(shared): Served) -> Response {
    json(StatusCode::OK, &shared.feed.history())
}

async fn stream(State(shared): Served, Extension(connection): Connected, Query(wanted): Query<Wanted>) -> Response {
    let Some(work) = connection.streams() else { return too_many_streams() };
    let (pictures, viewer) = shared.feed.pictures(wanted.look());
    let parts = WatchStream::from_changes(pictures).map(move |picture| {
        // The picture's viewer is gone, and the work ends, when the stream does.
        let _until_then = (&viewer, &work);
        Ok::<_, Infallible>(picture.part())
    });
    let kind = format!("multipart/x-mixed-replace; boundary={}", Picture::BOUNDARY);
    ([(header::CONTENT_TYPE, kind.as_str()), UNBUFFERED], Body::from_stream(parts)).into_response()
}

async fn snapshot(State(shared): Served, Query(wanted): Query<Wanted>) -> Response {
    let (mut pictures, _viewer) = shared.feed.pictures(wanted.look());
    match tokio::time::timeout(NEXT_FRAME, pictures.changed()).await {
        Ok(Ok(())) => ([(header::CONTENT_TYPE, "image/jpeg")], pictures.borrow().jpeg()).into_response(),
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

async fn classify(State(shared): Served, request: Request) -> Response {
    match classes(&shared, request).await {
        Ok(classes) => json(StatusCode::OK, &classes),
        Err(refusal) => refusal,
    }
}

/// The best classes of a picture that is received only once there is a place for it.
async fn classes(shared: &Shared, request: Request) -> Result<Vec<Class>, Response> {
    upload::check(request.headers()).map_err(refused)?;
    let Some(place) = shared.desk.place() else {
        return Err(last(busy("too many pictures at once; try again")));
    };
    let upload = upload::receive(request).await.map_err(refused)?;
    shared.desk.classify(place, upload.picture.clone()).await.map_err(|refusal| match refusal {
        Refusal::Picture(error) => refused(upload.is_none(&error)),
        Refusal::Late => busy("classifying takes too long at the moment; try again, or send a smaller picture"),
        Refusal::Gone => failed(StatusCode::SERVICE_UNAVAILABLE, "this server can classify no more; restart it"),
    })
}

fn refused(Refused { status, message, unread }: Refused) -> Response {
    let response = failed(status, &message);
    if unread { last(response) } else { response }
}

async fn settings(State(shared): Served) -> Response {
    json(StatusCode::OK, &shared.panel.settings(shared.feed.newest().as_deref()))
}

async fn change_settings(State(shared): Served, request: Request) -> Response {
    let body = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(request.into_body(), LARGEST_BODY)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let message = format!("the body broke off, or has more than {LARGEST_BODY} bytes");
            return last(failed(StatusCode::PAYLOAD_TOO_LARGE, &message));
        }
        Err(_) => {
            let message = format!("the body did not come within {} s", BODY_TIME.as_secs());
            return last(failed(StatusCode::REQUEST_TIMEOUT, &message));
        }
    };
    let newest = shared.feed.newest();
    match shared.panel.change(&body, newest.as_deref()) {
        Ok(()) => json(StatusCode::OK, &shared.panel.settings(newest.as_deref())),
        Err(error) => failed(StatusCode::UNPROCESSABLE_ENTITY, &error),
    }
}

async fn save_settings(State(shared): Served) -> Response {
    #[derive(Serialize)]
    struct Saved {
        saved: String,
    }
    let panel = shared.panel.clone();
    // The disk may take its time, and the others' answers don't wait for it.
    match tokio::task::spawn_blocking(move || panel.save()).await {
        Ok(Ok(saved)) => json(StatusCode::OK, &Saved { saved }),
        Ok(Err(SaveError::NoFile)) => {
            let message =
                "the camera was started without a file of options; start it with --config FILE to save settings";
            failed(StatusCode::CONFLICT, message)
        }
        Ok(Err(SaveError::Failed(message))) => failed(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, "saving failed; please report how"),
    }
}
