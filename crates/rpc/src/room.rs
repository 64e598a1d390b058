//! The bound in bytes of an answer, so that a small request gets no answer without end.

use crate::failure::Failure;

/// What the refusal of a call takes at most, beside its id.
pub(crate) const REFUSAL_BYTES: usize = 256;
/// A call of a batch is not carried out when less than this is left. Methods that change something answer less, so that none
/// is carried out and then refused.
const LEAST_BYTES: usize = 4096;

/// What is left of an answer's bytes.
#[derive(Debug)]
pub(crate) struct Room {
    left: usize,
    /// A result did not fit: nothing comes behind it.
    full: bool,
}

impl Room {
    /// Room for one result.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes, full: false }
    }

    /// Room for the results of a batch: less what refusing all of its calls takes, but at least three quarters.
    pub(crate) fn for_batch(bytes: usize, refusals: usize) -> Self {
        Self::new(bytes - refusals.min(bytes / 4))
    }

    /// Whether another call may be carried out.
    ///
    /// # Errors
    /// [`Failure::TooLong`].
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.full |= self.left < LEAST_BYTES;
        if self.full { Err(Failure::TooLong) } else { Ok(()) }
    }

    /// Takes what a result needs.
    ///
    /// # Errors
    /// [`Failure::TooLong`] when it does not fit; no call may be carried out from then on.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.full => {
                self.left = left;
                Ok(())
            }
            _ => {
                self.full = true;
                Err(Failure::TooLong)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn nothing_comes_behind_what_did_not_fit() {
        let mut room = Room::new(10_000);
        assert!(room.check().is_ok() && room.take(5_000).is_ok());
        assert!(room.take(5_001).is_err());
        assert!(room.check().is_err() && room.take(1).is_err());
    }

    #[test]
    fn no_call_is_carried_out_whose_answer_may_not_fit() {
        let mut room = Room::for_batch(10_000, 1_000);
        assert!(room.take(5_000).is_ok() && room.check().is_err());
        assert!(Room::for_batch(10_000, 1_000_000).take(7_500).is_ok(), "refusals take a quarter at most");
    }
}
