//! The byte bound of a response, so that a small request cannot cause an unbounded one.

use crate::failure::Failure;

/// The maximum size of the refusal of a call, excluding its id.
pub(crate) const REFUSAL_BYTES: usize = 256;
/// A call of a batch is not executed when less than this is left. Methods with side effects return less, so that none
/// is executed and then refused.
const LEAST_BYTES: usize = 4096;

/// The remaining bytes of a response.
#[derive(Debug)]
pub(crate) struct Room {
    left: usize,
    /// Whether a result did not fit: no result may follow it.
    full: bool,
}

impl Room {
    /// Room for one result.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes, full: false }
    }

    /// Creates room for the results of a batch: without the bytes for refusing all of its calls, but at least three
    /// quarters.
    pub(crate) fn for_batch(bytes: usize, refusals: usize) -> Self {
        Self::new(bytes - refusals.min(bytes / 4))
    }

    /// Checks whether another call may be executed.
    ///
    /// # Errors
    /// [`Failure::TooLong`].
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.full |= self.left < LEAST_BYTES;
        if self.full { Err(Failure::TooLong) } else { Ok(()) }
    }

    /// Takes the bytes of a result.
    ///
    /// # Errors
    /// [`Failure::TooLong`] when it does not fit; no call may be executed from then on.
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
    fn no_result_follows_one_that_did_not_fit() {
        let mut room = Room::new(10_000);
        assert!(room.check().is_ok() && room.take(5_000).is_ok());
        assert!(room.take(5_001).is_err());
        assert!(room.check().is_err() && room.take(1).is_err());
    }

    #[test]
    fn no_call_is_executed_whose_result_may_not_fit() {
        let mut room = Room::for_batch(10_000, 1_000);
        assert!(room.take(5_000).is_ok() && room.check().is_err());
        assert!(Room::for_batch(10_000, 1_000_000).take(7_500).is_ok(), "refusals take a quarter at most");
    }
}
