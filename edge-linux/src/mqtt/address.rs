//! Where the broker is, and under which name the camera is found there.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use percent_encoding::percent_decode_str;

/// MQTT's own port, without encryption.
const PORT: u16 = 1883;
/// Longest topic. MQTT allows 65,535 bytes, Home Assistant's entities less.
const LONGEST_TOPIC: usize = 200;

/// What `--mqtt` was given: perhaps a broker. It is read later than other options, since what the command line's parser has against
/// a value shows the value, and this one may have a password in it.
#[derive(Clone)]
pub(crate) struct BrokerText(String);

impl BrokerText {
    /// The broker.
    ///
    /// # Errors
    /// The address is none, which is told without the address.
    pub(crate) fn broker(&self) -> Result<Broker> {
        self.0.parse().map_err(|why: String| anyhow!("--mqtt: {why}"))
    }
}

impl From<&str> for BrokerText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Without the text.
impl fmt::Debug for BrokerText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("mqtt://...")
    }
}

/// A broker: `mqtt://[user[:password]@]host[:port]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Broker {
    /// With a password that the address does not show.
    ///
    /// # Errors
    /// MQTT knows no password without a user.
    pub(crate) fn with_password(mut self, password: &str) -> Result<Self> {
        if self.user.is_none() {
            bail!("--mqtt: there is a password, but no user; give mqtt://USER@HOST");
        }
        self.password = Some(password.to_owned());
        Ok(self)
    }
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("mqtt://") else {
            return Err("give mqtt://[USER[:PASSWORD]@]HOST[:PORT]; there is no encryption here".into());
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        // An address of IPv6 has colons of its own, within brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|port| *port != 0).ok_or("what follows the host's colon is no port")?)
            }
            _ => (place, PORT),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || host.contains(['/', ' ', '?', '#']) || (host.contains(':') && !bracketed) {
            return Err(
                "there is no host, or it has signs that no host has; in a user's name and password write @ as %40"
                    .into(),
            );
        }
        let (user, password) = match login
            .map(|login| login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password))))
        {
            Some((user, password)) => (Some(decoded(user)?), password.map(decoded).transpose()?),
            None => (None, None),
        };
        if user.as_deref() == Some("") {
            return Err("the user has no name".into());
        }
        Ok(Self { host: host.to_owned(), port, user, password })
    }
}

/// A user or password, in which other signs than letters and digits may stand as `%40`.
fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "user and password must be UTF-8".to_owned())
}

/// Without the password.
impl fmt::Display for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "mqtt://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The topic below which the camera publishes. Each camera at a broker needs one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic(String);

impl Topic {
    /// What was seen.
    pub(super) fn state(&self) -> String {
        format!("{}/state", self.0)
    }

    /// Whether the camera is on.
    pub(super) fn availability(&self) -> String {
        format!("{}/availability", self.0)
    }

    /// A name in letters that Home Assistant allows in an identifier: another one for each topic.
    ///
    /// Letters, digits and `_` stand for themselves; of all else the UTF-8 bytes are written as `-` and two hexadecimal digits.
    pub(super) fn identifier(&self) -> String {
        let mut identifier = String::new();
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                identifier.push(byte.into());
            } else {
                identifier += &format!("-{byte:02x}");
            }
        }
        identifier
    }
}

/// As it was given.
impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let topic = text.strip_suffix('/').unwrap_or(text);
        if topic.is_empty() || topic.len() > LONGEST_TOPIC {
            return Err(format!("give a topic of 1 to {LONGEST_TOPIC} letters"));
        }
        if topic.starts_with(['$', '/']) || topic.contains(|letter: char| "+#".contains(letter) || letter.is_control())
        {
            return Err("a topic has no + and no #, and begins neither with $ nor with /".into());
        }
        Ok(Self(topic.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, u16, Option<String>, Option<String>) {
        let Broker { host, port, user, password } = text.parse().unwrap();
        (host, port, user, password)
    }

    #[test]
    fn addresses() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("mqtt://broker"), ("broker".into(), 1883, None, None));
        assert_eq!(parts("mqtt://10.0.0.7:1884/"), ("10.0.0.7".into(), 1884, None, None));
        assert_eq!(parts("mqtt://ann:p%40ss:w@b:1"), ("b".into(), 1, some("ann"), some("p@ss:w")));
        assert_eq!(parts("mqtt://ann@b"), ("b".into(), 1883, some("ann"), None));
        assert_eq!(parts("mqtt://[::1]:1884"), ("[::1]".into(), 1884, None, None));
        assert_eq!(parts("mqtt://[fe80::1]"), ("[fe80::1]".into(), 1883, None, None));
        for (wrong, words) in [
            ("broker", "give mqtt://"),
            ("mqtts://broker", "no encryption"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://b:", "no port"),
            ("mqtt://b:0", "no port"),
            ("mqtt://b:70000", "no port"),
            ("mqtt://b/path", "no host"),
            ("mqtt://::1", "no host"),
            ("mqtt://@b", "no name"),
            ("mqtt://%ff@b", "UTF-8"),
        ] {
            let error = wrong.parse::<Broker>().unwrap_err();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    /// Whatever is wrong with an address, it may have a password in it.
    #[test]
    fn errors_show_nothing_of_the_address() {
        for wrong in [
            "mqtt://ann:s3cret",
            "mqtt://ann:s3cret@",
            "mqtt://ann:s3cret@b:0",
            "mqtt://ann:s3cret@b:s3cret",
            "mqtt://ann:s3/cret@b",
            "mqtt://ann:s3cret/b",
            "mqtt://ann:p@s3cret@b:x",
            "mqtts://ann:s3cret@b",
            "ann:s3cret@b",
            "mqtt://ann:%ffs3cret@b",
            "mqtt://:s3cret@b",
        ] {
            if let Err(error) = BrokerText::from(wrong).broker() {
                assert!(!format!("{error:#}{error:?}").contains("cret"), "{wrong}: {error}");
            } else {
                // A slash in a password is one that people write.
                assert_eq!(wrong, "mqtt://ann:s3/cret@b");
            }
            assert!(!format!("{:?}", BrokerText::from(wrong)).contains("cret"));
        }
    }

    #[test]
    fn passwords_are_not_shown_and_need_a_user() {
        let broker: Broker = "mqtt://ann:secret@b".parse().unwrap();
        assert_eq!((broker.to_string(), format!("{broker:?}")), ("mqtt://b:1883".into(), "mqtt://b:1883".into()));
        assert_eq!(broker.with_password("other").unwrap().password.as_deref(), Some("other"));
        let nobody: Broker = "mqtt://b".parse().unwrap();
        assert!(nobody.with_password("secret").unwrap_err().to_string().contains("no user"));
    }

    #[test]
    fn topics() {
        let topic: Topic = "home/front door/".parse().unwrap();
        assert_eq!(topic.state(), "home/front door/state");
        assert_eq!(topic.to_string(), "home/front door");
        for wrong in ["", "/", "/a", "$SYS/a", "a/+", "a#", "a\nb", &"a".repeat(201)] {
            assert!(wrong.parse::<Topic>().is_err(), "{wrong}");
        }
    }

    /// Topics that differ have identifiers that differ, in letters that Home Assistant allows; those that had no other
    /// letters keep theirs.
    #[test]
    fn identifiers() {
        let long = ["a".repeat(200), "é".repeat(100), format!("{}b", "a".repeat(199))];
        let mut topics: Vec<&str> = vec![
            "cam 1",
            "cam_1",
            "cam-1",
            "cam/1",
            "cam.1",
            "cam:1",
            "cam//1",
            "cam1",
            "Cam_1",
            "CAM_1",
            "cam 1 ",
            " cam 1",
            "cam-201",
            "cam_20_1",
            "cam%201",
            "cam__1",
            "cam\u{a0}1",
            "caf\u{e9}",
            "cafe\u{301}",
            "cafe",
            "Камера",
            "камера",
            "相機",
            "📷",
            "a/b/c",
            "a/b_c",
            "a_b/c",
            "a_b_c",
            "-",
            "_",
            ".",
            "tinception",
        ];
        topics.extend(long.iter().map(String::as_str));
        let mut seen = std::collections::BTreeMap::new();
        for text in topics {
            let identifier = text.parse::<Topic>().unwrap().identifier();
            let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            assert!(!identifier.is_empty() && identifier.chars().all(is_allowed), "{identifier}");
            if text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
                assert_eq!(identifier, text);
            }
            assert_eq!(seen.insert(identifier, text), None, "{text}");
        }
        assert_eq!("home/front door".parse::<Topic>().unwrap().identifier(), "home-2ffront-20door");
    }
}
