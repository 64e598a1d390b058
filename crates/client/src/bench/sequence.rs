//! Checks that a subscriber's messages arrived completely, once and in order.

/// How a message relates to the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new, and later than all before it.
    InOrder,
    /// It is new, but a later one arrived first.
    Reordered,
    /// It has arrived before (or is more than 64 behind, which counts as the same fault).
    Repeated,
}

/// The last message's number, and which of the 64 up to it have arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sequence {
    last: u32,
    /// Bit 0 is `last`.
    seen: u64,
}

impl Sequence {
    pub(super) fn arrived(&mut self, number: u32) -> Arrival {
        if number > self.last {
            let ahead = number - self.last;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.last = number;
            return Arrival::InOrder;
        }
        let behind = self.last - number;
        match 1u64.checked_shl(behind) {
            Some(bit) if self.seen & bit == 0 => {
                self.seen |= bit;
                Arrival::Reordered
            }
            _ => Arrival::Repeated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arrival::{InOrder, Reordered, Repeated};
    use super::*;

    #[test]
    fn each_fault_is_distinguished() {
        let mut s = Sequence::default();
        let arrivals = [1, 2, 2, 5, 3, 3, 5, 4, 6].map(|number| s.arrived(number));
        let expected =
            [InOrder, InOrder, Repeated, InOrder, Reordered, Repeated, Repeated, Reordered, InOrder];
        assert_eq!(arrivals, expected);
    }

    #[test]
    fn far_ahead_and_far_behind() {
        let mut s = Sequence::default();
        assert_eq!(s.arrived(1000), InOrder);
        assert_eq!((s.arrived(1000), s.arrived(936), s.arrived(937)), (Repeated, Repeated, Reordered));
        assert_eq!(s.arrived(u32::MAX), InOrder);
    }
}
