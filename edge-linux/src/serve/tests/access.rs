//! Who is served, and what everybody gets.

use super::*;

#[test]
fn nothing_is_served_without_the_token() {
    let served = serve(Some(TOKEN));
    let encoded = TOKEN.replace(' ', "%20");
    for path in ["/", "/events", "/history", "/stream.mjpg", "/snapshot.jpg", "/metrics", "/healthz", "/nothing"] {
        for (query, headers) in [("", ""), ("?token=wrong", ""), ("", "Authorization: Bearer wrong\r\n")] {
            let (status, body) = served.ask("GET", &format!("{path}{query}"), headers, b"");
            assert_eq!(status, 401, "{path}{query}");
            assert_eq!(body, b"the token is missing or wrong\n");
        }
    }
    assert_eq!(served.ask("POST", "/api/classify", "", artefacts::PHOTOS[0].bytes).0, 401);
    assert_eq!(served.get(&format!("/?token={encoded}")).0, 200);
    assert_eq!(served.ask("GET", "/history", &format!("Authorization: Bearer {TOKEN}\r\n"), b"").0, 200);
    // Who knows it may come through a proxy, by any name, and from any page.
    let other = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: example.org\r\nOrigin: https://example.org\r\n";
    assert_eq!(served.ask("GET", &format!("/history?token={encoded}"), other, b"").0, 200);
    let path = format!("/api/classify?token={encoded}");
    assert_eq!(served.ask("POST", &path, other, artefacts::PHOTOS[0].bytes).0, 200);
}

#[test]
fn the_token_is_told_to_nobody() {
    let served = serve(Some(TOKEN));
    served.feed.publish(update("cat"));
    let encoded = TOKEN.replace(' ', "%20");
    for path in ["/", "/history", "/metrics", "/healthz", "/nothing", "/api/classify"] {
        let answer = served
            .raw(format!("GET {path}?token={encoded} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(!answer.contains(TOKEN) && !answer.contains(&encoded), "{path}: {answer}");
    }
}

#[test]
fn names_of_others_are_refused() {
    let served = serve_as(None, &["camera.example.org"]);
    let status = |host: &str| {
        let answer = served.raw(format!("GET /history HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes());
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for host in ["localhost", "127.0.0.1:1", "[::1]", "camera.example.org", "CAMERA.example.org:8080"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), "200", "{host}");
    }
    for host in ["example.org", "camera.example.org.evil.org", "", "localhost\r\nHost: example.org"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), "403", "{host}");
    }
    assert_eq!(status(""), "403");
}

/// A proxy on this machine asks from this machine, for somebody else.
#[test]
fn forwarded_requests_are_not_from_this_machine() {
    let served = serve_as(None, &["camera.example.org"]);
    served.feed.publish(update("cat"));
    for header in [
        "X-Forwarded-For: 203.0.113.7",
        "x-forwarded-for: 127.0.0.1",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Prefix: /cam",
        "Forwarded: for=203.0.113.7;proto=https",
        "X-Real-IP: 203.0.113.7",
        "Via: 1.1 proxy",
        "CF-Connecting-IP: 203.0.113.7",
        "True-Client-IP: 203.0.113.7",
        "X-Forwarded-For:",
    ] {
        for path in ["/", "/healthz", "/snapshot.jpg", "/stream.mjpg", "/events", "/nothing"] {
            let (status, body) = served.ask("GET", path, &format!("{header}\r\n"), b"");
            let body = String::from_utf8(body).unwrap();
            assert!(status == 401 && body.contains("--token") && body.lines().count() == 1, "{header} {path}: {body}");
        }
        assert_eq!(served.ask("POST", "/api/classify", &format!("{header}\r\n"), b"picture").0, 401);
        for host in ["camera.example.org", "example.org"] {
            let answer = served
                .raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 401"), "{header} {host}: {answer}");
        }
    }
    // nginx's way to ask, without any options.
    let answer = served.raw(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n");
    assert!(answer.contains(" 401 "), "{answer}");
    assert_eq!(served.get("/healthz").0, 200);
}

#[test]
fn other_pages_may_not_post() {
    let served = serve(None);
    let photo = artefacts::PHOTOS[0].bytes;
    let post = |headers: &str| served.ask("POST", "/api/classify", headers, photo).0;
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", served.address);
    assert_eq!((post(""), post(&own)), (200, 200));
    for headers in [
        "Origin: https://example.org\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: https://example.org\r\nContent-Type: text/plain\r\n",
    ] {
        assert_eq!(post(headers), 403, "{headers}");
        assert_eq!(served.ask("PUT", "/history", headers, b"").0, 403, "{headers}");
        assert_eq!(served.ask("DELETE", "/nothing", headers, b"").0, 403, "{headers}");
        // Reading is the browser's to refuse: it hides what has no header that allows it.
        assert_eq!(served.ask("GET", "/history", headers, b"").0, 200, "{headers}");
    }
}

/// Also where hyper answers by itself.
#[test]
fn every_answer_has_the_headers() {
    let served = serve(None);
    served.feed.publish(update("cat"));
    let mut answers = Vec::new();
    let close = "Host: localhost\r\nConnection: close\r\n";
    for path in
        ["/", "/history", "/metrics", "/healthz", "/snapshot.jpg", "/nothing", "/api/classify", "/?token=1&token=2"]
    {
        answers.push(served.raw(format!("GET {path} HTTP/1.1\r\n{close}\r\n").as_bytes()));
        answers.push(served.raw(format!("HEAD {path} HTTP/1.1\r\n{close}\r\n").as_bytes()));
    }
    for path in ["/events", "/stream.mjpg"] {
        let mut stream = served.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut part = [0; 2048];
        let length = stream.read(&mut part).unwrap();
        answers.push(String::from_utf8_lossy(&part[..length]).into_owned());
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\n{close}Via: 1.1 proxy\r\n\r\n"),
        format!("POST /api/classify HTTP/1.1\r\n{close}Content-Length: 0\r\n\r\n"),
        format!("POST /api/classify HTTP/1.1\r\n{close}Content-Length: 90000000\r\n\r\n"),
        format!("POST /api/classify HTTP/1.1\r\n{close}Content-Length: 3\r\n\r\nabc"),
        format!("POST /api/classify HTTP/1.1\r\n{close}Origin: null\r\nContent-Length: 3\r\n\r\nabc"),
        "nonsense\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n".into(),
        "GET /\u{1} HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/9.9\r\n\r\n".into(),
        format!("GET /{} HTTP/1.1\r\n{close}\r\n", "a".repeat(70_000)),
        format!("GET / HTTP/1.1\r\n{close}X: {}\r\n\r\n", "a".repeat(70_000)),
        format!("GET / HTTP/1.1\r\n{}\r\n\r\n", "X: a\r\n".repeat(200)),
        format!("POST / HTTP/1.1\r\n{close}Content-Length: 1, 2\r\n\r\n"),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n".into(),
    ] {
        answers.push(served.raw(request.as_bytes()));
    }
    for answer in answers {
        let heads: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).collect();
        assert!(!heads.is_empty(), "no answer: {answer}");
        for head in heads {
            let head = head.split("\r\n\r\n").next().unwrap_or_default();
            for line in [
                "x-content-type-options: nosniff",
                "cross-origin-resource-policy: same-origin",
                "cache-control: no-store",
                "referrer-policy: no-referrer",
            ] {
                assert_eq!(head.matches(line).count(), 1, "{line} is missing in {head}");
            }
            assert_eq!(head.matches("cache-control").count(), 1, "{head}");
            assert!(!head.contains("access-control-allow"), "{head}");
        }
    }
}
