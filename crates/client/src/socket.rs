//! Opening one connection: TCP, upgrade, welcome; and how a failure affects the next attempt.

use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::close::{CloseReason, Retry};
use crate::error::{Error, ServerError};
use crate::options::Options;
use crate::target::{SessionKeys, Target};
use crate::transport::Transport;
use crate::wire::{Head, Welcome};

pub(crate) type Socket = WebSocketStream<Transport>;

/// Why a connection did not reach its welcome.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) retry: Retry,
    /// The server did not resume the session: the next attempt must request a new one.
    pub(crate) session_gone: bool,
}

impl Refusal {
    fn new(error: Error, retry: Retry) -> Self {
        Self { error, retry, session_gone: false }
    }
}

/// Opens a connection and reads its welcome.
pub(crate) async fn open(
    target: &Target,
    session: Option<&SessionKeys>,
    options: &Options,
) -> Result<(Socket, Welcome), Refusal> {
    match timeout(options.connect_timeout, attempt(target, session, options.max_message_bytes)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Refusal::new(Error::Connect("no welcome in time".into()), Retry::Now)),
    }
}

async fn attempt(
    target: &Target,
    session: Option<&SessionKeys>,
    max_message_bytes: usize,
) -> Result<(Socket, Welcome), Refusal> {
    let request = target.request(session).map_err(|e| Refusal::new(e, Retry::Never))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let transport =
        target.connect().await.map_err(|e| Refusal::new(Error::Connect(e.to_string()), Retry::Now))?;
    let (mut socket, _response) = client_async_with_config(request, transport, Some(config))
        .await
        .map_err(|e| refused(e, session.is_some()))?;
    let welcome = welcome(&mut socket).await?;
    Ok((socket, welcome))
}

async fn welcome(socket: &mut Socket) -> Result<Welcome, Refusal> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) => return parse_welcome(&text),
            Ok(Message::Close(frame)) => {
                let reason = close_reason(frame);
                let retry = reason.retry();
                return Err(Refusal::new(Error::Closed(reason), retry));
            }
            Ok(_) => {}
            Err(e) => return Err(Refusal::new(Error::Connect(e.to_string()), Retry::Now)),
        }
    }
    Err(Refusal::new(
        Error::Connect("the server closed the connection before its welcome".into()),
        Retry::Now,
    ))
}

fn parse_welcome(text: &str) -> Result<Welcome, Refusal> {
    let unexpected = |what: String| Refusal::new(Error::Protocol(what), Retry::Never);
    let head: Head<'_> = fanfare_json::from_str(text).map_err(|e| unexpected(e.to_string()))?;
    match head.kind.as_ref() {
        "welcome" => fanfare_json::from_str(text).map_err(|e| unexpected(e.to_string())),
        "error" => {
            let error: ServerError = fanfare_json::from_str(text).map_err(|e| unexpected(e.to_string()))?;
            Err(Refusal::new(Error::Server(error), Retry::Later))
        }
        other => Err(unexpected(format!("{other} before the welcome"))),
    }
}

/// The meaning of a failed upgrade. A 401 to a resume only means that this session has ended; without one, the
/// credential is invalid.
fn refused(error: WsError, resuming: bool) -> Refusal {
    match error {
        WsError::Http(response) => {
            let status = response.status();
            let retry = match status {
                StatusCode::UNAUTHORIZED if resuming => Retry::Now,
                StatusCode::TOO_MANY_REQUESTS => Retry::Later,
                status if status.is_server_error() => Retry::Later,
                _ => Retry::Never,
            };
            let session_gone = resuming && status == StatusCode::UNAUTHORIZED;
            Refusal { error: Error::Refused(status.as_u16()), retry, session_gone }
        }
        WsError::Url(e) => Refusal::new(Error::Url(e.to_string()), Retry::Never),
        e => Refusal::new(Error::Connect(e.to_string()), Retry::Now),
    }
}

pub(crate) fn close_reason(frame: Option<CloseFrame>) -> CloseReason {
    match frame {
        Some(frame) => CloseReason { code: Some(frame.code.into()), reason: frame.reason.to_string() },
        None => CloseReason { code: None, reason: "closed without a code".into() },
    }
}
