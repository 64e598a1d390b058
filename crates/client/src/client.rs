//! The user's side of a session: a cheap handle for requests, a stream for everything else the server sends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fanfare_json::RawBuf;
use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::close::CloseReason;
use crate::driver::{Command, Driver, MAX_OUTSTANDING};
use crate::error::{Error, ServerError};
use crate::options::{Options, PublishOptions, StartFrom};
use crate::socket;
use crate::target::Target;
use crate::wire::{Event, Info, Pong, Published, Subscribed, Welcome};

/// A session with a server. Clones share it; when the last one is dropped the connection is closed with 1000.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    welcome: watch::Receiver<Welcome>,
    closed: watch::Receiver<Option<CloseReason>>,
    request_timeout: Duration,
}

/// Unsolicited frames of the server, and changes of the connection's state.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A message of a topic.
    Event(Event),
    /// An info frame of the server.
    Info(Info),
    /// An error that belongs to no request, such as `SLOW_CONSUMER`.
    Error(ServerError),
    /// Any other frame (feeds, chat, broadcasts), unchanged.
    Frame(String),
    /// The connection broke; the client is reconnecting.
    Disconnected(CloseReason),
    /// A new connection is established. With `resumed` it continues the same session, without it a new one.
    Reconnected {
        /// Whether the session is the same.
        resumed: bool,
    },
    /// A subscription was restored on a new connection. Missed messages follow if `recovered`; if not, some may be lost
    /// permanently, and state derived from them has to be reloaded.
    Resubscribed {
        /// The topic.
        topic: String,
        /// Whether nothing is missing.
        recovered: bool,
    },
    /// A subscription could not be restored and has ended.
    Unsubscribed {
        /// The topic.
        topic: String,
        /// Why.
        error: ServerError,
    },
    /// The client has ended. No notice follows.
    Closed(CloseReason),
}

/// The stream of [`Notice`]s. Read it in a task of its own, or concurrently with requests: while its queue is full the
/// socket is not read, and replies wait too. Dropping it discards later notices.
#[derive(Debug)]
pub struct Notices(mpsc::Receiver<Notice>);

impl Client {
    /// Connects to `url` (`ws://host:port/ws`) and waits for the welcome. This first attempt is not retried; a
    /// connection lost later is re-established.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Connect`], [`Error::Refused`], [`Error::Closed`] or [`Error::Protocol`].
    pub async fn connect(url: &str, options: Options) -> Result<(Self, Notices), Error> {
        let target = Target::parse(url, options.token.as_deref(), &options.trust)?;
        let (socket, welcome) =
            socket::open(&target, None, &options).await.map_err(|refusal| refusal.error)?;
        let request_timeout = options.request_timeout;
        let (commands, command_rx) = mpsc::channel(MAX_OUTSTANDING);
        let (notices_tx, notices) = mpsc::channel(options.notice_queue.max(1));
        let (welcome_tx, welcome) = watch::channel(welcome);
        let (closed_tx, closed) = watch::channel(None);
        let driver = Driver::new(target, options, command_rx, notices_tx, welcome_tx, closed_tx);
        tokio::spawn(driver.run(socket));
        Ok((Self { commands, welcome, closed, request_timeout }, Notices(notices)))
    }

    /// The welcome of the newest connection.
    pub fn welcome(&self) -> Welcome {
        self.welcome.borrow().clone()
    }

    /// Subscribes to `topic` and restores the subscription after lost connections.
    ///
    /// # Errors
    /// Those of [`Client::ping`].
    pub async fn subscribe(&self, topic: &str, start: StartFrom) -> Result<Subscribed, Error> {
        let topic = topic.to_owned();
        self.request(|reply| Command::Subscribe { topic, start, reply }).await
    }

    /// Ends a subscription. Once this returns, no event of the topic follows in the stream that was not already in it.
    ///
    /// # Errors
    /// Those of [`Client::ping`].
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        let topic = topic.to_owned();
        self.request::<serde::de::IgnoredAny>(|reply| Command::Unsubscribe { topic, reply }).await.map(|_| ())
    }

    /// Publishes JSON, which subscribers receive byte for byte.
    ///
    /// # Errors
    /// Those of [`Client::ping`], and [`Error::ConnectionLost`] when the connection broke before the ack and `options` has
    /// no idempotency key.
    pub async fn publish(
        &self,
        topic: &str,
        payload: RawBuf,
        options: PublishOptions,
    ) -> Result<Published, Error> {
        let topic = topic.to_owned();
        self.request(|reply| Command::Publish { topic, payload, options, reply }).await
    }

    /// Requests the server's time (RFC 3339), which proves that the connection works in both directions.
    ///
    /// # Errors
    /// [`Error::Server`] when the server refuses, [`Error::Timeout`] without a reply, [`Error::Closed`] when the client has
    /// ended, [`Error::Protocol`] for a reply that is not one.
    pub async fn ping(&self) -> Result<String, Error> {
        self.request::<Pong>(|reply| Command::Ping { reply }).await.map(|pong| pong.timestamp)
    }

    /// Closes the connection with 1000 and waits until that is done, for all clones.
    pub async fn close(self) {
        // A send fails only when the driver has ended, which is the purpose.
        let _ = self.commands.send(Command::Close).await;
        self.commands.closed().await;
    }

    async fn request<T: DeserializeOwned>(&self, command: impl FnOnce(Reply) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.commands.send(command(reply)).await.map_err(|_| self.ended())?;
            answer.await.map_err(|_| self.ended())?
        };
        let text = timeout(self.request_timeout, exchange).await.map_err(|_| Error::Timeout)??;
        fanfare_json::from_str(&text).map_err(|e| Error::Protocol(e.to_string()))
    }

    fn ended(&self) -> Error {
        let reason = self.closed.borrow().clone();
        Error::Closed(reason.unwrap_or(CloseReason { code: None, reason: "closed".into() }))
    }
}

/// The channel for the text of a reply.
pub(crate) type Reply = oneshot::Sender<Result<String, Error>>;

impl Notices {
    /// The next notice; `None` after [`Notice::Closed`].
    pub async fn recv(&mut self) -> Option<Notice> {
        self.0.recv().await
    }
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.0.poll_recv(cx)
    }
}
