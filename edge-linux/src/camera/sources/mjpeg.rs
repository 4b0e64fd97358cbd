//! JPEG pictures over HTTP. Network cameras and mjpg-streamer send one answer without end, of type
//! `multipart/x-mixed-replace`, whose parts are the frames; others send a picture for each request.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::address::Address;
use super::http::{Answer, Client, Patient};
use super::jpegs::{Jpegs, Next};
use super::multipart::{Parts, boundary};
use super::pace::Pace;
use super::{Read, Source, Wanted};
use crate::camera::frame::{Frame, Layout};

/// Pictures a second that a camera is asked for which gives one a request.
const USUAL_RATE: u32 = 1;

type Input = BufReader<Patient<ureq::BodyReader<'static>>>;

/// A camera, and what it sends.
pub(super) struct Stream {
    address: Address,
    body: Pictures,
}

/// How pictures come.
enum Pictures {
    /// As parts, between boundaries.
    Parts(Parts<Input>),
    /// One after the other.
    Jpegs(Jpegs<Input>),
    /// One for each request, or more.
    Requests(Box<Requests>),
}

/// A camera that is asked again and again.
struct Requests {
    client: Client,
    /// What it answers now.
    answer: Option<Jpegs<Input>>,
    pace: Pace,
    silence: Duration,
    /// When the last whole picture came.
    last: Instant,
}

impl Stream {
    /// Connects. Neither an answer nor a picture may take longer than the wanted silence.
    pub(super) fn open(address: &Address, wanted: &Wanted) -> Result<Self> {
        let mut client = Client::new(address, wanted.silence());
        let answer = client.get()?;
        let Answer { kind, has_length, body } = answer;
        let mut input = BufReader::with_capacity(1 << 16, body);
        let body = match How::of(&kind, has_length, &mut input).map_err(|why| anyhow!("{address}: {why}"))? {
            How::Parts(boundary) => Pictures::Parts(Parts::new(input, &boundary)),
            How::Jpegs => Pictures::Jpegs(Jpegs::new(input)),
            How::Requests => {
                let mut pace = Pace::new(wanted.rate.unwrap_or(USUAL_RATE));
                pace.wait();
                let (silence, last) = (wanted.silence(), Instant::now());
                let answer = Some(Jpegs::new(input));
                Pictures::Requests(Box::new(Requests { client, answer, pace, silence, last }))
            }
        };
        if wanted.rate.is_some() && !matches!(body, Pictures::Requests(_)) {
            bail!("{address}: the camera sends a stream and chooses its rate itself; leave --rate out");
        }
        Ok(Self { address: address.clone(), body })
    }

    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Read> {
        match &mut self.body {
            Pictures::Parts(parts) => {
                if !parts.next(bytes)? {
                    bail!(ENDED);
                }
                parts.input().get_mut().came();
                Ok(Read::Frame)
            }
            Pictures::Jpegs(jpegs) => next_picture(jpegs, bytes)?.ok_or_else(|| anyhow!(ENDED)),
            Pictures::Requests(requests) => requests.next(bytes),
        }
    }
}

impl Requests {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Read> {
        if let Some(jpegs) = &mut self.answer
            && let Some(read) = next_picture(jpegs, bytes)?
        {
            if read == Read::Frame {
                self.last = Instant::now();
            }
            return Ok(read);
        }
        if self.last.elapsed() > self.silence + self.pace.interval() {
            bail!("no whole picture for {} s", self.silence.as_secs_f64());
        }
        self.pace.wait();
        let input = BufReader::with_capacity(1 << 16, self.client.get()?.body);
        let jpegs = self.answer.insert(Jpegs::new(input));
        Ok(match next_picture(jpegs, bytes)? {
            Some(Read::Frame) => {
                self.last = Instant::now();
                Read::Frame
            }
            Some(read) => read,
            None => Read::Broken("the camera's answer holds no JPEG picture".into()),
        })
    }
}

/// The next picture; `None` at the end.
fn next_picture(jpegs: &mut Jpegs<Input>, bytes: &mut Vec<u8>) -> Result<Option<Read>> {
    Ok(match jpegs.next(bytes)? {
        Next::Picture => {
            jpegs.input().get_mut().came();
            Some(Read::Frame)
        }
        Next::Broken | Next::Cut => Some(Read::Broken("the JPEG picture is truncated".into())),
        Next::End => None,
    })
}

/// A camera's stream has no end: it comes back.
const ENDED: &str = "the camera ended its stream";

impl Source for Stream {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        frame.layout = Layout::JPEG;
        let read = self.next(&mut frame.bytes);
        read.map_err(|error| {
            let why = self.address.hide(&format!("{error:#}"));
            // What a request has to say names the camera already.
            match why.starts_with(&self.address.to_string()) {
                true => anyhow!(why),
                false => anyhow!("{}: {why}", self.address),
            }
        })
    }
}

/// How an answer's pictures are told apart.
#[derive(Debug, PartialEq, Eq)]
enum How {
    Parts(String),
    Jpegs,
    Requests,
}

impl How {
    /// By the content type, and where that says nothing of use by the first bytes.
    fn of(kind: &str, has_length: bool, input: &mut impl BufRead) -> Result<Self> {
        let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if let Some(boundary) = boundary(kind) {
            return Ok(Self::Parts(boundary));
        }
        if name.starts_with("multipart/") {
            return Ok(Self::Jpegs);
        }
        let start = input.fill_buf()?;
        let picture = start.starts_with(&[0xFF, 0xD8]) || start == [0xFF];
        match name.as_str() {
            "image/jpeg" | "image/jpg" | "image/pjpeg" => Ok(Self::Requests),
            _ if name.contains("jpeg") || name.contains("jpg") => Ok(Self::Jpegs),
            _ if picture && has_length => Ok(Self::Requests),
            _ if picture || start.starts_with(b"--") => Ok(Self::Jpegs),
            _ => bail!(
                "the camera answers with '{kind}', which holds neither JPEG pictures nor a stream of them; give the address \
                 of its stream or of its picture"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
