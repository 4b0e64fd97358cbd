//! Addresses of cameras on the network. Nobody is shown their users and passwords: neither when they are displayed, nor in
//! the errors of what they are handed to.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The shortest password or query that is looked for in other programs' words. A shorter one would be found in all of them.
const SHORTEST_HIDDEN: usize = 4;
/// What stands in a hidden word's place.
const HIDDEN: &str = "***";

/// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    scheme: String,
    /// User and password as they were written, without the `@`.
    written: Option<String>,
    login: Option<Login>,
    /// Host and port.
    place: String,
    /// Path and query.
    rest: String,
}

/// User and password, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// Reads an address of one of these schemes. User and password may be percent-encoded (RFC 3986).
    ///
    /// # Errors
    /// What is wrong, without a word of the address.
    pub(crate) fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let wanted = || format!("give an address that starts with {}://", schemes.join(":// or "));
        let (scheme, after) = text.split_once("://").ok_or_else(wanted)?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&scheme.as_str()) {
            return Err(wanted());
        }
        if after.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err("an address has no spaces; write them as %20".into());
        }
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (written, place) = match authority.rsplit_once('@') {
            Some((written, place)) => (Some(written), place),
            None => (None, authority),
        };
        if !is_place(place) {
            // A password with such a sign ends the host too early.
            return Err(if rest.contains('@') {
                "in a user or password, write / as %2F, ? as %3F, # as %23 and @ as %40".into()
            } else {
                "the address has no valid host and port".into()
            });
        }
        let login = written.filter(|written| !written.is_empty()).map(Login::decode).transpose()?;
        // What follows a # is for the reader alone.
        let rest = rest.split('#').next().unwrap_or_default();
        Ok(Self { scheme, written: written.map(str::to_owned), login, place: place.to_owned(), rest: rest.to_owned() })
    }

    /// User and password, if there are any.
    pub(super) const fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The address without user and password, for a request. Its path may hold secrets all the same: not for people's eyes.
    pub(super) fn without_login(&self) -> String {
        format!("{}://{}{}", self.scheme, self.place, self.rest)
    }

    /// The address with user and password as they were written, for a program that takes it so. Not for people's eyes.
    pub(super) fn with_login(&self) -> String {
        match &self.written {
            Some(written) => format!("{}://{written}@{}{}", self.scheme, self.place, self.rest),
            None => self.without_login(),
        }
    }

    /// Another program's words, without the address' secrets.
    pub(super) fn hide(&self, words: &str) -> String {
        let shown = self.to_string();
        let mut words = words.replace(&self.with_login(), &shown).replace(&self.without_login(), &shown);
        if let Some((_, query)) = self.rest.split_once('?').filter(|(_, query)| query.len() >= SHORTEST_HIDDEN) {
            words = words.replace(query, HIDDEN);
        }
        if let Some(written) = self.written.as_deref().filter(|written| !written.is_empty()) {
            words = words.replace(&format!("{written}@"), &format!("{HIDDEN}@"));
        }
        let written = self.written.as_deref().and_then(|written| written.split_once(':')).map(|(_, password)| password);
        let decoded = self.login.as_ref().map(|login| login.password.as_str());
        for password in written.into_iter().chain(decoded).filter(|password| password.len() >= SHORTEST_HIDDEN) {
            words = words.replace(password, HIDDEN);
        }
        words
    }
}

impl Login {
    fn decode(written: &str) -> Result<Self, String> {
        let (user, password) = written.split_once(':').unwrap_or((written, ""));
        let decoded = |text| {
            let text = percent_decode_str(text).decode_utf8().map_err(|_| "user and password must be UTF-8")?;
            // They would end a header, or a line of what another program is told.
            if text.contains(char::is_control) {
                return Err("user and password have no control characters");
            }
            Ok(text.into_owned())
        };
        Ok(Self { user: decoded(user)?, password: decoded(password)? })
    }
}

/// Whether it is a host, as a name or a number, and perhaps a port.
fn is_place(place: &str) -> bool {
    // An address of IPv6 has colons of its own, within brackets.
    let end = place.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match place.get(end..).and_then(|after| after.rfind(':')) {
        Some(colon) => (&place[..end + colon], Some(&place[end + colon + 1..])),
        None => (place, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let named = !host.is_empty() && !host.contains([':', '[', ']', '@']);
    (bracketed || named) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Without user and password, and without those parts of the path and the query where cameras have them, too.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, place, rest, .. } = self;
        write!(formatter, "{scheme}://{place}")?;
        let (path, query) = rest.split_once('?').map_or((rest.as_str(), None), |(path, query)| (path, Some(query)));
        match path.find(['=', '@', '&', ';']) {
            Some(secret) => {
                let known = path[..secret].rfind('/').map_or(0, |slash| slash + 1);
                return write!(formatter, "{}...", &path[..known]);
            }
            None => formatter.write_str(path)?,
        }
        if query.is_some() { formatter.write_str("?...") } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::parse(text, &["http", "https", "rtsp"]).unwrap()
    }

    #[test]
    fn user_and_password_are_decoded() {
        for (text, user, password) in [
            ("http://u:p%40ss@cam/s", "u", "p@ss"),
            ("http://u:p@ss@cam/s", "u", "p@ss"),
            ("http://u%3Av:a%2Fb%3Fc%23d@cam", "u:v", "a/b?c#d"),
            ("http://u:a:b@cam", "u", "a:b"),
            ("http://u@cam", "u", ""),
            ("http://u:100%@cam", "u", "100%"),
            ("http://%C3%BCser:p%C3%A4ss@[fe80::1]:81/x", "üser", "päss"),
            ("http://u:%2541@cam", "u", "%41"),
            ("http://u:a+b%20c@cam", "u", "a+b c"),
        ] {
            let login = read(text).login.unwrap();
            assert_eq!((login.user.as_str(), login.password.as_str()), (user, password), "{text}");
        }
        assert!(read("http://@cam/").login.is_none());
        assert!(read("http://cam/a@b").login.is_none());
    }

    #[test]
    fn nothing_secret_is_shown() {
        for (text, shown) in [
            ("http://u:p@cam:81/stream", "http://cam:81/stream"),
            ("HTTP://cam", "http://cam"),
            ("http://cam/?action=stream", "http://cam/?..."),
            ("http://cam/cgi/snap?usr=a&pwd=b#x", "http://cam/cgi/snap?..."),
            ("rtsp://cam/live/user=a_password=b_channel=1.sdp?real", "rtsp://cam/live/..."),
            ("http://cam/a@b", "http://cam/..."),
            ("http://u:p@[::1]:8080/x", "http://[::1]:8080/x"),
        ] {
            let address = read(text);
            assert_eq!((address.to_string(), format!("{address:?}")), (shown.into(), shown.into()), "{text}");
        }
    }

    #[test]
    fn errors_have_no_word_of_the_address() {
        for text in [
            "ftp://u:secret@cam",
            "http://u:secret@",
            "http://u:secret@cam:port/",
            "http://u:secret@cam:99999/",
            "http://u:sec ret@cam/",
            "http://u:sec/ret@cam/",
            "http://u:sec?ret@cam/",
            "http://u:sec#ret@cam/",
            "http://u:%FFsecret@cam/",
            "http://u:secret%0A@cam/",
            "u:secret@cam",
            "http:/u:secret@cam",
        ] {
            let error = Address::parse(text, &["http", "https"]).unwrap_err();
            assert!(!error.contains("ret") && !error.contains("sec") && !error.contains("cam"), "{text}: {error}");
        }
    }

    #[test]
    fn other_programs_words_are_cleaned() {
        let address = read("rtsp://u:p%40ss@cam/x?token=t1");
        for words in [
            "rtsp://u:p%40ss@cam/x?token=t1: Connection refused",
            "Impossible to open 'rtsp://u:p%40ss@cam/x?token=t1'",
            "method DESCRIBE failed for u:p%40ss@cam",
            "u p@ss is wrong; rtsp://cam/x?token=t1",
            "rtsp://u:p%40ss@cam/x/track1 token=t1",
        ] {
            let hidden = address.hide(words);
            assert!(!hidden.contains("ss") || hidden.contains("Impossible"), "{hidden}");
            assert!(!hidden.contains("p%40") && !hidden.contains("p@") && !hidden.contains("t1"), "{hidden}");
        }
    }
}
