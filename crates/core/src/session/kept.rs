//! Sessions on their way over a restart: out of one [`Sessions`] and into the next, without IO.

use super::data::Data;
use super::shard::Session;
use super::{SessionCode, Sessions};

/// A session as it is kept while the server is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// Its name.
    pub code: SessionCode,
    /// When it was opened, in milliseconds since 1970.
    pub created: u64,
    /// When it was last used, likewise.
    pub seen: u64,
    /// Separates it from former sessions of the same code.
    pub life: u32,
    /// The newest generation of its tokens.
    pub count: u32,
    /// The oldest generation that can still be good.
    pub confirmed: u32,
    /// Until when the generations from `confirmed` on are good beside the newest.
    pub grace_until: u64,
    /// The id of its user.
    pub user: Option<Box<str>>,
    /// Keys and JSON values.
    pub data: Vec<(Box<str>, Box<str>)>,
}

/// Bytes of the fields that every session has.
const FIXED_BYTES: usize = 4 + 8 + 8 + 4 + 4 + 4 + 8;

impl KeptSession {
    /// Appends it as bytes: the fixed fields in little endian, then texts with their lengths.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.index().to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.seen.to_le_bytes());
        for field in [self.life, self.count, self.confirmed] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.grace_until.to_le_bytes());
        write_text(out, self.user.as_deref().unwrap_or_default());
        out.extend_from_slice(&(self.data.len() as u32).to_le_bytes());
        for (key, value) in &self.data {
            write_text(out, key);
            write_text(out, value);
        }
    }

    /// Reads what [`KeptSession::encode`] wrote, and the bytes behind it; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, mut rest) = bytes.split_at_checked(FIXED_BYTES)?;
        let u32_at = |at: usize| fixed.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let u64_at = |at: usize| fixed.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let user = read_text(&mut rest)?;
        let mut session = Self {
            code: SessionCode::from_index(u32_at(0)?)?,
            created: u64_at(4)?,
            seen: u64_at(12)?,
            life: u32_at(20)?,
            count: u32_at(24)?,
            confirmed: u32_at(28)?,
            grace_until: u64_at(32)?,
            user: (!user.is_empty()).then(|| user.into()),
            data: Vec::new(),
        };
        let (keys, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        for _ in 0..u32::from_le_bytes(*keys) {
            let key = read_text(&mut rest)?;
            session.data.push((key.into(), read_text(&mut rest)?.into()));
        }
        Some((session, rest))
    }
}

/// Appends a text behind its length in four bytes, little endian.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Takes what [`write_text`] wrote from the front; `None` for anything else.
pub fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

impl Sessions {
    /// Hands out every session that has not expired, those used longest ago first. One that still has a socket counts as used now.
    pub fn export(&self, now: u64, each: &mut dyn FnMut(KeptSession)) {
        let mut all: Vec<(u64, SessionCode)> = Vec::with_capacity(self.len());
        for shard in self.each_shard() {
            all.extend(shard.lock().alive(&self.limits, now));
        }
        all.sort_unstable();
        for (_, code) in all {
            let kept = self.shard(code).get(code, &self.limits, now).map(|session| kept(code, session, now));
            if let Some(kept) = kept {
                each(kept);
            }
        }
    }

    /// Takes a session in, as it was kept; to be called in the order of [`Sessions::export`], before anything else uses them.
    /// False when it has expired, its code is taken, or there are as many as `session.max`. Data beyond the limits is left out.
    pub fn import(&self, kept: KeptSession, now: u64) -> bool {
        let limits = &self.limits;
        if self.len() >= limits.max {
            return false;
        }
        let code = kept.code;
        let mut session = Session::new(kept.life, kept.user, kept.created);
        session.seen = kept.seen.min(now);
        (session.count, session.confirmed) = (kept.count, kept.confirmed);
        session.grace_until = kept.grace_until;
        if !kept.data.is_empty() {
            let mut data = Data::new(self.totals.clone(), session.user.is_some());
            for (key, value) in &kept.data {
                let _left_out = data.set(key, value, limits.max_data_bytes, limits.data_total_bytes);
            }
            session.data = (!data.is_empty()).then(|| Box::new(data));
        }
        let taken = self.shard(code).restore(code, session, limits, now);
        if taken {
            self.count_in();
        }
        taken
    }
}

fn kept(code: SessionCode, session: &Session, now: u64) -> KeptSession {
    let text = |(key, value): (&str, &str)| (key.into(), value.into());
    KeptSession {
        code,
        created: session.created,
        seen: if session.conn.is_some() { now } else { session.seen },
        life: session.life,
        count: session.count,
        confirmed: session.confirmed,
        grace_until: session.grace_until,
        user: session.user.clone(),
        data: session.data.as_ref().map(|data| data.iter().map(text).collect()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Resume, SessionLimits};

    const LIMITS: SessionLimits = SessionLimits {
        ttl_ms: 1000,
        detached_ttl_ms: 100,
        max: 10,
        max_data_bytes: 100,
        data_total_bytes: 10_000,
    };

    fn sessions(limits: SessionLimits) -> Sessions {
        Sessions::new(limits, &[7; 32])
    }

    fn moved(from: &Sessions, limits: SessionLimits, now: u64) -> (Sessions, usize) {
        let to = sessions(limits);
        let (mut bytes, mut taken) = (Vec::new(), 0);
        from.export(now, &mut |kept| kept.encode(&mut bytes));
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (kept, behind) = KeptSession::decode(rest).unwrap();
            taken += usize::from(to.import(kept, now));
            rest = behind;
        }
        (to, taken)
    }

    #[test]
    fn a_session_goes_on_with_its_name_data_user_and_token() {
        let before = sessions(LIMITS);
        let (bare, ann) = (before.open(None, 5).unwrap(), before.open(Some("ann"), 6).unwrap());
        before.set(ann.code, "k", r#"{"a" :1}"#, 7).unwrap();
        let (after, taken) = moved(&before, LIMITS, 50);
        assert_eq!((taken, after.len()), (2, 2));
        assert_eq!(after.info(ann.code, 50).unwrap().created_at, 6);
        assert_eq!(after.get(ann.code, "k", 50).as_deref(), Some(r#"{"a" :1}"#));
        let resume = |code: SessionCode, token: &str, now| {
            after.resume(Resume { code: &code.to_string(), token, user: None }, now)
        };
        let resumed = resume(ann.code, &ann.token, 60).unwrap();
        assert_eq!(resumed.user.as_deref(), Some("ann"));
        assert!(resume(bare.code, &bare.token, 60).is_ok());
        // The token before the last resume is another client's by then.
        assert!(resume(ann.code, &resumed.token, 61).is_ok());
        assert!(resume(ann.code, &ann.token, 40_000).is_err());
    }

    #[test]
    fn time_goes_on_while_the_server_is_down_and_the_order_of_expiry_stays() {
        let before = sessions(LIMITS);
        let codes: Vec<_> = (0..3).map(|n| before.open(None, n * 40).unwrap().code).collect();
        let (after, taken) = moved(&before, LIMITS, 110);
        assert_eq!(taken, 2, "the first has expired");
        assert!(after.info(codes[0], 110).is_none() && after.info(codes[1], 110).is_some());
        assert_eq!((after.sweep(145, 100), after.len()), (1, 1));
        assert_eq!((after.sweep(181, 100), after.len()), (1, 0));
    }

    #[test]
    fn limits_hold_for_what_was_kept_under_others() {
        let before = sessions(LIMITS);
        for _ in 0..4 {
            let code = before.open(Some("ann"), 1).unwrap().code;
            before.set(code, "k", &format!("\"{}\"", "x".repeat(60)), 1).unwrap();
        }
        let (after, taken) = moved(&before, SessionLimits { max: 3, data_total_bytes: 400, ..LIMITS }, 2);
        assert_eq!((taken, after.len()), (3, 3));
        assert!(after.totals.all() <= 400);
        let mut kept = Vec::new();
        before.export(2, &mut |session| kept.push(session));
        assert!(!after.import(kept[0].clone(), 2), "its code is taken");
    }

    #[test]
    fn what_is_no_session_is_not_read_as_one() {
        let before = sessions(LIMITS);
        let code = before.open(Some("ann"), 1).unwrap().code;
        before.set(code, "k", "1", 1).unwrap();
        let mut bytes = Vec::new();
        before.export(2, &mut |kept| kept.encode(&mut bytes));
        for len in 0..bytes.len() {
            assert_eq!(KeptSession::decode(&bytes[..len]), None, "{len}");
        }
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(KeptSession::decode(&bytes), None, "no such code");
    }
}
