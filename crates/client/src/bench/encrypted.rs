//! TLS of one connection of the generator, on a non-blocking socket.

use std::io::{self, ErrorKind, Read as _, Write};
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Ciphertext bytes read from a socket at once.
const READ: usize = 64 << 10;

/// A client's side of TLS.
#[derive(Debug)]
pub(super) struct Encrypted(Box<ClientConnection>);

impl Encrypted {
    pub(super) fn new(config: &Arc<ClientConfig>, server: SocketAddrV4) -> Result<Self, rustls::Error> {
        let name = ServerName::IpAddress((*server.ip()).into());
        Ok(Self(Box::new(ClientConnection::new(Arc::clone(config), name)?)))
    }

    /// Whether bytes are left to write.
    pub(super) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Encrypts the contents of `out` and writes as much as the kernel accepts now.
    pub(super) fn write(&mut self, socket: &OwnedFd, out: &mut Vec<u8>) -> io::Result<()> {
        loop {
            // During the handshake rustls buffers it; beyond its limit it stays in `out`.
            let taken = if out.is_empty() { 0 } else { self.0.writer().write(out)? };
            out.drain(..taken);
            while self.0.wants_write() {
                match self.0.write_tls(&mut Out(socket)) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(e) => return Err(e),
                }
            }
            if taken == 0 {
                return Ok(());
            }
        }
    }

    /// Reads once and decrypts all of it into `buffer`, which has room for that; returns the number of bytes.
    pub(super) fn read(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, String> {
        let mut cipher = [0; READ];
        let read = match recv(socket, &mut cipher, RecvFlags::empty()) {
            Ok((0, _)) => return Err("the server hung up without a close frame".into()),
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(0),
            Err(e) => return Err(format!("read: {e}")),
        };
        let (mut rest, mut plain) = (&cipher[..read], 0);
        while !rest.is_empty() {
            self.0.read_tls(&mut rest).map_err(|e| format!("read: {e}"))?;
            let state = self.0.process_new_packets().map_err(|e| format!("TLS: {e}"))?;
            loop {
                match self.0.reader().read(&mut buffer[plain..]) {
                    Ok(0) => break,
                    Ok(n) => plain += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(format!("read: {e}")),
                }
            }
            if state.peer_has_closed() && plain == 0 {
                return Err("the server hung up without a close frame".into());
            }
        }
        Ok(plain)
    }
}

struct Out<'a>(&'a OwnedFd);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
