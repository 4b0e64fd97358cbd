//! Where the broker is, and under which name the camera is found there.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use percent_encoding::percent_decode_str;

/// MQTT's own port, without encryption.
const PORT: u16 = 1883;
/// Longest topic. MQTT allows 65,535 bytes, Home Assistant's entities less.
const LONGEST_TOPIC: usize = 200;

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
                (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("'{port}' is no port"))?)
            }
            _ => (place, PORT),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || host.contains(['/', ' ', '?', '#']) || (host.contains(':') && !bracketed) {
            return Err(format!("'{host}' is no host"));
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

    /// A name in letters that Home Assistant allows in an identifier.
    pub(super) fn identifier(&self) -> String {
        self.0.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
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
        assert_eq!(topic.identifier(), "home_front_door");
        for wrong in ["", "/", "/a", "$SYS/a", "a/+", "a#", "a\nb", &"a".repeat(201)] {
            assert!(wrong.parse::<Topic>().is_err(), "{wrong}");
        }
    }
}
