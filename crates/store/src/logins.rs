//! Logins (`auth_sessions`) and their refresh tokens.
//!
//! A login is live while it is neither ended nor expired and its user neither disabled nor deleted. Refresh tokens are
//! kept as hashes, also after their use: using one again ends the login.
//!
//! Password, key and lock of a user decide whether a login is allowed. Each change of one of them, and each login that
//! relies on one, first takes the lock of the user's row ([`holds`]) and ends or creates logins in the same
//! transaction. So a login with an outdated proof is never stored after the change, and one stored before it is ended
//! by it.

use crate::Store;
use crate::error::Result;
use crate::migrate::clock;
use crate::model::{EndLogins, EndedLogin, LoginProof, LoginRow, NewLogin, Proven, Refreshed, User};
use crate::sql::{Row, Sql, values};
use crate::users::read_user;

/// Reason of a login's end when its used refresh token was presented again.
const REUSED: &str = "refresh_reused";

fn read_login(row: &Row) -> Result<LoginRow> {
    Ok(LoginRow {
        id: row.text(0)?,
        user_id: row.text(1)?,
        created_at: row.int(2)?,
        last_seen: row.int(3)?,
        expires_at: row.int(4)?,
        ip: row.maybe_text(5)?,
        user_agent: row.maybe_text(6)?,
        method: row.text(7)?,
    })
}

fn live(sql: &mut dyn Sql, id: &str, now: i64) -> Result<Option<(LoginRow, User)>> {
    let row = sql.one(
        "SELECT s.id, s.user_id, s.created_at, s.last_seen, s.expires_at, s.ip, s.user_agent, s.method,
                u.id, u.username, u.role, u.password, u.display_name, u.email, u.disabled, u.issuer, u.created_at
         FROM auth_sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND u.disabled = 0 AND u.deleted_at IS NULL",
        values![id, now],
    )?;
    row.map(|row| Ok((read_login(&row)?, read_user(&row, 8)?))).transpose()
}

fn insert_refresh(sql: &mut dyn Sql, session: &str, hash: &[u8; 32], expires_at: i64) -> Result<()> {
    sql.execute(
        "INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)",
        values![hash, session, expires_at],
    )?;
    Ok(())
}

fn read_ended(rows: &[Row]) -> Result<Vec<EndedLogin>> {
    rows.iter()
        .map(|row| Ok(EndedLogin { id: row.text(0)?, user_id: row.text(1)?, ended_at: row.int(2)? }))
        .collect()
}

/// Whether the conditions of a change hold. The user's row stays locked until the unit ends: an update without effect
/// is the one lock that both engines have.
pub(crate) fn holds(sql: &mut dyn Sql, user_id: &str, proven: &Proven) -> Result<bool> {
    let locked = sql.execute(
        "UPDATE users SET disabled = disabled WHERE id = $1 AND disabled = 0 AND deleted_at IS NULL
           AND COALESCE(password, '') = COALESCE($2, password, '')",
        values![user_id, &proven.password],
    )?;
    let Some(session) = proven.session_id.as_ref().filter(|_| locked == 1) else { return Ok(locked == 1) };
    let live =
        "SELECT 1 FROM auth_sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3";
    Ok(sql.one(live, values![session, user_id, clock()])?.is_some())
}

/// Whether a user may log in with this proof; replaces the hash if requested. The user's row stays locked.
fn admits(sql: &mut dyn Sql, user_id: &str, proof: &LoginProof) -> Result<bool> {
    match proof {
        LoginProof::Password { stored, replacement } => {
            let locked = sql.execute(
                "UPDATE users SET password = $1
                 WHERE id = $2 AND password = $3 AND disabled = 0 AND deleted_at IS NULL",
                values![replacement.as_ref().unwrap_or(stored), user_id, stored],
            )?;
            Ok(locked == 1)
        }
        LoginProof::Key { device_id, ik } => {
            let present = "SELECT 1 FROM user_keys WHERE user_id = $1 AND device_id = $2 AND ik = $3";
            Ok(holds(sql, user_id, &Proven::default())?
                && sql.one(present, values![user_id, device_id, ik])?.is_some())
        }
    }
}

/// Ends all logins of a user except one.
pub(crate) fn end_of_user(
    sql: &mut dyn Sql,
    user_id: &str,
    except: Option<&str>,
    reason: &str,
    now: i64,
) -> Result<Vec<EndedLogin>> {
    let rows = sql.query(
        "UPDATE auth_sessions SET ended_at = $1, end_reason = $2
         WHERE user_id = $3 AND ended_at IS NULL AND id <> COALESCE($4, '')
         RETURNING id, user_id, ended_at",
        values![now, reason, user_id, except.map(str::to_owned)],
    )?;
    read_ended(&rows)
}

fn rotate(sql: &mut dyn Sql, old: &[u8; 32], new: &[u8; 32], now: i64, expires_at: i64) -> Result<Refreshed> {
    let used = sql.one(
        "UPDATE refresh_tokens SET used_at = $1 WHERE hash = $2 AND used_at IS NULL AND expires_at > $1
         RETURNING session_id",
        values![now, old],
    )?;
    if let Some(row) = used {
        let session = row.text(0)?;
        let Some((mut session, user)) = live(sql, &session, now)? else { return Ok(Refreshed::Unknown) };
        insert_refresh(sql, &session.id, new, expires_at)?;
        // A login lasts as long as it is renewed.
        sql.execute(
            "UPDATE auth_sessions SET expires_at = $1 WHERE id = $2 AND expires_at < $1",
            values![expires_at, &session.id],
        )?;
        session.expires_at = session.expires_at.max(expires_at);
        return Ok(Refreshed::Rotated(session, user));
    }
    let known = sql.one(
        "SELECT s.id, s.user_id FROM refresh_tokens r JOIN auth_sessions s ON s.id = r.session_id
         WHERE r.hash = $1 AND r.used_at IS NOT NULL",
        values![old],
    )?;
    let Some(row) = known else { return Ok(Refreshed::Unknown) };
    let (session_id, user_id) = (row.text(0)?, row.text(1)?);
    sql.execute(
        "UPDATE auth_sessions SET ended_at = $1, end_reason = $2 WHERE id = $3 AND ended_at IS NULL",
        values![now, REUSED, &session_id],
    )?;
    Ok(Refreshed::Reused { session_id, user_id })
}

impl Store {
    /// Stores a login and its first refresh token, if the proof still holds; returns false if it does not.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn add_login(&self, s: NewLogin, proof: LoginProof) -> Result<bool> {
        self.write(move |sql| {
            if !admits(sql, &s.user_id, &proof)? {
                return Ok(false);
            }
            sql.execute(
                "INSERT INTO auth_sessions (id, user_id, created_at, last_seen, expires_at, ip, user_agent, method)
                 VALUES ($1, $2, $3, $3, $4, $5, $6, $7)",
                values![&s.id, &s.user_id, s.created_at, s.expires_at, &s.ip, &s.user_agent, &s.method],
            )?;
            if let Some((hash, expires_at)) = &s.refresh {
                insert_refresh(sql, &s.id, hash, *expires_at)?;
            }
            Ok(true)
        })
        .await
    }

    /// A live login with its user.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn login(&self, id: &str) -> Result<Option<(LoginRow, User)>> {
        let id = id.to_owned();
        self.read(move |sql| live(sql, &id, clock())).await
    }

    /// A user's live logins, newest first.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn logins(&self, user_id: &str) -> Result<Vec<LoginRow>> {
        let user_id = user_id.to_owned();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT s.id, s.user_id, s.created_at, s.last_seen, s.expires_at, s.ip, s.user_agent, s.method
                 FROM auth_sessions s JOIN users u ON u.id = s.user_id
                 WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2
                   AND u.disabled = 0 AND u.deleted_at IS NULL
                 ORDER BY s.created_at DESC, s.id DESC",
                values![&user_id, clock()],
            )?;
            rows.iter().map(read_login).collect()
        })
        .await
    }

    /// Ends logins; returns those that had not ended before.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn end_logins(&self, which: EndLogins<'_>, reason: &str, now: i64) -> Result<Vec<EndedLogin>> {
        let (id, user_id, except) = match which {
            EndLogins::One { id, user_id } => (Some(id.to_owned()), user_id.map(str::to_owned), None),
            EndLogins::OfUser { user_id, except } => {
                (None, Some(user_id.to_owned()), except.map(str::to_owned))
            }
        };
        let reason = reason.to_owned();
        self.write(move |sql| {
            let Some(id) = &id else {
                let user_id = user_id.as_deref().unwrap_or_default();
                return end_of_user(sql, user_id, except.as_deref(), &reason, now);
            };
            let rows = sql.query(
                "UPDATE auth_sessions SET ended_at = $1, end_reason = $2
                 WHERE id = $3 AND ended_at IS NULL AND user_id = COALESCE($4, user_id)
                 RETURNING id, user_id, ended_at",
                values![now, &reason, id, &user_id],
            )?;
            read_ended(&rows)
        })
        .await
    }

    /// Logins that ended at this time or later, oldest first, for any reason.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn ended_since(&self, at_ms: i64) -> Result<Vec<EndedLogin>> {
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT id, user_id, ended_at FROM auth_sessions WHERE ended_at >= $1 ORDER BY ended_at, id",
                values![at_ms],
            )?;
            read_ended(&rows)
        })
        .await
    }

    /// Records when logins were last seen (id, milliseconds since 1970); never sets an earlier time.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn touch_logins(&self, mut seen: Vec<(String, i64)>) -> Result<()> {
        // All writers use one order, so that they never deadlock.
        seen.sort();
        self.write(move |sql| {
            for (id, at) in &seen {
                sql.execute(
                    "UPDATE auth_sessions SET last_seen = $1 WHERE id = $2 AND last_seen < $1",
                    values![*at, id],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Uses up a refresh token and stores the next one. A used one that is presented again ends its login.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn rotate_refresh(
        &self,
        old_hash: [u8; 32],
        new_hash: [u8; 32],
        now: i64,
        expires_at: i64,
    ) -> Result<Refreshed> {
        self.write(move |sql| rotate(sql, &old_hash, &new_hash, now, expires_at)).await
    }

    /// The user of this refresh token, used or not.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn refresh_owner(&self, hash: [u8; 32]) -> Result<Option<String>> {
        self.read(move |sql| {
            let row = sql.one(
                "SELECT s.user_id FROM refresh_tokens r JOIN auth_sessions s ON s.id = r.session_id
                 WHERE r.hash = $1",
                values![&hash],
            )?;
            row.map(|row| row.text(0)).transpose()
        })
        .await
    }
}
