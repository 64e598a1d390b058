//! The epochs of a log: the current one and those it closed.
//!
//! Offsets continue over the epochs of a chain: an epoch begins where the one before it was closed. So an offset of a closed
//! epoch, up to where that was closed, is the same offset of the current epoch.

use crate::model::{Epoch, Since};

/// Closed epochs a chain remembers at most; the oldest is forgotten first.
pub const MAX_CLOSED: usize = 8;

/// The epochs of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    current: Epoch,
    /// Epochs and the offsets at which they were closed, the oldest first.
    closed: Vec<(Epoch, u64)>,
}

/// What a log can do for a client that resumes from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything after this offset is held.
    Exact(u64),
    /// The log has the position, but events after this offset are no longer held here.
    Gap(u64),
    /// The position is not one of this log.
    Unknown,
}

impl Chain {
    /// A chain of one epoch.
    pub fn new(current: Epoch) -> Self {
        Self { current, closed: Vec::new() }
    }

    /// A chain with the epochs that were closed before the current one, the oldest first, and the offsets at which they were.
    pub fn with_closed(current: Epoch, mut closed: Vec<(Epoch, u64)>) -> Self {
        closed.drain(..closed.len().saturating_sub(MAX_CLOSED));
        Self { current, closed }
    }

    /// The current epoch.
    pub fn epoch(&self) -> Epoch {
        self.current
    }

    /// The offset at which an epoch of the chain was closed; `None` for the current epoch and for those of other logs.
    pub fn closed_at(&self, epoch: Epoch) -> Option<u64> {
        self.closed.iter().find(|(closed, _)| *closed == epoch).map(|(_, end)| *end)
    }

    /// Judges a position: `floor` is the offset of the last event that is no longer held, `head` that of the last event.
    pub fn judge(&self, since: &Since<'_>, floor: u64, head: u64) -> Verdict {
        let closed = || self.closed.iter().find(|(epoch, _)| since.epoch.is(*epoch)).map(|(_, end)| *end);
        let end = if since.epoch.is(self.current) { Some(head) } else { closed() };
        match end {
            Some(end) if since.offset <= end.min(head) => match since.offset >= floor {
                true => Verdict::Exact(since.offset),
                false => Verdict::Gap(since.offset),
            },
            _ => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SinceEpoch;

    fn since(epoch: u64, offset: u64) -> Since<'static> {
        Since { epoch: SinceEpoch(Epoch(epoch).to_string().into()), offset }
    }

    #[test]
    fn a_position_is_exact_a_gap_or_unknown() {
        let chain = Chain::new(Epoch(7));
        for (position, want) in [
            (since(7, 10), Verdict::Exact(10)),
            (since(7, 4), Verdict::Exact(4)),
            (since(7, 3), Verdict::Gap(3)),
            (since(7, 11), Verdict::Unknown),
            (since(8, 5), Verdict::Unknown),
        ] {
            assert_eq!(chain.judge(&position, 4, 10), want, "{position:?}");
        }
    }

    #[test]
    fn a_closed_epoch_is_good_up_to_where_it_was_closed() {
        let chain = Chain::with_closed(Epoch(3), vec![(Epoch(1), 5), (Epoch(2), 8)]);
        for (position, want) in [
            (since(1, 5), Verdict::Exact(5)),
            (since(1, 6), Verdict::Unknown),
            (since(2, 8), Verdict::Exact(8)),
            (since(2, 2), Verdict::Gap(2)),
            (since(2, 9), Verdict::Unknown),
            (since(3, 9), Verdict::Exact(9)),
        ] {
            assert_eq!(chain.judge(&position, 4, 9), want, "{position:?}");
        }
        assert_eq!((chain.closed_at(Epoch(2)), chain.closed_at(Epoch(3))), (Some(8), None));
    }

    #[test]
    fn a_chain_forgets_its_oldest_epochs() {
        let closed: Vec<_> = (0..20).map(|n| (Epoch(n), n)).collect();
        let chain = Chain::with_closed(Epoch(99), closed);
        assert_eq!((chain.closed.len(), chain.closed_at(Epoch(12))), (MAX_CLOSED, Some(12)));
    }
}
