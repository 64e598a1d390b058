//! What administrators see of connections and do to them: a post for every shard, whose answers the caller gathers.

use super::Driver;
use super::conn::Language;
use crate::connection_id::opened_at;
use crate::posts::ConnectionInfo;
use fanfare_core::model::End;

impl Driver {
    pub(super) fn connections(&self, after: Option<u64>, limit: usize) -> Vec<ConnectionInfo> {
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
            user: conn.login.as_ref().map(|l| l.principal().username.clone()),
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

    pub(super) fn end_serial(&mut self, serial: u64, why: End) -> bool {
        let slot = self.conns.iter().position(|conn| conn.is_open() && conn.serial == serial);
        if let Some(slot) = slot {
            self.end(slot as u32, why);
        }
        slot.is_some()
    }
}
