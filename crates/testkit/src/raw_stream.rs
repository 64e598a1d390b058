//! A TCP connection and what was read of it, with a deadline for every wait.

use crate::raw_http::{Answer, Head};
use crate::tls;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::{ClientConfig, ClientConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for the peer to take what is written.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where to connect to, and how.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    to: SocketAddr,
    from: Ipv4Addr,
    receive_buffer: Option<usize>,
    tls: Option<&'static Arc<ClientConfig>>,
}

impl From<SocketAddr> for Endpoint {
    fn from(to: SocketAddr) -> Self {
        Self { to, from: Ipv4Addr::LOCALHOST, receive_buffer: None, tls: None }
    }
}

impl Endpoint {
    /// From this address of 127.0.0.0/8.
    #[must_use]
    pub fn from_address(mut self, last: u8) -> Self {
        self.from = Ipv4Addr::new(127, 0, 0, last);
        self
    }

    /// With TLS that takes any certificate.
    #[must_use]
    pub fn tls(self) -> Self {
        self.tls_as(tls::anyone())
    }

    /// With TLS as this configuration says.
    #[must_use]
    pub fn tls_as(mut self, config: &'static Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// With so little room in the kernel that a reader who does not read is noticed soon.
    #[must_use]
    pub fn narrow(mut self) -> Self {
        self.receive_buffer = Some(4096);
        self
    }
}

/// A TCP connection with what was read and not yet taken.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    tls: Option<Box<ClientConnection>>,
    /// The peer said goodbye within TLS.
    goodbye: bool,
}

impl Stream {
    /// Connects.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn connect(to: impl Into<Endpoint>) -> Self {
        Self::try_connect(&to.into()).expect("a connection")
    }

    pub(crate) fn try_connect(to: &Endpoint) -> Option<Self> {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .expect("a socket");
        if let Some(bytes) = to.receive_buffer {
            sockopt::set_socket_recv_buffer_size(&socket, bytes).expect("a buffer size");
        }
        let from = SocketAddr::new(IpAddr::V4(to.from), 0);
        rustix::net::bind(&socket, &from).expect("a loopback address");
        rustix::net::connect(&socket, &to.to).ok()?;
        let mut tcp = TcpStream::from(socket);
        tcp.set_nodelay(true).expect("a TCP socket");
        tcp.set_write_timeout(Some(PATIENCE)).expect("a TCP socket");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let tls = match to.tls {
            Some(config) => Some(tls::handshake(config, to.to, &mut tcp)?),
            None => None,
        };
        Some(Self { tcp, buffer: Vec::new(), at: 0, ended: false, tls, goodbye: false })
    }

    /// Writes all of it.
    ///
    /// # Panics
    /// When the peer is gone.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        assert!(self.try_write(bytes), "the peer takes it");
    }

    /// Writes as much as the peer takes before it is gone; says whether it took all.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        match &mut self.tls {
            Some(session) => self.tcp.write_all(&tls::seal(session, bytes)).is_ok(),
            None => self.tcp.write_all(bytes).is_ok(),
        }
    }

    /// The TLS session.
    ///
    /// # Panics
    /// When the connection is plain.
    pub fn session(&mut self) -> &mut ClientConnection {
        self.tls.as_mut().expect("a connection with TLS")
    }

    /// What [`Stream::write`] would write, for [`Stream::writer`] to write in its own way.
    pub fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        tls::seal(self.session(), bytes)
    }

    /// Writes what the session has to say of its own.
    ///
    /// # Panics
    /// When the peer is gone.
    pub fn flush(&mut self) {
        let bytes = tls::ciphertext(self.session());
        self.tcp.write_all(&bytes).expect("the peer takes it");
    }

    /// Whether the peer said goodbye within TLS before the stream ended.
    pub fn heard_goodbye(&self) -> bool {
        self.goodbye
    }

    /// Another handle of the same connection, for a thread that only writes.
    ///
    /// # Panics
    /// When no descriptor is left.
    pub fn writer(&self) -> TcpStream {
        self.tcp.try_clone().expect("a descriptor")
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _gone = self.tcp.shutdown(Shutdown::Write);
    }

    /// What was read and not taken.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        let taken = self.rest()[..n].to_vec();
        self.at += n;
        if self.at > 64 * 1024 || self.at == self.buffer.len() {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        taken
    }

    /// Reads once; false at the end of the stream.
    ///
    /// # Panics
    /// When nothing comes before `deadline`.
    #[track_caller]
    pub(crate) fn fill(&mut self, deadline: Instant) -> bool {
        assert!(self.fill_or_timeout(deadline), "nothing came in time");
        !self.ended
    }

    /// Reads once; false when nothing came before `deadline`.
    pub(crate) fn fill_or_timeout(&mut self, deadline: Instant) -> bool {
        if self.ended {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.tcp.set_read_timeout(Some(left)).expect("a TCP socket");
        let mut chunk = [0; 16 * 1024];
        match self.tcp.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(n) => match &mut self.tls {
                None => self.buffer.extend_from_slice(&chunk[..n]),
                Some(session) => match tls::open(session, &chunk[..n], &mut self.buffer) {
                    Ok(goodbye) => self.goodbye |= goodbye,
                    Err(_broken) => self.ended = true,
                },
            },
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_reset) => self.ended = true,
        }
        true
    }

    /// Throws away what comes until the stream ends.
    ///
    /// # Panics
    /// When it does not within `within`.
    #[track_caller]
    pub fn expect_end(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.fill(deadline) {
            self.buffer.clear();
            self.at = 0;
        }
    }

    /// Whether the stream has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads a head; `None` when the stream ends before one is complete.
    #[track_caller]
    pub(crate) fn read_head(&mut self, deadline: Instant) -> Option<Head> {
        loop {
            if let Some(end) = self.rest().windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.take(end + 4);
                return Some(Head::parse(&head[..end]));
            }
            if !self.fill(deadline) {
                return None;
            }
        }
    }

    /// Reads the head of an answer; `None` when the stream ends before one is complete.
    ///
    /// # Panics
    /// When it takes longer than `within`.
    #[track_caller]
    pub fn read_head_within(&mut self, within: Duration) -> Option<Head> {
        self.read_head(Instant::now() + within)
    }

    /// Reads an answer with its body; `None` when the stream ends without one.
    ///
    /// # Panics
    /// When it takes longer than `within`.
    #[track_caller]
    pub fn read_answer(&mut self, within: Duration) -> Option<Answer> {
        let deadline = Instant::now() + within;
        let head = self.read_head(deadline)?;
        let length = head.get("content-length").and_then(|v| v.parse::<usize>().ok());
        let chunked = head.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
        let want = if matches!(head.status, 101 | 204 | 304) { Some(0) } else { length };
        while want.is_none_or(|want| self.rest().len() < want) && self.fill(deadline) {}
        let raw = self.take(want.unwrap_or(usize::MAX).min(self.rest().len()));
        let body = if chunked { unchunk(&raw) } else { raw };
        Some(Answer { status: head.status, head, body })
    }
}

fn unchunk(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&raw[..end]).trim(), 16).expect("a size");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = &raw[end + 4 + size..];
    }
    body
}
