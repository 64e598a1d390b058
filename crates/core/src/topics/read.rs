//! Reading back: pages of a topic's history.

use super::registry::{Topics, not_found};
use super::tail::Tail;
use crate::model::{Epoch, EventMeta, EventView, Refusal};

/// Bytes of the events of a page of a history at most: 256 KiB (`protocol.md` 6) less the page's other members.
pub const MAX_PAGE_BYTES: usize = 254 * 1024;
/// What an event takes in a page beside its payload and client id.
const SHOWN_OVERHEAD: usize = 160;
/// What a username takes in a page beside its text: the member's name and quotes.
const USER_OVERHEAD: usize = 10;

/// Which part of a history is read.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// Only events above this offset.
    pub after: Option<u64>,
    /// Only events below this offset.
    pub before: Option<u64>,
    /// Events at most.
    pub limit: usize,
}

/// An event of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Id, offset, time.
    pub meta: EventMeta,
    /// The payload's JSON as it was published.
    pub payload: String,
    /// The publisher's `client_id`; empty for none.
    pub client_id: String,
    /// The username of a publisher who was logged in.
    pub user: Option<String>,
}

impl HistoryEvent {
    /// Shortens a page to its first events: at most `limit`, and at most [`MAX_PAGE_BYTES`] of them, but at least one.
    pub fn fit_first(events: &mut Vec<Self>, limit: usize) {
        let fitting = fitting(events.iter()).min(limit);
        events.truncate(fitting);
    }

    /// Shortens a page to its last events, within the same bounds.
    pub fn fit_last(events: &mut Vec<Self>, limit: usize) {
        let fitting = fitting(events.iter().rev()).min(limit);
        events.drain(..events.len() - fitting);
    }

    fn view(&self) -> EventView<'_> {
        let Self { meta, payload, client_id, user } = self;
        EventView { topic: "", meta: *meta, payload, client_id, user: user.as_deref() }
    }
}

/// The number of events that fit in a page.
fn fitting<'a>(events: impl Iterator<Item = &'a HistoryEvent>) -> usize {
    let mut bytes = 0;
    let fits = |(at, event): &(usize, &HistoryEvent)| {
        bytes += shown_bytes(&event.view());
        *at == 0 || bytes <= MAX_PAGE_BYTES
    };
    events.enumerate().take_while(fits).count()
}

impl From<&EventView<'_>> for HistoryEvent {
    fn from(event: &EventView<'_>) -> Self {
        Self {
            meta: event.meta,
            payload: event.payload.to_owned(),
            client_id: event.client_id.to_owned(),
            user: event.user.map(str::to_owned),
        }
    }
}

/// A page of a topic's history, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    /// The topic's epoch.
    pub epoch: Epoch,
    /// Its head.
    pub offset: u64,
    /// The events.
    pub events: Vec<HistoryEvent>,
    /// More events follow in the direction asked for.
    pub more: bool,
}

impl<D> Topics<D> {
    /// A page of a topic's history: the newest events unless `after` is given, oldest first within the page. It ends at
    /// [`MAX_PAGE_BYTES`], but holds at least one event.
    ///
    /// # Errors
    /// `TOPIC_NOT_FOUND`.
    pub fn history(&self, name: &str, query: HistoryQuery, now_ms: u64) -> Result<History, Refusal> {
        let topic = self.get(name).ok_or_else(not_found)?;
        let state = topic.lock();
        let Some(live) = state.life.live() else { return Err(not_found()) };
        let (tail, (epoch, head)) = (&live.tail, live.position().ok_or_else(not_found)?);
        let oldest = tail.floor(now_ms).offset + 1;
        let end = query.before.map_or(head, |b| b.saturating_sub(1).min(head));
        let floor = query.after.map_or(oldest, |a| (a.saturating_add(1)).max(oldest));
        let start = match query.after {
            Some(_) => floor,
            None => last_fitting(tail, floor.max((end + 1).saturating_sub(query.limit as u64)), end, now_ms),
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        events_from(tail, start, end, now_ms, |event| {
            bytes += shown_bytes(event);
            if events.len() == query.limit || (bytes > MAX_PAGE_BYTES && !events.is_empty()) {
                return false;
            }
            events.push(HistoryEvent::from(event));
            true
        });
        let more = match query.after {
            Some(_) => events.last().is_some_and(|last| last.meta.offset < end),
            None => events.first().is_some_and(|first| first.meta.offset > floor),
        };
        Ok(History { epoch, offset: head, events, more })
    }
}

/// Shows the events with the offsets `start..=end`, as long as `each` returns true. `start` is held.
fn events_from(tail: &Tail, start: u64, end: u64, now_ms: u64, mut each: impl FnMut(&EventView<'_>) -> bool) {
    if start > end {
        return;
    }
    let _held = tail.range(tail.position_of(start - 1), now_ms, |_, kept| match kept.view("") {
        Some(event) => event.meta.offset <= end && each(&event) && event.meta.offset < end,
        None => true,
    });
}

/// What an event takes in a page: its payload, its client id and username as JSON writes them, and the other members.
fn shown_bytes(event: &EventView<'_>) -> usize {
    let escaped = |b: u8| match b {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    let written = |text: &str| text.bytes().map(escaped).sum::<usize>();
    let user = event.user.map_or(0, |user| USER_OVERHEAD + written(user));
    SHOWN_OVERHEAD + event.payload.len() + written(event.client_id) + user
}

/// The first offset from `start` on from which all events up to `end` fit in a page; `end` itself when not even that fits.
fn last_fitting(tail: &Tail, start: u64, end: u64, now_ms: u64) -> u64 {
    let mut sizes = Vec::new();
    events_from(tail, start, end, now_ms, |event| {
        sizes.push(shown_bytes(event));
        true
    });
    let mut bytes = 0;
    let fits = |size: &&usize| {
        bytes += **size;
        bytes <= MAX_PAGE_BYTES
    };
    let fitting = sizes.iter().rev().take_while(fits).count().max(1);
    start.max((end + 1).saturating_sub(fitting as u64))
}
