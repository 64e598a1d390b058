use super::*;
use fanfare_testkit::tls::anyone;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, StreamOwned};
use std::net::TcpListener;
use std::sync::Arc;

type Peer = StreamOwned<ClientConnection, TcpStream>;

/// A server's side with little room in the kernel, and its peer.
fn pair() -> (Tls, TcpStream, Peer) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut stream = listener.accept().unwrap().0;
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 4096).unwrap();
    let mut session = ServerConnection::new(Arc::new(config)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut peer = StreamOwned::new(ClientConnection::new(anyone().clone(), name).unwrap(), client);
    let shaking = std::thread::spawn(move || {
        while peer.conn.is_handshaking() {
            peer.conn.complete_io(&mut peer.sock).unwrap();
        }
        peer
    });
    while session.is_handshaking() {
        session.complete_io(&mut stream).unwrap();
    }
    let peer = shaking.join().unwrap();
    peer.sock.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    (Tls::new(Box::new(session)), stream, peer)
}

/// Frames of all sizes, each of at least two bytes, and where they end.
fn frames(bytes: usize) -> (Vec<u8>, Vec<usize>) {
    let (mut all, mut ends) = (Vec::new(), vec![0]);
    while all.len() < bytes {
        let size = 2 + ends.len() * 977 % 40_000;
        all.extend((0..size).map(|i| (ends.len() * 31 + i) as u8));
        ends.push(all.len());
    }
    (all, ends)
}

#[test]
fn nothing_is_claimed_that_the_kernel_lacks_and_nothing_is_sent_twice() {
    let (mut tls, stream, mut peer) = pair();
    let (all, ends) = frames(3_000_000);
    let total = all.len();
    // The peer reads once the socket was full, however fast it is.
    let (full, was_full) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        was_full.recv().unwrap();
        let mut got = vec![0; total];
        peer.read_exact(&mut got).unwrap();
        (got, peer)
    });
    let (mut at, mut held) = (0, 0);
    while at < all.len() {
        // As the hub gives it: whole frames, some at once, from where the last send ended.
        let next: Vec<usize> = ends.iter().copied().filter(|end| *end > at).take(1 + at % 5).collect();
        let starts = std::iter::once(at).chain(next.iter().copied());
        let pieces: Vec<_> = starts.zip(&next).map(|(from, to)| IoSlice::new(&all[from..*to])).collect();
        let given = next[next.len() - 1] - at;
        let Sent::Bytes(n) = tls.send(&stream, &pieces) else { panic!("broken at {at}") };
        if n == given {
            assert_eq!(tls.unsent(), 0, "all taken, and ciphertext waits");
        }
        assert!(tls.unsent() <= RECORD + 1024, "one record waits at most");
        at += n;
        if tls.held {
            held += 1;
            assert!(!ends.contains(&at) && ends.contains(&(at + 1)), "a frame under way lacks its last byte");
        }
        if n < given {
            let _reads = full.send(());
            std::thread::yield_now();
        }
    }
    let (got, _peer) = reading.join().unwrap();
    assert!(got == all, "every byte once, in order");
    assert!(held > 0, "the socket was never full: this test saw nothing");
}

#[test]
fn all_records_of_a_read_are_handed_on() {
    let (mut tls, stream, mut peer) = pair();
    for n in 0..200_u8 {
        peer.conn.writer().write_all(&[n; 100]).unwrap();
    }
    peer.conn.send_close_notify();
    peer.conn.complete_io(&mut peer.sock).unwrap();
    let (mut buffer, mut got) = (vec![0; 64 * 1024], Vec::new());
    while !tls.has_ended() {
        if let Received::Bytes(n) = tls.receive(&stream, &mut buffer) {
            got.extend_from_slice(&buffer[..n]);
        }
    }
    assert_eq!(got, (0..200_u8).flat_map(|n| [n; 100]).collect::<Vec<_>>());
    assert_eq!(tls.receive(&stream, &mut buffer), Received::End);
}

#[test]
fn a_full_buffer_of_the_largest_records_fits() {
    let (mut tls, stream, mut peer) = pair();
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| n as u8).collect();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || peer.write_all(&sent).map(|()| peer).unwrap());
    let (mut buffer, mut got) = (vec![0; 64 * 1024], Vec::new());
    while got.len() < expected.len() {
        match tls.receive(&stream, &mut buffer) {
            Received::Bytes(n) => got.extend_from_slice(&buffer[..n]),
            Received::Nothing => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
    assert!(got == expected);
    drop(writing.join());
}

#[test]
fn an_end_without_a_goodbye_is_an_end() {
    let (mut tls, stream, peer) = pair();
    peer.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut received = Received::Nothing;
    while received == Received::Nothing {
        received = tls.receive(&stream, &mut buffer);
    }
    assert_eq!(received, Received::End);
    assert!(!tls.has_ended(), "the kernel says so, not the peer");
}
