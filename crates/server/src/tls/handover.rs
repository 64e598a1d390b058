//! The handover from HTTP: the bare socket of an upgraded connection, with or without TLS, and the bytes read ahead.

use crate::listen::Socket;
use crate::shard::decrypted;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ServerConnection;
use std::io;
use std::net::TcpStream;

type Encrypted = tokio_rustls::server::TlsStream<Socket>;

/// A socket that leaves HTTP.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Non-blocking.
    pub(crate) stream: TcpStream,
    /// The TLS session; no decrypted bytes are left in it.
    pub(crate) tls: Option<Box<ServerConnection>>,
    /// Bytes that followed the upgrade request.
    pub(crate) early: Vec<u8>,
}

/// Takes the socket out of an upgraded connection.
///
/// # Errors
/// When the runtime or the TLS session does not release it.
pub(crate) fn handover(upgraded: Upgraded) -> io::Result<Handover> {
    let upgraded = match upgraded.downcast::<TokioIo<Socket>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_inner().into_std()?;
            return Ok(Handover { stream, tls: None, early: parts.read_buf.to_vec() });
        }
        Err(upgraded) => upgraded,
    };
    let parts = upgraded
        .downcast::<TokioIo<Box<Encrypted>>>()
        .map_err(|_| io::Error::other("an upgraded connection is of no known kind"))?;
    let (stream, session) = parts.io.into_inner().into_inner();
    let mut session = Box::new(session);
    let mut early = parts.read_buf.to_vec();
    decrypted(&mut session, &mut early)?;
    Ok(Handover { stream: stream.into_inner().into_std()?, tls: Some(session), early })
}
