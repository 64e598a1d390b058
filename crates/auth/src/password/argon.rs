//! One thread's Argon2id and its working memory.
//!
//! The memory is allocated at the first hash and reused for every later one: an allocation of 19 MiB for each hash
//! fragments the heap, and the allocator never returns the holes. It is wiped after each use, because its blocks allow
//! a cheap test of guesses of the password: an attacker who reads them need not spend the memory that Argon2 requires.

use super::Verified;
use super::normal::normal;
use crate::secret::{same, try_random};
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize as _;

/// Lanes per hash; hashes run in parallel on several threads instead.
pub(super) const LANES: u32 = 1;
/// Bytes of a hash.
pub(super) const OUTPUT: usize = 32;
/// Maximum bytes of a stored hash (PHC string format).
const MAX_OUTPUT: usize = 64;

/// Argon2id with one block of working memory; see the module's head.
pub(super) struct Argon {
    params: Params,
    /// Used where there is no hash: same parameters, and output that no password hashes to.
    dummy: Option<PasswordHash>,
    memory: Vec<Block>,
}

impl Argon {
    /// Creates it without memory yet; new hashes get these parameters.
    pub(super) fn new(params: Params) -> Self {
        let dummy = phc(&params, &[0; 16], &[0; OUTPUT]);
        Self { params, dummy, memory: Vec::new() }
    }

    /// A copy without memory, for another thread.
    pub(super) fn fresh(&self) -> Self {
        Self { params: self.params.clone(), dummy: self.dummy.clone(), memory: Vec::new() }
    }

    /// The PHC string of a password's normal form; `None` when the system returns no random bytes.
    pub(super) fn hash(&mut self, password: &str) -> Option<String> {
        let salt = try_random::<16>().ok()?;
        let mut out = [0; OUTPUT];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        self.compute(&argon, normal(password).as_bytes(), &salt, &mut out)?;
        phc(&self.params, &salt, &out).map(|hash| hash.to_string())
    }

    /// Checks a password; see [`super::Hasher::verify`].
    pub(super) fn verify(&mut self, password: &str, phc: Option<&str>) -> Verified {
        let stored = phc.and_then(|phc| PasswordHash::new(phc).ok());
        let Some(hash) = stored.as_ref().or(self.dummy.as_ref()).cloned() else {
            return Verified { ok: false, rehash: false };
        };
        let normal = normal(password);
        let as_normal = self.is_hash_of(&hash, normal.as_bytes());
        // Tried whether the account exists or not, so that the time depends only on the password given.
        let as_typed = !as_normal && *normal != password && self.is_hash_of(&hash, password.as_bytes());
        let ok = (as_normal || as_typed) && stored.is_some();
        Verified { ok, rehash: ok && (as_typed || !self.is_current(&hash)) }
    }

    fn is_hash_of(&mut self, hash: &PasswordHash, password: &[u8]) -> bool {
        let (Some(salt), Some(wanted)) = (&hash.salt, &hash.hash) else { return false };
        let Ok(algorithm) = Algorithm::try_from(hash.algorithm.as_str()) else { return false };
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from);
        let (Ok(version), Ok(params)) = (version, Params::try_from(hash)) else { return false };
        let mut out = [0; MAX_OUTPUT];
        let Some(out) = out.get_mut(..wanted.len()) else { return false };
        let argon = Argon2::new(algorithm, version, params);
        self.compute(&argon, password, salt, out).is_some() && same(out, wanted.as_bytes())
    }

    /// Fills `out`; `None` for parameters that Argon2 rejects.
    fn compute(&mut self, argon: &Argon2<'_>, password: &[u8], salt: &[u8], out: &mut [u8]) -> Option<()> {
        let blocks = argon.params().block_count();
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::default());
        }
        let done = argon.hash_password_into_with_memory(password, salt, out, &mut self.memory[..blocks]);
        self.memory[..blocks].iter_mut().for_each(|block| block.zeroize());
        // A stored hash may need more memory than new hashes do; the extra memory is freed.
        let ours = self.params.block_count();
        if self.memory.len() > ours {
            self.memory.truncate(ours);
            self.memory.shrink_to_fit();
        }
        done.ok()
    }

    /// Whether a new hash would have the same parameters.
    fn is_current(&self, hash: &PasswordHash) -> bool {
        let ours = &self.params;
        hash.algorithm == Algorithm::Argon2id.ident()
            && Params::try_from(hash).is_ok_and(|theirs| {
                (theirs.m_cost(), theirs.t_cost(), theirs.p_cost())
                    == (ours.m_cost(), ours.t_cost(), ours.p_cost())
            })
    }
}

fn phc(params: &Params, salt: &[u8], output: &[u8]) -> Option<PasswordHash> {
    Some(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.clone().try_into().ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(output).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Argon {
        Argon::new(Params::new(64, 1, LANES, Some(OUTPUT)).unwrap())
    }

    #[test]
    fn the_memory_is_one_block_that_is_wiped_after_each_use() {
        let mut argon = cheap();
        let hash = argon.hash("one").unwrap();
        let (at, length) = (argon.memory.as_ptr(), argon.memory.len());
        assert_eq!(length, 64);
        for n in 0..10 {
            assert!(argon.verify("one", Some(&hash)).ok && !argon.verify("two", Some(&hash)).ok, "{n}");
            assert_eq!((argon.memory.as_ptr(), argon.memory.len()), (at, length));
            assert!(argon.memory.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        }
    }

    #[test]
    fn a_hash_that_asks_for_more_is_checked_and_its_memory_given_back() {
        let mut large = Argon::new(Params::new(256, 2, LANES, Some(OUTPUT)).unwrap());
        let hash = large.hash("one").unwrap();
        let mut argon = cheap();
        let found = argon.verify("one", Some(&hash));
        assert!(found.ok && found.rehash);
        assert!(argon.memory.capacity() <= 64, "{}", argon.memory.capacity());
        assert!(!argon.verify("two", Some(&hash)).ok);
    }

    #[test]
    fn a_hash_of_the_text_as_typed_is_taken_and_replaced() {
        const TYPED: &str = "cafe\u{301} au lait";
        let mut argon = cheap();
        let mut out = [0; OUTPUT];
        let plain = Argon2::new(Algorithm::Argon2id, Version::V0x13, argon.params.clone());
        argon.compute(&plain, TYPED.as_bytes(), &[7; 16], &mut out).unwrap();
        let old = phc(&argon.params, &[7; 16], &out).unwrap().to_string();
        assert_eq!(argon.verify(TYPED, Some(&old)), Verified { ok: true, rehash: true });
        assert!(!argon.verify("café au lait", Some(&old)).ok, "the stored hash is of another text");
        let new = argon.hash(TYPED).unwrap();
        for typed in [TYPED, "café au lait", "café\u{a0}au\u{3000}lait"] {
            assert_eq!(argon.verify(typed, Some(&new)), Verified { ok: true, rehash: false }, "{typed:?}");
        }
        assert!(!argon.verify("cafe au lait", Some(&new)).ok, "an accent is no ornament");
    }
}
