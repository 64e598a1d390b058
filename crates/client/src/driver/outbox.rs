//! Frames to send, written without ever blocking the reader: with both ends waiting for the other to read, a request
//! larger than the socket's buffers would wait indefinitely.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::socket::Socket;

/// Time limit of the closing handshake.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The output queue. Bounded by its users: the outstanding requests and one subscribe for each subscription.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Message>,
    /// Whether the sink may hold bytes that are not in the kernel yet.
    unflushed: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, frame: String) {
        self.frames.push_back(Message::text(frame));
        self.unflushed = true;
    }

    /// Whether everything has been written.
    pub(super) fn is_done(&self) -> bool {
        !self.unflushed
    }

    /// Discards the frames of a lost connection.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.unflushed = false;
    }

    /// Writes everything out. Cancel-safe: bytes not yet in the sink stay here.
    pub(super) fn poll_write(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WsError>> {
        let mut sink = Pin::new(sink);
        while !self.frames.is_empty() {
            ready!(sink.as_mut().poll_ready(cx))?;
            if let Some(message) = self.frames.pop_front() {
                sink.as_mut().start_send(message)?;
            }
        }
        ready!(sink.poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Sends the remaining frames and a close frame (1000), and waits for the server's, within [`CLOSE_TIMEOUT`].
    pub(super) async fn farewell(
        &mut self,
        mut sink: SplitSink<Socket, Message>,
        mut stream: SplitStream<Socket>,
    ) {
        self.frames
            .push_back(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })));
        let goodbye = async {
            if std::future::poll_fn(|cx| self.poll_write(&mut sink, cx)).await.is_ok() {
                while let Some(Ok(_)) = stream.next().await {}
                // The server's close frame has arrived or the socket has failed: nothing more can be sent.
                let _ = sink.close().await;
            }
        };
        // A server that does not respond to the close frame in time costs only this wait.
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
        self.clear();
    }
}
