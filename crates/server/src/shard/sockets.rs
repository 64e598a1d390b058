//! The sockets of a shard by slot, and the only place that writes to them.
//!
//! Everything above sees [`Wire`] and [`Sockets::receive`]; below there are two transports. A plain slot is its
//! descriptor, four bytes, and one call of the kernel each way. A slot with TLS has a boxed [`Tls`] beside it, in a list
//! that stays empty, and so costs one comparison, where no connection uses TLS.

use super::tls::Tls;
use fanfare_core::ports::{Sent, Wire};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use rustls::ServerConnection;
use std::io::IoSlice;
use std::net::TcpStream;

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This number of bytes is at the buffer's start.
    Bytes(usize),
    /// Nothing is there for now.
    Nothing,
    /// The peer will send no more.
    End,
    /// The connection is broken.
    Broken,
}

/// Non-blocking TCP sockets, some of them with TLS.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    streams: Vec<Option<TcpStream>>,
    tls: Vec<Option<Box<Tls>>>,
    /// Ciphertext of all slots that the kernel has not taken.
    unsent: usize,
}

/// Sets an element of a list that grows to hold it.
fn put<T>(list: &mut Vec<Option<T>>, slot: u32, value: T) {
    let slot = slot as usize;
    if list.len() <= slot {
        list.resize_with(slot + 1, || None);
    }
    list[slot] = Some(value);
}

impl Sockets {
    /// Gives a slot its socket and, where it has TLS, the session that the handshake made.
    pub(crate) fn put(&mut self, slot: u32, stream: TcpStream, session: Option<Box<ServerConnection>>) {
        put(&mut self.streams, slot, stream);
        if let Some(session) = session {
            put(&mut self.tls, slot, Box::new(Tls::new(session)));
        }
    }

    /// Takes a slot's socket away; with TLS the peer is sent a close notification first.
    pub(crate) fn take(&mut self, slot: u32) -> Option<TcpStream> {
        let stream = self.streams.get_mut(slot as usize)?.take();
        if let (Some(stream), Some(mut tls)) =
            (&stream, self.tls.get_mut(slot as usize).and_then(Option::take))
        {
            self.unsent -= tls.unsent();
            tls.say_goodbye(stream);
        }
        stream
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&TcpStream> {
        self.streams.get(slot as usize)?.as_ref()
    }

    /// Reads once what is there. The buffer is at least [`READ_BYTES`](super::READ_BYTES) long.
    pub(crate) fn receive(&mut self, slot: u32, buffer: &mut [u8]) -> Received {
        match self.with_tls(slot, |tls, stream| tls.receive(stream, buffer)) {
            Some(received) => received,
            None => self.get(slot).map_or(Received::Broken, |stream| receive(stream, buffer)),
        }
    }

    /// Whether the peer of a TLS connection has ended its stream, which epoll does not report.
    pub(crate) fn has_ended(&self, slot: u32) -> bool {
        self.tls.get(slot as usize).and_then(Option::as_ref).is_some_and(|tls| tls.has_ended())
    }

    /// Bytes of a slot that wait below the hub.
    pub(crate) fn unsent(&self, slot: u32) -> usize {
        self.tls.get(slot as usize).and_then(Option::as_ref).map_or(0, |tls| tls.unsent())
    }

    /// Bytes of all slots that wait below the hub.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.unsent
    }

    /// Does something with a slot that has TLS, and keeps the sum of what waits.
    fn with_tls<T>(&mut self, slot: u32, act: impl FnOnce(&mut Tls, &TcpStream) -> T) -> Option<T> {
        let tls = self.tls.get_mut(slot as usize)?.as_mut()?;
        let stream = self.streams.get(slot as usize)?.as_ref()?;
        let before = tls.unsent();
        let result = act(tls, stream);
        self.unsent = self.unsent + tls.unsent() - before;
        Some(result)
    }
}

/// Never blocks and never raises SIGPIPE.
fn flags() -> SendFlags {
    SendFlags::DONTWAIT | SendFlags::NOSIGNAL
}

fn outcome(result: Result<usize, Errno>) -> Option<Sent> {
    match result {
        Ok(n) => Some(Sent::Bytes(n)),
        Err(Errno::INTR) => None,
        Err(Errno::AGAIN | Errno::NOBUFS) => Some(Sent::Bytes(0)),
        Err(_) => Some(Sent::Broken),
    }
}

/// One receive.
pub(super) fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Received {
    loop {
        return match rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::End,
            Ok((n, _)) => Received::Bytes(n),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Received::Nothing,
            Err(_) => Received::Broken,
        };
    }
}

/// One send.
pub(super) fn send(stream: &TcpStream, bytes: &[u8]) -> Sent {
    loop {
        if let Some(sent) = outcome(rustix::net::send(stream, bytes, flags())) {
            return sent;
        }
    }
}

/// One send of several pieces.
pub(super) fn send_pieces(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> Sent {
    loop {
        let result = rustix::net::sendmsg(stream, pieces, &mut SendAncillaryBuffer::default(), flags());
        if let Some(sent) = outcome(result) {
            return sent;
        }
    }
}

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        match self.with_tls(slot, |tls, stream| tls.send(stream, &[IoSlice::new(bytes)])) {
            Some(sent) => sent,
            None => self.get(slot).map_or(Sent::Broken, |stream| send(stream, bytes)),
        }
    }

    fn send_vectored(&mut self, slot: u32, pieces: &[IoSlice<'_>]) -> Sent {
        match self.with_tls(slot, |tls, stream| tls.send(stream, pieces)) {
            Some(sent) => sent,
            None => self.get(slot).map_or(Sent::Broken, |stream| send_pieces(stream, pieces)),
        }
    }
}
