//! One connection of the generator, as small as possible: a socket, the stage of its handshake, the data of its role,
//! and unprocessed bytes. Both buffers are empty, hence unallocated, on an idle connection.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
    sockopt,
};

use super::encrypted::Encrypted;
use super::frame::{Masker, Opcode};
use super::peer::Role;
use super::sequence::Sequence;

/// Connections from one loopback address; the range of source ports (28 232 by default) holds more, but others use it, too.
const PER_SOURCE: usize = 16_000;

/// The stage of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Upgrading,
    /// Upgraded, nothing sent yet.
    Greeting,
    /// Has sent its greeting; waits for the response.
    Greeted,
    Ready,
    Gone,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: OwnedFd,
    pub(super) stage: Stage,
    pub(super) role: Role,
    /// Whether epoll watches for room to write.
    pub(super) watching_write: bool,
    /// Where the last frame had its stamp.
    pub(super) hint: u16,
    pub(super) topic: u32,
    pub(super) sequence: Sequence,
    /// Bytes of an incomplete frame.
    pub(super) partial: Vec<u8>,
    /// Bytes that the kernel has not accepted yet.
    pub(super) out: Vec<u8>,
    pub(super) tls: Option<Encrypted>,
}

impl Link {
    /// Starts to connect. `index` chooses the source address, so that no number of connections exhausts the ports.
    pub(super) fn open(
        server: SocketAddrV4,
        index: usize,
        role: Role,
        topic: u32,
    ) -> rustix::io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        let source = index / PER_SOURCE;
        if source > 0 && server.ip().is_loopback() {
            let low = u8::try_from(source + 1).map_err(|_| Errno::ADDRNOTAVAIL)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, low), 0))?;
        }
        match connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(e) => return Err(e),
        }
        Ok(Self {
            socket,
            stage: Stage::Connecting,
            role,
            watching_write: true,
            hint: 0,
            topic,
            sequence: Sequence::default(),
            partial: Vec::new(),
            out: Vec::new(),
            tls: None,
        })
    }

    /// Appends a frame to the output.
    pub(super) fn queue(&mut self, opcode: Opcode, payload: &[u8], masker: &mut Masker) {
        masker.append(opcode, payload, &mut self.out);
    }

    /// Writes as much as the kernel accepts now.
    pub(super) fn write(&mut self) -> std::io::Result<()> {
        if let Some(tls) = &mut self.tls {
            return tls.write(&self.socket, &mut self.out);
        }
        if self.out.is_empty() {
            return Ok(());
        }
        match send(&self.socket, &self.out, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                self.out.drain(..sent);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether bytes are left to write.
    pub(super) fn wants_write(&self) -> bool {
        !self.out.is_empty() || self.tls.as_ref().is_some_and(Encrypted::wants_write)
    }

    /// Reads once; returns the number of bytes, which may be zero.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        if let Some(tls) = &mut self.tls {
            return tls.read(&self.socket, buffer);
        }
        match recv(&self.socket, buffer, RecvFlags::empty()) {
            Ok((0, _)) => Err("the server hung up without a close frame".into()),
            Ok((read, _)) => Ok(read),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(e) => Err(format!("read: {e}")),
        }
    }
}
