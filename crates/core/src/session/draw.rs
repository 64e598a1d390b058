//! Random numbers from the operating system, drawn in blocks.

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// Bytes asked of the system at once: enough for several codes, small enough for the stack.
const BLOCK: usize = 128;

/// A source of unbiased numbers; nothing drawn is given out twice.
pub(super) struct Draw {
    block: [u8; BLOCK],
    used: usize,
}

impl Default for Draw {
    fn default() -> Self {
        Self { block: [0; BLOCK], used: BLOCK }
    }
}

impl Draw {
    /// Thirty-two random bits.
    pub(super) fn bits(&mut self) -> Result<u32, NoRandomness> {
        if self.used == BLOCK {
            getrandom::fill(&mut self.block).map_err(|_| NoRandomness)?;
            self.used = 0;
        }
        let mut word = [0; 4];
        word.copy_from_slice(&self.block[self.used..self.used + 4]);
        self.used += 4;
        Ok(u32::from_le_bytes(word))
    }

    /// A number below `bound` (at least 1), each with the same chance: values beyond it are thrown away, never folded.
    pub(super) fn below(&mut self, bound: u32) -> Result<u32, NoRandomness> {
        let mask = u32::MAX >> (bound - 1).leading_zeros().min(31);
        loop {
            let value = self.bits()? & mask;
            if value < bound {
                return Ok(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    #[test]
    fn every_number_below_the_bound_comes_and_none_beyond() {
        let mut draw = Draw::default();
        for bound in [1u32, 2, 3, 5, 8] {
            let mut seen = vec![0; bound as usize];
            for _ in 0..2000 {
                seen[draw.below(bound).unwrap() as usize] += 1;
            }
            assert!(seen.iter().all(|n| *n > 0), "{bound}: {seen:?}");
        }
    }
}
