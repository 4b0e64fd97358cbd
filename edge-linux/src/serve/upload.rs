//! The picture in a request: its body, or the first file of a form in it.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use super::{BODY_TIME, LARGEST_BODY};
use crate::picture::Format;

/// What a form may have beside its picture, in bytes.
const FORM_EXTRA: usize = 64 << 10;
/// Parts of a form that are looked at.
const MOST_PARTS: usize = 16;
/// A compressed picture of so many bytes without a single line end in it is none: by chance, one in ten million is.
const SURELY_HAS_LINE_ENDS: usize = 2048;
/// How a picture is sent.
const HOW: &str =
    "send a picture's bytes (curl --data-binary @photo.jpg), or a form with a file (curl -F image=@photo.jpg)";

/// An encoded picture, and how it came.
pub(super) struct Upload {
    pub(super) picture: Bytes,
    kind: Kind,
}

/// What a request says its body is.
enum Kind {
    /// A picture, or nothing is said.
    Picture,
    /// A form with files in it; with the line between its parts.
    Form { boundary: String },
    /// A form without files. `curl --data-binary` says so, too, whatever it sends.
    Urlencoded,
    /// Another type, which is not taken.
    Other(String),
}

/// Why a request has no picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Whether some of the body was not read, so that the connection can't be used any more.
    pub(super) unread: bool,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), unread: false }
    }

    fn unread(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), unread: true }
    }

    fn too_large() -> Self {
        let most = LARGEST_BODY >> 20;
        Self::unread(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("more than {most} MiB are too much; send a smaller picture"),
        )
    }
}

/// Refuses what is sure to be refused before any of it is read.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > (LARGEST_BODY + FORM_EXTRA) as u64) {
        return Err(Refused::too_large());
    }
    match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => {
            let message = "a body with a Content-Encoding is not taken; send the picture's own bytes";
            Err(Refused::unread(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    }
}

/// Receives the picture of a request.
///
/// # Errors
/// It is too large, takes too long, is empty or breaks off, or a form has no file.
pub(super) async fn receive(request: Request) -> Result<Upload, Refused> {
    let kind = Kind::of(request.headers())?;
    let most = LARGEST_BODY + if matches!(kind, Kind::Form { .. }) { FORM_EXTRA } else { 0 };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let received = timeout(BODY_TIME, whole(request.into_body(), length.unwrap_or(0), most)).await;
    let body = received.unwrap_or_else(|_| {
        let message = format!("the body did not come within {} s", BODY_TIME.as_secs());
        Err(Refused::unread(StatusCode::REQUEST_TIMEOUT, message))
    })?;
    let picture = match &kind {
        Kind::Form { boundary } => file(body, boundary).await?,
        _ => body,
    };
    if picture.is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, format!("there is no picture in this request: {HOW}")));
    }
    if picture.len() > LARGEST_BODY {
        return Err(Refused::too_large());
    }
    let lacks_line_ends = picture.len() > SURELY_HAS_LINE_ENDS && !picture.iter().any(|byte| b"\r\n".contains(byte));
    let upload = Upload { picture, kind };
    match upload.kind {
        Kind::Urlencoded if lacks_line_ends => Err(upload.is_none("the picture has lost its line ends")),
        _ => Ok(upload),
    }
}

/// A body of at most so many bytes.
async fn whole(body: Body, length: usize, most: usize) -> Result<Bytes, Refused> {
    // Room for what is announced: growing would copy, and need twice as much for a while.
    let mut bytes = Vec::with_capacity(length.min(most));
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let broken = |_| Refused::unread(StatusCode::BAD_REQUEST, "the body broke off, or its chunks are damaged");
        let part = part.map_err(broken)?;
        if bytes.len() + part.len() > most {
            return Err(Refused::too_large());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.into())
}

/// The first file of a form that has something in it.
async fn file(form: Bytes, boundary: &str) -> Result<Bytes, Refused> {
    let damaged = |error: multer::Error| {
        Refused::new(StatusCode::BAD_REQUEST, format!("the form is cut off or damaged ({error}); {HOW}"))
    };
    let mut parts = multer::Multipart::new(tokio_stream::once(Ok::<_, Infallible>(form)), boundary);
    for _ in 0..MOST_PARTS {
        let Some(part) = parts.next_field().await.map_err(damaged)? else { break };
        let is_file = part.file_name().is_some();
        let bytes = part.bytes().await.map_err(damaged)?;
        // Some clients send a picture as if it were a text field.
        if !bytes.is_empty() && (is_file || Format::of(&bytes).is_some() || str::from_utf8(&bytes).is_err()) {
            return Ok(bytes);
        }
    }
    Err(Refused::new(StatusCode::BAD_REQUEST, format!("the form has no file, or an empty one: {HOW}")))
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Picture) };
        let text = kind.to_str().unwrap_or("an unreadable type");
        let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Ok(match name.as_str() {
            "multipart/form-data" => {
                let boundary = multer::parse_boundary(text).map_err(|_| {
                    let message = format!("the form's Content-Type has no boundary; {HOW}");
                    Refused::unread(StatusCode::BAD_REQUEST, message)
                })?;
                Self::Form { boundary }
            }
            "application/x-www-form-urlencoded" => Self::Urlencoded,
            "application/octet-stream" | "" => Self::Picture,
            _ if name.starts_with("image/") => Self::Picture,
            _ => Self::Other(name.chars().take(100).collect()),
        })
    }
}

impl Upload {
    /// What to say where it is no picture, for the reason that `error` tells.
    pub(super) fn is_none(&self, error: &str) -> Refused {
        match &self.kind {
            Kind::Picture | Kind::Form { .. } => Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error),
            Kind::Urlencoded => {
                let hint = "curl -d sends a file as a form and leaves out its line ends: use --data-binary instead";
                Refused::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}; {hint}"))
            }
            Kind::Other(name) => {
                let message = format!("{name} is not what is wanted here ({error}); {HOW}");
                Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    async fn received(kind: &str, body: impl Into<Body>) -> Result<Vec<u8>, Refused> {
        let request = axum::http::Request::post("/").header(header::CONTENT_TYPE, kind).body(body.into()).unwrap();
        receive(request).await.map(|upload| upload.picture.to_vec())
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// Parts with these lines and bytes.
    fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut form = Vec::new();
        for (lines, bytes) in parts {
            form.extend_from_slice(format!("--line\r\nContent-Disposition: form-data; {lines}\r\n\r\n").as_bytes());
            form.extend_from_slice(bytes);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--line--\r\n");
        form
    }

    #[test]
    fn the_first_file_of_a_form_is_taken() {
        for parts in [
            &[("name=image; filename=a.png", PNG)][..],
            &[("name=\"file[]\"; filename=\"a \\\"b\\\" é.png\"\r\nContent-Type: image/png", PNG)],
            &[("name=x; filename*=UTF-8''a%20b.png", PNG), ("name=y; filename=b.png", b"another")],
            &[("name=text", b"words"), ("name=empty; filename=\"\"", b""), ("name=f; filename=f", PNG)],
            &[("name=image", PNG)],
            &[("name=\"\"; filename=a\r\nContent-Type: application/octet-stream\r\nX-Other: 1", PNG)],
        ] {
            for kind in ["multipart/form-data; boundary=line", "Multipart/Form-Data; charset=utf-8; boundary=\"line\""]
            {
                assert_eq!(run(received(kind, form(parts))).as_deref(), Ok(PNG), "{kind} {:?}", parts[0].0);
            }
        }
    }

    #[test]
    fn forms_without_a_file_are_refused() {
        let many: Vec<(&str, &[u8])> = vec![("name=x", b"words"); 100_000];
        let whole = form(&[("name=image; filename=a.png", PNG)]);
        for (kind, body, word) in [
            ("multipart/form-data; boundary=line", form(&[]), "no file"),
            ("multipart/form-data; boundary=line", form(&[("name=x", b"words")]), "no file"),
            ("multipart/form-data; boundary=line", form(&[("name=x; filename=a", b"")]), "empty"),
            ("multipart/form-data; boundary=line", form(&many), "no file"),
            ("multipart/form-data; boundary=line", whole[..whole.len() - 12].to_vec(), "cut off"),
            ("multipart/form-data; boundary=line", whole[..20].to_vec(), "cut off"),
            ("multipart/form-data; boundary=other", whole.clone(), "cut off"),
            ("multipart/form-data; boundary=line", Vec::new(), "cut off"),
            ("multipart/form-data", whole, "boundary"),
        ] {
            let refused = run(received(kind, body)).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{kind}: {refused:?}");
            assert!(refused.message.contains(word) && refused.message.contains("curl -F"), "{word}: {refused:?}");
        }
    }

    #[test]
    fn bytes_of_any_kind_are_taken_and_the_kind_is_what_errors_speak_of() {
        for kind in ["image/jpeg", "image/x-anything", "application/octet-stream", "application/x-www-form-urlencoded"]
        {
            assert_eq!(run(received(kind, PNG)).as_deref(), Ok(PNG), "{kind}");
            assert_eq!(run(received(kind, "")).unwrap_err().status, StatusCode::BAD_REQUEST, "{kind}");
        }
        let error = |kind: &str| {
            let request = axum::http::Request::post("/").header(header::CONTENT_TYPE, kind).body("{}".into()).unwrap();
            run(receive(request)).unwrap().is_none("no picture")
        };
        assert_eq!(error("image/png"), Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "no picture"));
        assert!(error("application/x-www-form-urlencoded").message.contains("--data-binary"));
        let json = error("application/json; charset=utf-8");
        assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(json.message.contains("application/json") && json.message.contains("curl -F"), "{}", json.message);
    }

    #[test]
    fn a_picture_without_line_ends_was_damaged_by_its_sender() {
        let bytes: Vec<u8> = (0..4096_u32).map(|number| (number * 7) as u8).collect();
        let stripped: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        let kind = "application/x-www-form-urlencoded";
        assert!(run(received(kind, bytes)).is_ok());
        let refused = run(received(kind, stripped.clone())).unwrap_err();
        assert!(refused.message.contains("--data-binary"), "{}", refused.message);
        assert!(run(received("image/jpeg", stripped)).is_ok());
    }

    #[test]
    fn sizes_have_a_limit() {
        let form_of = |size| form(&[("name=a; filename=a", &vec![b'a'; size][..])]);
        let kind = "multipart/form-data; boundary=line";
        assert!(run(received("image/png", vec![0; LARGEST_BODY])).is_ok());
        assert!(run(received(kind, form_of(LARGEST_BODY))).is_ok());
        let too_large = StatusCode::PAYLOAD_TOO_LARGE;
        assert_eq!(run(received("image/png", vec![0; LARGEST_BODY + 1])).unwrap_err().status, too_large);
        assert_eq!(run(received(kind, form_of(LARGEST_BODY + 1))).unwrap_err().status, too_large);
        assert_eq!(run(received(kind, form_of(LARGEST_BODY + FORM_EXTRA))).unwrap_err().status, too_large);
        let mut headers = HeaderMap::new();
        for (length, fine) in [("0", true), ("8388608", true), ("9000000", false), ("18446744073709551615", false)] {
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
            assert_eq!(check(&headers).is_ok(), fine, "{length}");
        }
        headers.insert(header::CONTENT_LENGTH, "5".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(check(&headers).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
