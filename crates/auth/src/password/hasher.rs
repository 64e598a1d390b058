//! Argon2id (RFC 9106) on threads of its own.
//!
//! A hash takes tens of milliseconds and 19 MiB. So few run at a time, a bounded queue waits, and who comes after that is told
//! to come again: memory stays bounded and no async thread ever computes one. The threads yield to everything else of the
//! process (nice 19: a seventieth of a busy core each, all of an idle one), so that a wave of logins does not delay messages.
//! Jobs whose caller has gone are skipped.
//!
//! For a name without an account the same work is done on a constant hash, and the answer is no.

use crate::secret::try_random;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How much the threads yield (setpriority(2)).
const NICE: i32 = 19;
/// Lanes per hash; the threads are what runs beside each other.
const LANES: u32 = 1;
const OUTPUT: usize = 32;

/// Too many hashes wait already; or, never seen, the system gave no thread or no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Parameters that Argon2 does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id takes from 8 KiB of memory and from one pass")]
pub struct CostError;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    /// OWASP's minimum: 19 MiB, two passes.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The password is right.
    pub ok: bool,
    /// It is, and its hash has other parameters than new ones get: hash and store it anew.
    pub rehash: bool,
}

/// A few threads that hash, and the queue before them. Clones share both; the threads end with the last.
#[derive(Clone)]
pub struct Hasher {
    queue: SyncSender<Job>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

type Password = Zeroizing<String>;

enum Job {
    Hash(Password, oneshot::Sender<Result<String, Busy>>),
    Verify(Password, Option<String>, oneshot::Sender<Result<Verified, Busy>>),
}

impl Hasher {
    /// `permits` hashes at a time (the cores, at most 4), `queue` more may wait (32).
    #[must_use]
    pub fn new(permits: usize, queue: usize) -> Self {
        Self::start(permits, queue, Worker::new(Params::default()))
    }

    /// The same with another cost; stored hashes of another are still checked, and asked to be made anew.
    ///
    /// # Errors
    /// [`CostError`].
    pub fn with_cost(permits: usize, queue: usize, cost: Cost) -> Result<Self, CostError> {
        let params = Params::new(cost.memory_kib, cost.passes, LANES, Some(OUTPUT)).map_err(|_| CostError)?;
        Ok(Self::start(permits, queue, Worker::new(params)))
    }

    fn start(permits: usize, queue: usize, worker: Worker) -> Self {
        let (sender, jobs) = sync_channel(queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..permits.max(1) {
            let (jobs, worker) = (Arc::clone(&jobs), worker.clone());
            let thread = std::thread::Builder::new().name(format!("password-{n}"));
            if let Err(e) = thread.spawn(move || worker.run(&jobs)) {
                tracing::error!(error = %e, "no thread for passwords");
            }
        }
        Self { queue: sender }
    }

    /// Makes the PHC string (`$argon2id$v=19$m=…`) to store, with a new salt.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job::Hash(Zeroizing::new(password), answer)).map_err(|_| Busy)?;
        answered.await.unwrap_or(Err(Busy))
    }

    /// Checks a password against what is stored; `None` (no such account, or one without a password) takes as long and
    /// is never right. A stored text that is no PHC string is never right either.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<Verified, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job::Verify(Zeroizing::new(password), phc, answer)).map_err(|_| Busy)?;
        answered.await.unwrap_or(Err(Busy))
    }
}

#[derive(Clone)]
struct Worker {
    argon: Argon2<'static>,
    /// Stands in where there is no hash: same parameters, bytes that nothing hashes to.
    nobody: Option<PasswordHash>,
}

impl Worker {
    fn new(params: Params) -> Self {
        let nobody =
            params.clone().try_into().ok().zip(Salt::new(&[0; 16]).ok()).map(|(params, salt)| PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params,
                salt: Some(salt),
                hash: Output::new(&[0; OUTPUT]).ok(),
            });
        Self { argon: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), nobody }
    }

    fn run(&self, jobs: &Mutex<Receiver<Job>>) {
        if let Err(e) = rustix::process::setpriority_process(None, NICE) {
            tracing::warn!(error = %e, "passwords are hashed at full priority");
        }
        loop {
            // One waits with the lock held, the others for the lock: each job wakes one.
            let job = jobs.lock().recv();
            match job {
                Err(_) => return,
                Ok(Job::Hash(_, answer)) if answer.is_closed() => {}
                Ok(Job::Verify(_, _, answer)) if answer.is_closed() => {}
                Ok(Job::Hash(password, answer)) => {
                    let _gone = answer.send(self.hash(&password).ok_or(Busy));
                }
                Ok(Job::Verify(password, phc, answer)) => {
                    let _gone = answer.send(Ok(self.verify(&password, phc.as_deref())));
                }
            }
        }
    }

    fn hash(&self, password: &str) -> Option<String> {
        let salt = try_random::<16>().ok()?;
        let hash = self.argon.hash_password_with_salt(password.as_bytes(), &salt);
        hash.ok().map(|hash| hash.to_string())
    }

    fn verify(&self, password: &str, phc: Option<&str>) -> Verified {
        let stored = phc.and_then(|phc| PasswordHash::new(phc).ok());
        let Some(hash) = stored.as_ref().or(self.nobody.as_ref()) else {
            return Verified { ok: false, rehash: false };
        };
        let right = self.argon.verify_password(password.as_bytes(), hash).is_ok();
        let ok = right && stored.is_some();
        Verified { ok, rehash: ok && !self.current(hash) }
    }

    /// Whether a new hash would have the same parameters.
    fn current(&self, hash: &PasswordHash) -> bool {
        let ours = self.argon.params();
        hash.algorithm == Algorithm::Argon2id.ident()
            && Params::try_from(hash).is_ok_and(|theirs| {
                (theirs.m_cost(), theirs.t_cost(), theirs.p_cost())
                    == (ours.m_cost(), ours.t_cost(), ours.p_cost())
            })
    }
}
