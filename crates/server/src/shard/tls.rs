//! TLS under a slot: rustls between the hub's bytes and the socket.
//!
//! **Sending.** Plaintext is encrypted a record (at most 16 KiB) at a time and written at once; the next record is made
//! only when the kernel took all of the one before. So one record's ciphertext at most waits inside a connection, much
//! like the kernel's own buffer but smaller, and [`Tls::unsent`] says how many bytes that is.
//!
//! What is encrypted must reach the wire, so for TLS "taken" means encrypted. But the hub watches for room and counts a
//! connection as drained by what was *not* taken, so a send whose ciphertext is stuck must not claim everything. It
//! holds one byte back: the last one of what it was given, encrypted and not yet answered for. This is sound because
//!
//! - whatever is given ends where a frame ends, and a frame has at least two bytes, so the byte held back belongs to a
//!   frame of which a part has left, and such a frame the hub never drops, cuts short or overtakes (`hub/outbox.rs`);
//! - therefore the next bytes given begin with just that byte; it is skipped as soon as the ciphertext has left;
//! - as long as it is held the hub's queue is not empty: it watches for room, its write deadline runs, and it does not
//!   report the end of the queue (`Effect::Drained`), after which the socket may be closed.
//!
//! A record that ends inside what was given needs no such thing: the rest stays with the hub anyway.
//!
//! **Receiving.** Ciphertext is read into the upper part of the shard's buffer and plaintext written from its start. The
//! plaintext of everything read is smaller than the ciphertext it came from, and rustls keeps less than one record from
//! earlier reads, so with [`CARRY`] bytes between them neither runs into the other. rustls is always emptied: bytes
//! decrypted and not handed on would be invisible to a level-triggered epoll.

use super::sockets::{Received, receive, send, send_pieces};
use fanfare_core::ports::Sent;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

/// Plaintext of one record at most (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;
/// At least the longest record with its header and all its expansion (RFC 5246 section 6.2.3).
const CARRY: usize = 20 * 1024;

/// The TLS side of one connection.
#[derive(Debug)]
pub(crate) struct Tls {
    session: Box<ServerConnection>,
    /// The last byte given is encrypted and not yet answered for.
    held: bool,
    /// The peer has said that it sends no more.
    ended: bool,
    /// Bytes of ciphertext that the kernel has not taken.
    unsent: u32,
}

/// What became of the ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    All,
    Some,
    Broken,
}

impl Tls {
    pub(crate) fn new(mut session: Box<ServerConnection>) -> Self {
        let ended = session.process_new_packets().is_ok_and(|state| state.peer_has_closed());
        Self { session, held: false, ended, unsent: 0 }
    }

    /// Bytes of ciphertext that the kernel has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent as usize
    }

    /// Whether the peer has said that it sends no more, and everything before that was handed on.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// As [`Wire::send_vectored`](fanfare_core::ports::Wire::send_vectored); see the module's head for what is answered.
    pub(crate) fn send(&mut self, stream: &TcpStream, pieces: &[IoSlice<'_>]) -> Sent {
        match self.flush(stream) {
            Flushed::All => {}
            Flushed::Some => return Sent::Bytes(0),
            Flushed::Broken => return Sent::Broken,
        }
        let given: usize = pieces.iter().map(|p| p.len()).sum();
        let mut taken = usize::from(std::mem::take(&mut self.held)).min(given);
        while taken < given {
            match self.encrypt(pieces, taken) {
                Ok(0) => break,
                Ok(n) => taken += n,
                Err(_) => return Sent::Broken,
            }
            match self.flush(stream) {
                Flushed::All => {}
                Flushed::Some if taken == given => {
                    self.held = true;
                    return Sent::Bytes(taken - 1);
                }
                Flushed::Some => break,
                Flushed::Broken => return Sent::Broken,
            }
        }
        Sent::Bytes(taken)
    }

    /// Makes one record of what follows the first `skip` bytes; how many it holds.
    fn encrypt(&mut self, pieces: &[IoSlice<'_>], skip: usize) -> io::Result<usize> {
        let mut writer = self.session.writer();
        if let [piece] = pieces {
            let rest = &piece[skip..];
            return writer.write(&rest[..rest.len().min(RECORD)]);
        }
        let (mut skip, mut room) = (skip, RECORD);
        let mut record = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let from = skip.min(piece.len());
            skip -= from;
            let rest = &piece[from..];
            let rest = &rest[..rest.len().min(room)];
            room -= rest.len();
            if !rest.is_empty() {
                record.push(IoSlice::new(rest));
            }
        }
        writer.write_vectored(&record)
    }

    fn flush(&mut self, stream: &TcpStream) -> Flushed {
        while self.session.wants_write() {
            let mut out = Out { stream, offered: 0 };
            let result = self.session.write_tls(&mut out);
            let offered = out.offered;
            let sent = match result {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Flushed::Broken,
            };
            self.unsent = (offered - sent) as u32;
            if sent < offered {
                return Flushed::Some;
            }
        }
        self.unsent = 0;
        Flushed::All
    }

    /// Reads what is there, decrypts all of it, and answers what rustls has to answer.
    pub(crate) fn receive(&mut self, stream: &TcpStream, buffer: &mut [u8]) -> Received {
        if self.ended {
            return Received::End;
        }
        let read = match receive(stream, &mut buffer[CARRY..]) {
            Received::Bytes(n) => n,
            other => return other,
        };
        let Ok(plain) = self.decrypt(buffer, CARRY + read) else {
            // The alert that says why; the connection ends whether it leaves or not.
            let _alert = self.flush(stream);
            return Received::Broken;
        };
        // A renewed key, an alert. What does not leave now leaves before the next frame.
        if self.flush(stream) == Flushed::Broken {
            return Received::Broken;
        }
        match plain {
            0 if self.ended => Received::End,
            0 => Received::Nothing,
            n => Received::Bytes(n),
        }
    }

    /// Decrypts `buffer[CARRY..end]`; how many bytes of plaintext are at the buffer's start.
    fn decrypt(&mut self, buffer: &mut [u8], end: usize) -> Result<usize, rustls::Error> {
        let general = |e: io::Error| rustls::Error::General(e.to_string());
        let (mut at, mut plain) = (CARRY, 0);
        while at < end && !self.ended {
            match self.session.read_tls(&mut &buffer[at..end]).map_err(general)? {
                0 => return Err(rustls::Error::General("a record of impossible length".into())),
                n => at += n,
            }
            self.ended = self.session.process_new_packets()?.peer_has_closed();
            plain += drain(&mut self.session, &mut buffer[plain..at]).map_err(general)?;
        }
        Ok(plain)
    }

    /// Says that nothing more comes, as far as the kernel takes it now.
    pub(crate) fn say_goodbye(&mut self, stream: &TcpStream) {
        self.session.send_close_notify();
        let _best_effort = self.flush(stream);
    }
}

/// Moves decrypted bytes out of rustls; how many.
fn drain(session: &mut ServerConnection, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match session.reader().read(&mut buffer[filled..]) {
            Ok(0) => return Ok(filled),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(filled),
            Err(error) => return Err(error),
        }
    }
}

/// Appends what a session has decrypted and not handed on.
///
/// # Errors
/// When the peer's side has ended without a goodbye.
pub(crate) fn decrypted(session: &mut ServerConnection, into: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 1024];
    loop {
        match drain(session, &mut chunk)? {
            0 => return Ok(()),
            n => into.extend_from_slice(&chunk[..n]),
        }
    }
}

/// The socket as rustls writes to it; notes how much rustls had to write.
struct Out<'a> {
    stream: &'a TcpStream,
    offered: usize,
}

fn as_io(sent: Sent, offered: usize) -> io::Result<usize> {
    match sent {
        Sent::Bytes(0) if offered > 0 => Err(ErrorKind::WouldBlock.into()),
        Sent::Bytes(n) => Ok(n),
        Sent::Broken => Err(ErrorKind::BrokenPipe.into()),
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offered = bytes.len();
        as_io(send(self.stream, bytes), self.offered)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.write(piece);
        }
        self.offered = pieces.iter().map(|p| p.len()).sum();
        as_io(send_pieces(self.stream, pieces), self.offered)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
