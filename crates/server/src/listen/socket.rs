//! The socket below HTTP and TLS: write deadline and lingering close.
//!
//! *Write deadline* (`ws.write_timeout`): while bytes wait to be written, the peer must accept [`PROGRESS`] of them, or
//! all, in that time; else the connection is reset, so that the kernel frees its buffers.
//!
//! *Lingering close*: a close with unread bytes in the receive buffer resets the connection, and a reset can destroy
//! the response before the peer has read it (RFC 9112 section 9.6). So the end of the stream is sent first, and further
//! input is read and dropped until the peer closes, within bounds.

use super::places::Place;
use rustix::net::sockopt::set_socket_linger;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that a peer must accept within the write deadline, if more wait.
const PROGRESS: usize = 16 * 1024;
/// Time limit of lingering.
const LINGER: Duration = Duration::from_secs(5);
/// Time limit of lingering without a byte from the peer.
const LINGER_QUIET: Duration = Duration::from_secs(1);
/// Maximum bytes dropped while lingering: a client may send a whole upload before it reads the refusal.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A socket with both; see the module's head.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    place: Arc<Place>,
    write_timeout: Duration,
    stall: Option<Stall>,
    linger: Option<Linger>,
}

/// Bytes wait to be written.
#[derive(Debug)]
struct Stall {
    deadline: Pin<Box<Sleep>>,
    taken: usize,
}

/// The end of the stream has been sent.
#[derive(Debug)]
struct Linger {
    ends: Instant,
    deadline: Pin<Box<Sleep>>,
    left: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, place: Arc<Place>, write_timeout: Duration) -> Self {
        Self { stream, place, write_timeout, stall: None, linger: None }
    }

    /// The bare socket, after HTTP has ended.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Waits until input is available.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Checks the result of a write against the deadline.
    fn wrote(&mut self, cx: &mut Context<'_>, attempt: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &attempt {
            Poll::Pending => {
                let timeout = self.write_timeout;
                let stall = self.stall.get_or_insert_with(|| Stall {
                    deadline: Box::pin(sleep_until(Instant::now() + timeout)),
                    taken: 0,
                });
                if stall.deadline.as_mut().poll(cx).is_ready() {
                    let _best_effort = set_socket_linger(&self.stream, Some(Duration::ZERO));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            Poll::Ready(Ok(n)) => {
                if let Some(stall) = &mut self.stall {
                    stall.taken += n;
                    if stall.taken >= PROGRESS {
                        self.stall = None;
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        attempt
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when the layers above have nothing more to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.stall = None;
        self.place.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.place.wait();
            let now = Instant::now();
            let deadline = Box::pin(sleep_until(now + LINGER_QUIET));
            this.linger = Some(Linger { ends: now + LINGER, deadline, left: LINGER_BYTES });
        }
        let Some(linger) = &mut this.linger else { return Poll::Ready(Ok(())) };
        let mut scratch = [0; 8 * 1024];
        while linger.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            let dropped = buffer.filled().len();
            linger.left = linger.left.saturating_sub(dropped);
            if read.is_err() || dropped == 0 || linger.left == 0 {
                break;
            }
            linger.deadline.as_mut().reset(linger.ends.min(Instant::now() + LINGER_QUIET));
        }
        Poll::Ready(Ok(()))
    }
}
