//! The sockets of a shard by slot, and the only place that writes to them.
//!
//! The transport of a connection is a seam: everything above sees [`Wire`] and [`Sockets::receive`].

use fanfare_core::ports::{Sent, Wire};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::io::IoSlice;
use std::net::TcpStream;

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes are at the buffer's start.
    Bytes(usize),
    /// Nothing is there for now.
    Nothing,
    /// The peer will send no more.
    End,
    /// The connection is broken.
    Broken,
}

/// Non-blocking TCP sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    streams: Vec<Option<TcpStream>>,
}

impl Sockets {
    pub(crate) fn put(&mut self, slot: u32, stream: TcpStream) {
        let slot = slot as usize;
        if self.streams.len() <= slot {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot] = Some(stream);
    }

    pub(crate) fn take(&mut self, slot: u32) -> Option<TcpStream> {
        self.streams.get_mut(slot as usize)?.take()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&TcpStream> {
        self.streams.get(slot as usize)?.as_ref()
    }

    pub(crate) fn receive(&self, slot: u32, buffer: &mut [u8]) -> Received {
        let Some(stream) = self.get(slot) else { return Received::Broken };
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

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        let Some(stream) = self.get(slot) else { return Sent::Broken };
        loop {
            if let Some(sent) = outcome(rustix::net::send(stream, bytes, flags())) {
                return sent;
            }
        }
    }

    fn send_vectored(&mut self, slot: u32, pieces: &[IoSlice<'_>]) -> Sent {
        let Some(stream) = self.get(slot) else { return Sent::Broken };
        loop {
            let result = rustix::net::sendmsg(stream, pieces, &mut SendAncillaryBuffer::default(), flags());
            if let Some(sent) = outcome(result) {
                return sent;
            }
        }
    }
}
