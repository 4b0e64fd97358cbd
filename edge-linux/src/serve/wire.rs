//! A connection's bytes: clients that don't take them are given up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::headers;

/// How long a client may let the server wait until it has taken [`LEAST`] bytes, or all there is.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(5);
/// What a client has to take in that time: far less than any network that shows pictures can.
const LEAST: usize = 16 << 10;

/// A stream whose writes fail where its client doesn't take them.
pub(super) struct Wire<S> {
    stream: S,
    stalled: Option<Stall>,
    refusal: Option<Refusal>,
}

/// A client lets the server wait.
struct Stall {
    end: Pin<Box<Sleep>>,
    taken: usize,
}

/// A refusal of hyper's own with headers that hyper doesn't know of.
struct Refusal {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> Wire<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, stalled: None, refusal: None }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn write(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Ready(written) => written?,
            Poll::Pending => {
                let stall = self.stalled.get_or_insert_with(|| Stall { end: Box::pin(sleep(WRITE_TIME)), taken: 0 });
                ready!(stall.end.as_mut().poll(context));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        };
        if let Some(stall) = &mut self.stalled {
            stall.taken += written;
            if stall.taken >= LEAST {
                self.stalled = None;
            }
        }
        Poll::Ready(Ok(written))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.refusal.is_none() {
            this.refusal = headers::in_refusal(bytes).map(|bytes| Refusal { bytes, written: 0 });
        }
        let Some(mut refusal) = this.refusal.take() else { return this.write(context, &[IoSlice::new(bytes)]) };
        while refusal.written < refusal.bytes.len() {
            match this.write(context, &[IoSlice::new(&refusal.bytes[refusal.written..])]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(written)) => refusal.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.refusal = Some(refusal);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Pictures are sent from where they lie, which all their viewers share.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            // A refusal of hyper's own is a head alone.
            [bytes] => self.poll_write(context, bytes),
            _ => self.write(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing waits to be written any more.
        self.stalled = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}
