//! The page: one document, put together from its parts.
//!
//! Markup, style, program and chart library are files of their own, so that each is read by tools that know its kind. What a
//! browser gets is one answer that needs nothing else, without the comments and the indentation of its parts. Its style and
//! its program carry a number that is drawn for each answer; the policy that goes with it lets no other style or program
//! run, whatever a label holds.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// Where the number stands in the document.
const NONCE: &str = "{nonce}";

/// Smoothie Charts, with its licence (MIT) in it.
const CHARTS: &str = include_str!("page/smoothie.min.js");

static PAGE: LazyLock<String> = LazyLock::new(|| {
    [
        include_str!("page/head.html"),
        "<style nonce=\"{nonce}\">\n",
        &terse(include_str!("page/style.css")),
        "</style>\n",
        &terse(include_str!("page/body.html")),
        "<script nonce=\"{nonce}\">\n",
        CHARTS,
        "\n",
        &terse(include_str!("page/page.js")),
        "</script>\n",
    ]
    .concat()
});

/// The text without indentation, empty lines, and lines that are comments only: a quarter of what people write.
fn terse(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let is_comment = |line: &str| line.starts_with("//") || (line.starts_with("/*") && line.ends_with("*/"));
    lines.filter(|line| !line.is_empty() && !is_comment(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The page. It takes nothing from elsewhere, and no other page may show it in a frame.
pub(super) fn answer() -> Response {
    let mut bits = [0; 16];
    // Without random numbers the page would have no protection: then there is no page.
    if getrandom::fill(&mut bits).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers\n").into_response();
    }
    let nonce: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; connect-src 'self'; img-src 'self' blob: data:; script-src 'nonce-{nonce}'; \
         style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE.replace(NONCE, &nonce))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a board sends to a phone, its chart library and that one's licence included.
    #[test]
    fn the_page_has_at_most_40_kb() {
        let sent = PAGE.replace(NONCE, &"0".repeat(32)).len();
        assert!(sent <= 40 << 10, "{sent} bytes");
        assert!(PAGE.contains("Permission is hereby granted"), "the chart library's licence goes with it");
    }

    /// Nothing is loaded from elsewhere, and no text becomes markup or a program.
    #[test]
    fn the_page_stands_alone() {
        let own = PAGE.replace(CHARTS, "");
        assert!(own.len() + CHARTS.len() == PAGE.len());
        for word in [
            "://",
            "src=",
            "href=\"/",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "Function(",
            "document.write",
            " style=",
            " onclick=",
        ] {
            assert!(!own.contains(word), "{word}");
        }
    }

    #[test]
    fn comments_and_indentation_are_not_sent() {
        let text = "/* Two. */\na {\n  b: c;\n\n  /* d */ e: f;\n}\n// g\nh(\"//\"); // i\n";
        assert_eq!(terse(text), "a {\nb: c;\n/* d */ e: f;\n}\nh(\"//\"); // i\n");
    }

    #[test]
    fn each_answer_has_a_number_of_its_own() {
        let policy = || answer().headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert_ne!(policy(), policy());
        assert!(!policy().contains("unsafe"), "{}", policy());
    }
}
