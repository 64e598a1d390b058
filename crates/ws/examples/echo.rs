//! An echo server on the codec alone, with threads and blocking sockets. The Autobahn suite runs against it, and it is
//! the shortest example of a driver.
//!
//! `cargo run --release -p fanfare-ws --example echo -- 127.0.0.1:9001` (port 0 selects a free one). It prints its
//! address, then serves until it is stopped.

use fanfare_ws::handshake::{self, DeflateParams, Options};
use fanfare_ws::{Decoder, Event, Limits, OpCode, ProtocolError, deflate, encode};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Size of the read buffer.
const READ_BYTES: usize = 64 * 1024;

/// Longest request head that is read.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// The suite's largest messages are 16 MiB, some of them in fragments of 64 bytes.
const LIMITS: Limits = Limits {
    max_message_bytes: 16 << 20,
    max_frame_bytes: 16 << 20,
    max_unfinished_bytes: 32 << 20,
    max_inflated_bytes: 16 << 20,
    deflate: false,
};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address)?;
    writeln!(io::stdout().lock(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, peer) = listener.accept()?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                // A client may disconnect without a close frame; that is normal and only logged.
                let _ = writeln!(io::stderr().lock(), "{peer}: {error}");
            }
        });
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some((compression, early)) = upgrade(&mut stream)? else { return Ok(()) };
    let mut echo = Echo {
        decoder: Decoder::default(),
        limits: Limits { deflate: compression.is_some(), ..LIMITS },
        compression,
        out: Vec::new(),
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut end = early.len();
    buffer[..end].copy_from_slice(&early);
    loop {
        let open = echo.answer(&mut buffer[..end]);
        stream.write_all(&echo.out)?;
        echo.out.clear();
        if !open {
            return linger(stream, &mut buffer);
        }
        end = stream.read(&mut buffer)?;
        if end == 0 {
            return Ok(());
        }
    }
}

/// One connection after the handshake.
struct Echo {
    decoder: Decoder,
    limits: Limits,
    compression: Option<DeflateParams>,
    out: Vec<u8>,
}

impl Echo {
    /// Handles all events of one read; returns false when the connection has ended.
    fn answer(&mut self, input: &mut [u8]) -> bool {
        let mut at = 0;
        loop {
            let out = &mut self.out;
            match self.decoder.next(&mut input[at..], &self.limits) {
                Ok(step) => {
                    at += step.consumed;
                    match step.event {
                        Some(Event::Text(text)) => send(out, OpCode::Text, text.as_bytes(), self.compression),
                        Some(Event::Binary(bytes)) => send(out, OpCode::Binary, bytes, self.compression),
                        Some(Event::Ping(payload)) => encode::pong_into(out, payload),
                        Some(Event::Pong(_)) => {}
                        Some(Event::Close(Some(code), _)) => {
                            encode::close_into(out, code, "");
                            return false;
                        }
                        Some(Event::Close(None, _)) => {
                            encode::empty_close_into(out);
                            return false;
                        }
                        None => return true,
                    }
                }
                Err(ProtocolError { close, reason }) => {
                    encode::close_into(out, close, reason);
                    return false;
                }
            }
        }
    }
}

fn send(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], compression: Option<DeflateParams>) {
    match compression {
        Some(params) => {
            deflate::frame_into(out, opcode, payload, params.window());
        }
        None => encode::frame_into(out, opcode, payload),
    }
}

/// Reads the request and sends the response. Returns the agreed compression and the bytes the client sent after its
/// request.
fn upgrade(stream: &mut TcpStream) -> io::Result<Option<(Option<DeflateParams>, Vec<u8>)>> {
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk)?;
        if read == 0 || request.len() > MAX_REQUEST_BYTES {
            return Ok(None);
        }
        request.extend_from_slice(&chunk[..read]);
    };
    let early = request.split_off(head);
    let headers: Vec<(String, &[u8])> = request
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase(), &line[colon + 1..]))
        })
        .collect();
    let values = |name: &'static str| headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| *value);
    match handshake::check(values, &Options { protocols: &[], deflate: true }) {
        Ok(accepted) => {
            let key = accepted.accept_key;
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n"
            )?;
            if let Some(params) = accepted.deflate {
                write!(stream, "Sec-WebSocket-Extensions: {params}\r\n")?;
            }
            stream.write_all(b"\r\n")?;
            Ok(Some((accepted.deflate, early)))
        }
        Err(error) => {
            let status = error.status();
            write!(stream, "HTTP/1.1 {status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n")?;
            if let Some((name, value)) = error.header() {
                write!(stream, "{name}: {value}\r\n")?;
            }
            stream.write_all(b"\r\n")?;
            Ok(None)
        }
    }
}

/// Waits until the client has read the last frame: closing with unread input would reset the connection.
fn linger(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    while matches!(stream.read(buffer), Ok(1..)) {}
    Ok(())
}
