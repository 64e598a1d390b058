//! The port of the sessions: what the server requires of their storage.
//!
//! [`super::Sessions`] keeps them in this process. Other storage must guarantee the same: a code names one
//! session at a time; a token is good for one resume and, for a moment, for a lost reply; the newer socket wins; what is past
//! its time answers like what never was.

use super::{
    Attach, ConnAddr, Generation, KeptSession, Opened, Resume, ResumeRefused, Resumed, SessionCode,
    SessionInfo, Sessions,
};
use crate::model::Refusal;

/// Keeps sessions. Times are milliseconds since 1970. The methods are those of [`Sessions`], where each is described.
#[expect(missing_docs, reason = "described where they are implemented")]
pub trait SessionPort: Send + Sync + 'static {
    fn open(&self, user: Option<&str>, now: u64) -> Result<Opened, Refusal>;
    fn resume(&self, ask: Resume<'_>, now: u64) -> Result<Resumed, ResumeRefused>;
    fn attach(&self, code: SessionCode, generation: Generation, addr: ConnAddr, now: u64) -> Attach;
    fn detach(&self, code: SessionCode, addr: ConnAddr, now: u64) -> bool;
    fn renew(&self, code: SessionCode, user: &str, now: u64) -> Result<Opened, Refusal>;
    fn reissue(&self, code: SessionCode, now: u64) -> Option<String>;
    fn end(&self, code: SessionCode) -> Option<ConnAddr>;
    fn address(&self, code: SessionCode) -> Option<ConnAddr>;
    fn info(&self, code: SessionCode, now: u64) -> Option<SessionInfo>;
    fn set(&self, code: SessionCode, key: &str, raw_json: &str, now: u64) -> Result<usize, Refusal>;
    fn get(&self, code: SessionCode, key: &str, now: u64) -> Option<Box<str>>;
    fn all(&self, code: SessionCode, now: u64) -> Vec<(Box<str>, Box<str>)>;
    fn sweep(&self, now: u64, budget: usize) -> usize;
    fn count(&self) -> usize;
    fn export(&self, now: u64, each: &mut dyn FnMut(KeptSession));
    fn import(&self, kept: KeptSession, now: u64) -> bool;
}

impl SessionPort for Sessions {
    fn open(&self, user: Option<&str>, now: u64) -> Result<Opened, Refusal> {
        self.open(user, now)
    }

    fn resume(&self, ask: Resume<'_>, now: u64) -> Result<Resumed, ResumeRefused> {
        self.resume(ask, now)
    }

    fn attach(&self, code: SessionCode, generation: Generation, addr: ConnAddr, now: u64) -> Attach {
        self.attach(code, generation, addr, now)
    }

    fn detach(&self, code: SessionCode, addr: ConnAddr, now: u64) -> bool {
        self.detach(code, addr, now)
    }

    fn renew(&self, code: SessionCode, user: &str, now: u64) -> Result<Opened, Refusal> {
        self.renew(code, user, now)
    }

    fn reissue(&self, code: SessionCode, now: u64) -> Option<String> {
        self.reissue(code, now)
    }

    fn end(&self, code: SessionCode) -> Option<ConnAddr> {
        self.end(code)
    }

    fn address(&self, code: SessionCode) -> Option<ConnAddr> {
        self.address(code)
    }

    fn info(&self, code: SessionCode, now: u64) -> Option<SessionInfo> {
        self.info(code, now)
    }

    fn set(&self, code: SessionCode, key: &str, raw_json: &str, now: u64) -> Result<usize, Refusal> {
        self.set(code, key, raw_json, now)
    }

    fn get(&self, code: SessionCode, key: &str, now: u64) -> Option<Box<str>> {
        self.get(code, key, now)
    }

    fn all(&self, code: SessionCode, now: u64) -> Vec<(Box<str>, Box<str>)> {
        self.all(code, now)
    }

    fn sweep(&self, now: u64, budget: usize) -> usize {
        self.sweep(now, budget)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn export(&self, now: u64, each: &mut dyn FnMut(KeptSession)) {
        self.export(now, each);
    }

    fn import(&self, kept: KeptSession, now: u64) -> bool {
        self.import(kept, now)
    }
}
