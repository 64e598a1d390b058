//! Argon2id (RFC 9106) on dedicated threads.
//!
//! A hash takes tens of milliseconds and 19 MiB. Therefore only a few run at a time, a bounded queue waits, and further
//! callers are refused: memory stays bounded and no async thread ever computes one. Each thread has one block of memory
//! that it uses for every hash ([`super::argon`]). The threads have low priority (nice 19: a seventieth of a busy core
//! each, all of an idle one), so that a wave of logins does not delay messages. Jobs whose caller was dropped are
//! skipped.
//!
//! For a name without an account the same work is done on a constant hash, and the result is "wrong password".

use super::argon::Argon;
use argon2::Params;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// The priority of the hashing threads (setpriority(2)).
const NICE: i32 = 19;

/// The queue of hashes is full; or, in rare cases, the system provided no thread or no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// Parameters that Argon2 does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id takes from 8 KiB of memory and from one pass")]
pub struct CostError;

/// The cost parameters of one hash.
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

impl Cost {
    fn params(self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, super::argon::LANES, Some(super::argon::OUTPUT)).ok()
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The password is right.
    pub ok: bool,
    /// The password is right, and a new hash of it would differ: the stored one has other parameters, or is of the
    /// password as typed and not of its normal form.
    pub rehash: bool,
}

/// A few hashing threads and their queue. Clones share both; the threads end with the last clone.
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
    /// Creates a hasher: `permits` hashes at a time (the cores, at most 4), `queue` more may wait (32).
    #[must_use]
    pub fn new(permits: usize, queue: usize) -> Self {
        Self::start(permits, queue, &Argon::new(Params::default()))
    }

    /// As [`new`](Self::new) with another cost; stored hashes of another cost are still checked, and `rehash` is set
    /// for them.
    ///
    /// # Errors
    /// [`CostError`].
    pub fn with_cost(permits: usize, queue: usize, cost: Cost) -> Result<Self, CostError> {
        Ok(Self::start(permits, queue, &Argon::new(cost.params().ok_or(CostError)?)))
    }

    fn start(permits: usize, queue: usize, argon: &Argon) -> Self {
        let (sender, jobs) = sync_channel(queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..permits.max(1) {
            let (jobs, argon) = (Arc::clone(&jobs), argon.fresh());
            let thread = std::thread::Builder::new().name(format!("password-{n}"));
            if let Err(e) = thread.spawn(move || run(argon, &jobs)) {
                tracing::error!(error = %e, "no thread for passwords");
            }
        }
        Self { queue: sender }
    }

    /// Makes the PHC string (`$argon2id$v=19$m=…`) to store, of the password's normal form and with a new salt.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job::Hash(Zeroizing::new(password), answer)).map_err(|_| Busy)?;
        answered.await.unwrap_or(Err(Busy))
    }

    /// Checks a password against the stored hash: its normal form first, then, where that differs, the text itself,
    /// because hashes stored before passwords were normalised are of that. `None` (no such account, or one without a
    /// password) takes as long and never matches. A stored text that is not a PHC string never matches either.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<Verified, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job::Verify(Zeroizing::new(password), phc, answer)).map_err(|_| Busy)?;
        answered.await.unwrap_or(Err(Busy))
    }
}

fn run(mut argon: Argon, jobs: &Mutex<Receiver<Job>>) {
    if let Err(e) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(error = %e, "passwords are hashed at full priority");
    }
    loop {
        // One thread waits with the lock held, the others for the lock: each job wakes one.
        let job = jobs.lock().recv();
        match job {
            Err(_) => return,
            Ok(Job::Hash(_, answer)) if answer.is_closed() => {}
            Ok(Job::Verify(_, _, answer)) if answer.is_closed() => {}
            Ok(Job::Hash(password, answer)) => {
                let _gone = answer.send(argon.hash(&password).ok_or(Busy));
            }
            Ok(Job::Verify(password, phc, answer)) => {
                let _gone = answer.send(Ok(argon.verify(&password, phc.as_deref())));
            }
        }
    }
}
