//! Where a request comes from: from this machine and its user, or from somebody behind a proxy or another page.
//!
//! A server without a token serves this machine alone. That its address is a loopback one is not enough: a proxy here hands
//! on what others ask, and a page of anybody's, open in a browser here, can ask, too.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, Method, Uri, Version, header};

/// Headers that proxies add, and servers that stand for others.
const OF_PROXIES: [&str; 16] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-proxyuser-ip",
    "x-envoy-external-address",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "cdn-loop",
    "x-original-host",
];
/// Beginnings of others, as X-Forwarded-For and X-Original-Forwarded-For have them.
const OF_PROXIES_BEGIN: [&str; 2] = ["x-forwarded", "x-original-forwarded"];

/// A name by which a server may be asked for, without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = normal(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match name.len() < 254 && name.split('.').all(is_label) {
            true => Ok(Self(name)),
            false => Err("give a host's name alone, such as camera.example.org, without http:// and port".into()),
        }
    }
}

/// Host names know no case, and may end in a dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// By what a request shows that a proxy handed it on.
pub(super) fn forwarded_by(version: Version, headers: &HeaderMap) -> Option<&str> {
    let is_of_proxies = |name: &&HeaderName| {
        let name = name.as_str();
        OF_PROXIES.contains(&name) || OF_PROXIES_BEGIN.iter().any(|start| name.starts_with(start))
    };
    // nginx speaks HTTP/1.0 to the servers behind it, and adds no header, unless it is told otherwise.
    let old = (version == Version::HTTP_10).then_some("HTTP/1.0");
    headers.keys().find(is_of_proxies).map(HeaderName::as_str).or(old)
}

/// Whether this machine is asked for: by number, as `localhost`, or by one of the names.
///
/// A page whose own name leads to this machine (DNS rebinding) asks for that name.
pub(super) fn is_for_this_machine(uri: &Uri, headers: &HeaderMap, names: &[HostName]) -> bool {
    let known = |host: &str| is_this_machine(host, names);
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    host.is_some_and(known) && hosts.next().is_none() && uri.authority().is_none_or(|asked| known(asked.as_str()))
}

/// Whether a `Host` is a number, `localhost` or one of the names, with or without a port.
fn is_this_machine(host: &str, names: &[HostName]) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = normal(name.map_or(host, |(name, _)| name));
    let number = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    name == "localhost" || number.parse::<IpAddr>().is_ok() || names.iter().any(|HostName(known)| *known == name)
}

/// Whether a browser sends it for a page of another origin, and it could change or cost something.
///
/// Programs that are no browsers say nothing of this.
pub(super) fn is_of_another_page(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return false;
    }
    let all = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_own = |origin: &str| {
        let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        place.is_some_and(|place| place.eq_ignore_ascii_case(host))
    };
    all("sec-fetch-site").any(|site| !["same-origin", "none"].contains(&site))
        || all("origin").any(|origin| !is_own(origin))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn proxies_show() {
        for name in
            ["X-Forwarded-For", "X-FORWARDED-PROTO", "x-forwarded", "Forwarded", "X-Real-IP", "Via", "CF-Connecting-IP"]
        {
            let headers = headers(&[("Host", "localhost"), (name, "")]);
            assert_eq!(forwarded_by(Version::HTTP_11, &headers), Some(&*name.to_ascii_lowercase()));
        }
        let plain = headers(&[("Host", "localhost"), ("Accept", "*/*"), ("X-Other", "1")]);
        assert_eq!(forwarded_by(Version::HTTP_11, &plain), None);
        assert_eq!(forwarded_by(Version::HTTP_10, &plain), Some("HTTP/1.0"));
    }

    #[test]
    fn hosts_by_number_and_by_their_names_are_this_machine() {
        let names = ["Camera.example.org", "garden."].map(|name| name.parse().unwrap());
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "camera.example.org:8080",
            "CAMERA.example.org.",
            "garden",
        ] {
            assert!(is_this_machine(host, &names), "{host}");
        }
        for host in [
            "example.org",
            "example.org:8080",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "",
            ":80",
            "example.org:80:80",
            "other.camera.example.org",
            "camera.example.org.evil.org",
            "camera.example.org:80@evil.org",
            "[localhost",
        ] {
            assert!(!is_this_machine(host, &names), "{host}");
        }
    }

    #[test]
    fn a_request_asks_for_one_host() {
        let asks = |uri: &str, hosts: &[(&str, &str)]| is_for_this_machine(&uri.parse().unwrap(), &headers(hosts), &[]);
        let local = ("Host", "localhost");
        let other = ("Host", "example.org");
        assert!(asks("/", &[local]) && asks("http://127.0.0.1/", &[local]));
        assert!(!asks("/", &[]) && !asks("/", &[local, other]) && !asks("/", &[local, local]));
        assert!(!asks("http://example.org/", &[local]) && !asks("http://localhost/", &[other]));
    }

    #[test]
    fn names_are_names() {
        for name in ["camera", "camera.local", "my-cam_2.example.org", "10.0.0.1"] {
            assert!(name.parse::<HostName>().is_ok(), "{name}");
        }
        for name in ["", ".", "http://camera", "camera:8080", "camera/", "a..b", "*", "a b", "é", &"a.".repeat(200)] {
            assert!(name.parse::<HostName>().is_err(), "{name}");
        }
    }

    #[test]
    fn other_pages_may_look_but_not_post() {
        let host = ("Host", "localhost:8080");
        let own = ("Origin", "http://localhost:8080");
        for (lines, is_other) in [
            (&[][..], false),
            (&[own], false),
            (&[("Origin", "https://LOCALHOST:8080")], false),
            (&[("Origin", "http://localhost:8081")], true),
            (&[("Origin", "http://127.0.0.1:8080")], true),
            (&[("Origin", "http://example.org")], true),
            (&[("Origin", "null")], true),
            (&[("Origin", "")], true),
            (&[("Origin", "file://localhost:8080")], true),
            (&[own, ("Origin", "http://example.org")], true),
            (&[("Sec-Fetch-Site", "same-origin")], false),
            (&[("Sec-Fetch-Site", "none")], false),
            (&[("Sec-Fetch-Site", "same-site")], true),
            (&[("Sec-Fetch-Site", "cross-site")], true),
            (&[own, ("Sec-Fetch-Site", "cross-site")], true),
        ] {
            let headers = headers(&[&[host], lines].concat());
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(is_of_another_page(&method, &headers), is_other, "{method} {lines:?}");
            }
            assert!(!is_of_another_page(&Method::GET, &headers), "{lines:?}");
        }
    }
}
