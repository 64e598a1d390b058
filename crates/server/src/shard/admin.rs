//! What administrators see of connections and do to them: a task on every shard, gathered by the caller.

use super::conn::Language;
use super::{Driver, ToShard};
use crate::node::Node;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An open connection, for people.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its place in the order of opening.
    pub serial: u64,
    /// Name of whoever has logged in on it.
    pub user: Option<Arc<str>>,
    /// The code of its session; none before it has authenticated where that is asked for.
    pub session_code: Option<String>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// `User-Agent` of the handshake.
    pub user_agent: Option<Arc<str>>,
    /// `typed`, `jsonrpc`, or `undecided` before the first frame.
    pub dialect: &'static str,
    /// Topics it hears.
    pub topics: usize,
    /// Messages that wait for it to read.
    pub queued: usize,
    /// Milliseconds since 1970.
    pub connected_at: u64,
}

/// Digits of an id's text.
const ID_DIGITS: usize = 20;
/// Digits of an id's text that are its serial (`EventId`).
const SERIAL_DIGITS: usize = 13;

/// The serial in the id of a connection, of this node or another.
pub fn serial_in(id: &str) -> Option<u64> {
    digits(id).filter(|_| id.len() == ID_DIGITS)?;
    digits(id.get(..SERIAL_DIGITS)?)
}

/// The number in Crockford's base 32, lower case.
fn digits(text: &str) -> Option<u64> {
    let value = |c: u8| b"0123456789abcdefghjkmnpqrstvwxyz".iter().position(|digit| *digit == c);
    text.bytes().try_fold(0_u64, |sum, c| Some(sum << 5 | value(c)? as u64))
}

/// When a connection was opened, in milliseconds since 1970: `Node::next_serial` begins with it.
fn opened_at(serial: u64) -> u64 {
    serial >> 20
}

impl Node {
    /// The first `limit` open connections after a serial, in the order of opening, and whether there are more.
    pub async fn connections(&self, after: Option<u64>, limit: usize) -> (Vec<ConnectionInfo>, bool) {
        let mut all: Vec<ConnectionInfo> = Vec::new();
        for answer in self.ask_shards(move |driver| driver.connections(after, limit + 1)) {
            all.extend(answer.await.unwrap_or_default());
        }
        all.sort_unstable_by_key(|c| c.serial);
        let more = all.len() > limit;
        all.truncate(limit);
        (all, more)
    }

    /// Closes a connection by the text of its id. Says whether there was one.
    pub async fn close_connection(&self, id: &str, code: u16, reason: &'static str) -> bool {
        let Some(serial) = self.serial_of(id) else { return false };
        let mut found = false;
        for answer in self.ask_shards(move |driver| driver.close_serial(serial, code, reason)) {
            found |= answer.await.unwrap_or_default();
        }
        found
    }

    /// The serial in the text of a connection's id, if this node gave it.
    pub fn serial_of(&self, id: &str) -> Option<u64> {
        serial_in(id).filter(|serial| self.client_id(*serial) == id)
    }

    /// Runs a question on every shard. A shard that has ended does not answer.
    fn ask_shards<T: Send + 'static>(
        &self,
        ask: impl Fn(&mut Driver) -> T + Clone + Send + 'static,
    ) -> Vec<oneshot::Receiver<T>> {
        let one = |shard| {
            let (tell, told) = oneshot::channel();
            let ask = ask.clone();
            let task = move |driver: &mut Driver| {
                let _gone = tell.send(ask(driver));
            };
            self.post(shard, ToShard::Task(Box::new(task)));
            told
        };
        (0..self.topics.inboxes().len()).map(one).collect()
    }
}

impl Driver {
    fn connections(&self, after: Option<u64>, limit: usize) -> Vec<ConnectionInfo> {
        let is_after = |serial: u64| after.is_none_or(|after| serial > after);
        let open = |(slot, conn): (usize, &super::conn::Conn)| {
            (conn.is_open() && is_after(conn.serial)).then_some((conn.serial, slot as u32))
        };
        let mut found: Vec<_> = self.conns.iter().enumerate().filter_map(open).collect();
        if found.len() > limit {
            found.select_nth_unstable(limit);
            found.truncate(limit);
        }
        found.sort_unstable();
        found.into_iter().map(|(_, slot)| self.connection(slot)).collect()
    }

    fn connection(&self, slot: u32) -> ConnectionInfo {
        let conn = &self.conns[slot as usize];
        ConnectionInfo {
            serial: conn.serial,
            user: conn.login.as_ref().map(|l| l.principal.username.clone()),
            session_code: conn.session.map(|code| code.to_string()),
            ip: conn.permit.as_ref().map(crate::admission::Permit::address),
            user_agent: conn.login.as_ref().and_then(|l| l.facts.user_agent.clone()),
            dialect: match conn.language {
                Language::Undecided => "undecided",
                Language::Typed => "typed",
                Language::JsonRpc => "jsonrpc",
            },
            topics: self.hub.subscriptions(slot).count(),
            queued: self.hub.queued(slot).0,
            connected_at: opened_at(conn.serial),
        }
    }

    fn close_serial(&mut self, serial: u64, code: u16, reason: &'static str) -> bool {
        let slot = self.conns.iter().position(|conn| conn.is_open() && conn.serial == serial);
        if let Some(slot) = slot {
            self.hub.close_after(slot as u32, None, code, reason, &mut self.sockets);
        }
        slot.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_its_serial() {
        let serial = (1_790_000_000_000_u64 << 20) + 77;
        let text = fanfare_core::model::EventId { time: serial, node: 3 }.to_string();
        assert_eq!(digits(&text[..SERIAL_DIGITS]), Some(serial));
        assert_eq!(opened_at(serial), 1_790_000_000_000);
        for bad in ["", "i", "U", "é"] {
            assert!(bad.is_empty() || digits(bad).is_none(), "{bad}");
        }
    }
}
