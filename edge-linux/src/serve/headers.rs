//! Headers that every answer has, whoever makes it.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// No browser guesses another kind of content, shows it on another page, keeps it, or tells an address with its token.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Gives the answer of all that lies behind it those headers.
pub(super) async fn add(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The lines, each with its end.
fn lines() -> String {
    HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// The answer to a connection that there is no room for, which is closed with it.
pub(super) fn no_room() -> String {
    let text = "too many connections at once; try again\n";
    let length = text.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-type: text/plain; \
         charset=utf-8\r\n{}content-length: {length}\r\n\r\n{text}",
        lines()
    )
}

/// What hyper is about to write, with those headers in it, if it ends with a refusal of hyper's own.
///
/// What can't be read as a request is refused by hyper, which asks nobody here and has no option for headers. Such a
/// refusal is a head alone, the last thing on its connection; all other answers have these headers already.
pub(super) fn in_refusal(bytes: &[u8]) -> Option<Vec<u8>> {
    const START: &[u8] = b"HTTP/1.1 4";
    bytes.strip_suffix(b"\r\n\r\n")?;
    let start = bytes.windows(START.len()).rposition(|window| window == START)?;
    let head = std::str::from_utf8(&bytes[start..bytes.len() - 2]).ok()?;
    let is_own = head.contains("\r\ncontent-length: 0\r\n")
        && !head.contains("\r\n\r\n")
        && !head.contains(header::X_CONTENT_TYPE_OPTIONS.as_str());
    is_own.then(|| [&bytes[..bytes.len() - 2], lines().as_bytes(), b"\r\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_hyper_get_the_headers() {
        let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: today\r\n";
        let before = "HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncontent-length: 2\r\n\r\n{}";
        for before in ["", before] {
            let with = in_refusal(format!("{before}{head}\r\n").as_bytes()).unwrap();
            assert_eq!(String::from_utf8(with).unwrap(), format!("{before}{head}{}\r\n", lines()));
        }
        let own = format!("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n{}\r\n", lines());
        for other in
            [before, &own, &head[..40], "", "\r\n\r\n", "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad"]
        {
            assert_eq!(in_refusal(other.as_bytes()), None, "{other}");
        }
    }
}
