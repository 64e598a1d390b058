//! What a shard remembers of a connection, beside its delivery state in the hub.

use super::ledger::Ledger;
use crate::admission::Permit;
use fanfare_core::model::{Caller, Origin};
use fanfare_core::session::SessionCode;
use fanfare_dialects::Dialect;
use fanfare_dialects::jsonrpc::JsonRpc;
use fanfare_dialects::typed::Typed;
use fanfare_services::identity::Login;
use fanfare_ws::Decoder;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Time in a shard: units of 100 ms since the node started.
pub(crate) type Tick = u32;
/// Milliseconds in a [`Tick`].
pub(crate) const TICK_MS: u64 = 100;

/// The caller of connections without a login.
static ANONYMOUS: Caller = Caller::Anonymous;

/// Which language is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// The first text frame decides.
    #[default]
    Undecided,
    Typed,
    JsonRpc,
}

impl Language {
    /// What the server says unasked; typed until the first frame decides otherwise.
    pub(crate) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::JsonRpc => &JsonRpc,
            Self::Undecided | Self::Typed => &Typed,
        }
    }
}

/// How far a connection is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No connection in this slot.
    #[default]
    Free,
    Open,
    /// Its last frames are on their way; nothing it says is obeyed. `at` is when it is cut whatever happens.
    Ending {
        at: Tick,
        /// Everything has left.
        drained: bool,
        /// The peer's close frame came.
        answered: bool,
    },
}

/// A slot's connection. Small, because there are many; what is rare is in [`Rare`].
#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    pub(crate) language: Language,
    /// permessage-deflate was negotiated.
    pub(crate) deflate: bool,
    /// It is a socket of `/ws/system`.
    pub(crate) system: bool,
    /// Readiness asked of the kernel: 1 read, 2 write.
    pub(crate) interest: u8,
    pub(crate) close_code: u16,
    /// Control frames in the second [`Conn::control_second`].
    pub(crate) controls: u8,
    pub(crate) control_second: u32,
    /// When a whole frame last came.
    pub(crate) last_frame: Tick,
    /// When the next ping is due.
    pub(crate) ping_at: Tick,
    /// Since when its queue did not move; 0 when nothing waits.
    pub(crate) stuck_since: Tick,
    /// Its session; none until it has authenticated where that is asked for.
    pub(crate) session: Option<SessionCode>,
    /// Names the connection to clients; unique and rising on the node.
    pub(crate) serial: u64,
    /// Its bucket of messages (`admission::Rate`).
    pub(crate) messages: u64,
    pub(crate) decoder: Decoder,
    pub(crate) permit: Option<Permit>,
    /// Who is logged in on it.
    pub(crate) login: Option<Box<Login>>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What most connections never need.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Ticks of the last refusals for the rate, at most [`MAX_REFUSALS`] of them.
    pub(crate) refusals: Vec<Tick>,
    /// Its bucket of bytes.
    pub(crate) bytes: u64,
    /// Received and not looked at, because reading is paused.
    pub(crate) unread: Vec<u8>,
    /// Commands without an answer so far.
    pub(crate) ledger: Option<Box<Ledger>>,
    /// JSON-RPC calls that run elsewhere.
    pub(crate) tasks: Option<Box<super::rpc::Tasks>>,
    /// Must have authenticated by then (`auth.require`).
    pub(crate) authenticate_by: Option<Tick>,
    /// Subscriptions that a token opened: topic and end, in milliseconds since 1970.
    pub(crate) grants: Vec<(Box<str>, u64)>,
    /// The client's `User-Agent`, for a login to come.
    pub(crate) agent: Option<Arc<str>>,
}

/// Refusals within [`REFUSAL_TICKS`] that are borne; one more is flooding (`protocol.md` 5).
pub(crate) const MAX_REFUSALS: usize = 20;
/// 10 s.
pub(crate) const REFUSAL_TICKS: Tick = 100;
/// Control frames a second (`protocol.md` 5).
pub(crate) const MAX_CONTROLS: u8 = 10;

impl Conn {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }

    /// Whether nothing more is read for now, because as many commands as may be are without an answer.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger().is_some_and(Ledger::is_full)
    }

    /// Its ledger, if a command is without an answer.
    pub(crate) fn ledger(&self) -> Option<&Ledger> {
        self.rare.as_ref()?.ledger.as_deref()
    }

    /// On whose behalf its commands are carried out.
    pub(crate) fn caller(&self) -> &Caller {
        self.login.as_ref().map_or(&ANONYMOUS, |login| login.caller())
    }

    /// Where it comes from.
    pub(crate) fn origin(&self) -> Origin {
        Origin { ip: self.address(), ..Origin::default() }
    }

    /// The client's address; unspecified where the connection has none.
    pub(crate) fn address(&self) -> IpAddr {
        self.permit.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), Permit::address)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Counts a control frame; says whether it is within the limit.
    pub(crate) fn control(&mut self, now: Tick) -> bool {
        let second = now / 10;
        if self.control_second != second {
            self.control_second = second;
            self.controls = 0;
        }
        self.controls = self.controls.saturating_add(1);
        self.controls <= MAX_CONTROLS
    }

    /// Counts a refusal for the rate; says whether it is borne.
    pub(crate) fn refused(&mut self, now: Tick) -> bool {
        let refusals = &mut self.rare().refusals;
        refusals.retain(|at| now - at < REFUSAL_TICKS);
        refusals.push(now);
        refusals.len() <= MAX_REFUSALS
    }
}
