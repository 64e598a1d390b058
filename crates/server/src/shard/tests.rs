//! A node with one shard in this process: what is posted to it, and panics of what runs on it.

use crate::node::Node;
use crate::posts::{ForAll, ForConn, NewConn, NewSession, Speaks, ToShard};
use crate::shard::Driver;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{Actor, AppKey, Caller, Grants, IssuerIdentity, Origin, Principal, Role, Scope};
use fanfare_core::session::SessionCode;
use fanfare_services::clock::unix_ms;
use fanfare_services::identity::Login;
use fanfare_services::ports::Sockets;
use fanfare_store::ChangedUser;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node with one shard on a thread of its own, which is not waited for.
fn node() -> Arc<Node> {
    let (node, bell) = crate::testing::node(|_| {});
    let driver = Driver::new(node.clone(), 0, bell).unwrap();
    std::thread::spawn(move || driver.run());
    node
}

/// Sends JSON to a session as the application's backend.
fn send(node: &Node, code: SessionCode, payload: Arc<str>) -> bool {
    let caller = Caller::Server(Arc::new(AppKey { name: "app".into(), scopes: vec![Scope::Sessions] }));
    let (origin, grants) = (Origin::default(), Grants::none());
    let actor = Actor { caller: &caller, origin: &origin, grants: &grants };
    node.services.sessions.send(&actor, &code.to_string(), payload).unwrap()
}

fn connect(node: &Arc<Node>, speaks: Speaks) -> (SessionCode, TcpStream) {
    arrive(node, speaks, None)
}

/// A connection whose upgrade was let in, with this user if any, reaches its shard.
fn arrive(node: &Arc<Node>, speaks: Speaks, login: Option<Box<Login>>) -> (SessionCode, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let stream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let opened = node.services.sessions.table().open(None, unix_ms()).unwrap();
    let session =
        NewSession { code: opened.code, generation: opened.generation, token: opened.token, resumed: false };
    let permit = node.admission.enter([127, 0, 0, 1].into(), false).unwrap();
    let (early, session) = (Vec::new(), Some(session));
    let new = NewConn {
        stream,
        tls: None,
        early,
        speaks,
        system: false,
        deflate: false,
        compress: false,
        session,
        login,
        agent: None,
        permit,
    };
    node.posts.post(0, ToShard::Open(Box::new(new)));
    (opened.code, client)
}

/// The payload of the next text frame.
fn frame(client: &mut TcpStream) -> String {
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x81);
    let mut len = u64::from(head[1]);
    if len == 126 {
        let mut long = [0; 2];
        client.read_exact(&mut long).unwrap();
        len = u64::from(u16::from_be_bytes(long));
    }
    let mut text = vec![0; len as usize];
    client.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_push_reaches_its_session_and_a_broadcast_everybody_in_their_own_dialect() {
    let node = node();
    let (code, mut typed) = connect(&node, Speaks::Typed);
    let (_, mut rpc) = connect(&node, Speaks::JsonRpc);
    assert!(frame(&mut typed).contains(&code.to_string()));
    assert!(frame(&mut rpc).contains("session.welcome"));
    assert!(send(&node, code, r#"{"to":"one"}"#.into()));
    node.posts.send_to_all(Arc::from(r#"["all"]"#));
    let first = frame(&mut typed);
    assert!(first.starts_with(r#"{"type":"session_message","payload":{"to":"one"}"#), "{first}");
    assert!(frame(&mut typed).starts_with(r#"{"type":"session_message","payload":["all"]"#));
    let only = frame(&mut rpc);
    assert!(
        only.starts_with(r#"{"jsonrpc":"2.0","method":"session.message","params":{"payload":["all"]"#),
        "{only}"
    );
    let gone = node.services.sessions.table().open(None, unix_ms()).unwrap();
    assert!(!send(&node, gone.code, "1".into()), "a session without a connection");
    typed.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    node.posts.post(0, ToShard::Finish);
}

fn zoe(token: u8, role: Role) -> Arc<Principal> {
    let issuer =
        IssuerIdentity { name: "shop".into(), claim: "zoe".into(), issued_at_s: None, token: [token; 32] };
    Arc::new(Principal {
        user_id: "u".into(),
        username: "shop:zoe".into(),
        role,
        session_id: "shop:zoe".into(),
        device_id: None,
        expires_at_ms: unix_ms() + 60_000,
        issuer: (token > 0).then_some(issuer),
    })
}

/// Whether a user who was let in is still there once on the shard.
fn stays(node: &Arc<Node>, login: Box<Login>) -> bool {
    let (code, mut client) = arrive(node, Speaks::Typed, Some(login));
    assert!(frame(&mut client).contains(&code.to_string()));
    client.write_all(&[0x81, 0x8f, 0, 0, 0, 0]).unwrap();
    client.write_all(br#"{"type":"ping"}"#).unwrap();
    let mut head = [0; 1];
    client.read_exact(&mut head).unwrap();
    head[0] == 0x81
}

/// What ends while an upgrade is on its way ends that connection too.
#[test]
fn an_upgrade_on_its_way_does_not_outlive_what_let_it_in() {
    let node = node();
    let enter = |principal: Arc<Principal>| node.services.users.enter(principal).unwrap();
    let (gone, kept) = (enter(zoe(1, Role::User)), enter(zoe(2, Role::User)));
    let issuer = gone.principal().issuer.clone().unwrap();
    node.runtime.block_on(node.services.sessions.end_token(gone.principal(), &issuer)).unwrap();
    assert!(!stays(&node, gone) && stays(&node, kept), "a logout ends one token");
    let changed = |role, disabled| ChangedUser { id: "u".into(), role, disabled, changed_at: 1 };
    let locked = enter(zoe(2, Role::User));
    node.services.sessions.user_changed(changed(Role::User, true));
    assert!(!stays(&node, locked), "locked out");
    node.services.sessions.user_changed(changed(Role::User, false));
    assert!(stays(&node, enter(zoe(2, Role::User))), "let in again");
    let demoted = enter(zoe(0, Role::Admin));
    node.services.sessions.user_changed(changed(Role::User, false));
    assert_eq!(node.services.sessions.with_current_role(demoted.principal().clone()).role, Role::User);
    node.posts.post(0, ToShard::Finish);
}

/// The address of a session's connection, once its shard has attached it.
fn address(node: &Node, code: SessionCode) -> ConnAddr {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(addr) = node.services.sessions.table().address(code) {
            return addr;
        }
        assert!(Instant::now() < deadline, "the session has no connection");
        std::thread::yield_now();
    }
}

/// Reads up to a close frame; its code.
fn close_code(client: &mut TcpStream) -> u16 {
    let mut head = [0; 4];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x88, "no close frame");
    u16::from_be_bytes([head[2], head[3]])
}

#[test]
fn a_panic_in_what_runs_for_a_connection_ends_it_and_no_other() {
    let node = node();
    let (code, mut one) = connect(&node, Speaks::Typed);
    let (other, mut two) = connect(&node, Speaks::Typed);
    let _welcomes = (frame(&mut one), frame(&mut two));
    let addr = address(&node, code);
    node.posts.post_for(addr, ForConn::Panic);
    assert_eq!(close_code(&mut one), 1011);
    assert!(send(&node, other, r#"{"still":"here"}"#.into()));
    let next = frame(&mut two);
    assert!(next.starts_with(r#"{"type":"session_message","payload":{"still":"here"}"#), "{next}");
    let (_, mut three) = connect(&node, Speaks::Typed);
    assert!(frame(&mut three).contains("welcome"), "the shard takes no new connection");
    node.posts.post(0, ToShard::Finish);
}

/// The counter-proof: without a connection to end, a panic ends the shard's thread, which is vital.
#[test]
fn a_panic_that_belongs_to_no_connection_leaves_the_thread() {
    let node = node();
    let (code, mut one) = connect(&node, Speaks::Typed);
    let _welcome = frame(&mut one);
    address(&node, code);
    node.posts.post(0, ToShard::ForAll(ForAll::Panic));
    // The thread of this node is a plain one: its sockets close as it unwinds.
    let mut rest = Vec::new();
    let _reset_or_end = one.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
}
