//! The limit of open files, and how it is divided among connections.
//!
//! A server without free descriptors cannot even accept a probe, so the maximum numbers of sockets, HTTP connections
//! and probes together never exceed the limit of open files.

use crate::listen::RESERVE;
use fanfare_config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of the server itself: store, listeners, shards, feeds.
const OWN: usize = 64;
/// Maximum HTTP connections besides those that became sockets, if the file limit allows.
const HTTP: usize = 20_000;
/// Minimum HTTP connections that sockets leave room for.
const HTTP_LEAST: usize = 256;
/// Maximum HTTP connections on `server.ops_listen`.
const OPS: usize = 256;

/// Maximum open connections of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// WebSockets: `limits.max_connections`, or fewer.
    pub(crate) sockets: usize,
    /// HTTP connections on the public listeners.
    pub(crate) http: usize,
    /// Connections for probes, on each kind of listener.
    pub(crate) reserve: usize,
    /// HTTP connections on `server.ops_listen`.
    pub(crate) ops: usize,
}

impl Room {
    /// Divides the open files; warns when they do not suffice for `limits.max_connections`.
    pub(crate) fn within(files: Option<u64>, config: &Config) -> Self {
        let wanted = config.limits.max_connections;
        let has_ops = config.server.ops_listen.is_some();
        let room = files.map_or(Self { sockets: wanted, http: HTTP, reserve: RESERVE, ops: OPS }, |files| {
            Self::divide(usize::try_from(files).unwrap_or(usize::MAX), wanted, has_ops)
        });
        if room.sockets < wanted {
            tracing::warn!(
                limit = files.unwrap_or_default(),
                "the limit of open files is below limits.max_connections, so at most {} sockets are accepted; raise it with: \
                 ulimit -n {}",
                room.sockets,
                wanted + OWN + HTTP_LEAST + 2 * RESERVE + OPS
            );
        }
        room
    }

    fn divide(files: usize, wanted: usize, has_ops: bool) -> Self {
        let free = files.saturating_sub(OWN);
        let reserve = RESERVE.min(free / 8).max(1);
        let ops = if has_ops { OPS.min(free / 8) } else { 0 };
        let left = free.saturating_sub(ops + reserve * (1 + usize::from(has_ops)));
        let least = HTTP_LEAST.min(left / 3).max(1);
        let sockets = wanted.min(left.saturating_sub(least)).max(1);
        Self { sockets, http: HTTP.min(left.saturating_sub(sockets)).max(1), reserve, ops }
    }
}

/// Raises the soft limit of open files to the hard one; returns the limit in force, if there is one.
pub(crate) fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_fit_into_the_open_files() {
        for files in (100..3000).chain([10_000, 20_000, 100_000, 1 << 20]) {
            for (wanted, has_ops) in [(10, false), (1000, true), (10_000, false), (10_000, true)] {
                let room = Room::divide(files, wanted, has_ops);
                let probes = room.reserve * (1 + usize::from(has_ops));
                let all = OWN + room.sockets + room.http + room.ops + probes;
                assert!(all <= files, "{files} files, {wanted} wanted: {room:?}");
                assert!(room.sockets >= 1 && room.http >= 1 && room.reserve >= 1, "{files}: {room:?}");
            }
        }
        let enough = Room { sockets: 10_000, http: 20_000, reserve: RESERVE, ops: 0 };
        assert_eq!(Room::divide(1 << 20, 10_000, false), enough);
    }
}
