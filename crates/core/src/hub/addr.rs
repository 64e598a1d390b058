//! Where a connection is: which shard, which slot there, and which life of that slot.

/// The address of a connection on this node. A slot is used again after a close; its `life` separates the old connection from the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnAddr(pub u64);

impl ConnAddr {
    /// Packs the parts: 8 bits of shard, 24 of life, 32 of slot.
    pub fn new(shard: u8, slot: u32, life: u32) -> Self {
        Self((u64::from(shard) << 56) | (u64::from(life & 0x00ff_ffff) << 32) | u64::from(slot))
    }

    /// The shard's number.
    pub fn shard(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The slot within the shard.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Which life of the slot, modulo 2^24.
    pub fn life(self) -> u32 {
        (self.0 >> 32) as u32 & 0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::ConnAddr;

    #[test]
    fn parts_come_back() {
        let a = ConnAddr::new(255, u32::MAX - 1, 0x01_23_45_67);
        assert_eq!((a.shard(), a.slot(), a.life()), (255, u32::MAX - 1, 0x23_45_67));
    }
}
