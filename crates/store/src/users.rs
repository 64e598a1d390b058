//! Users: created, looked up, changed, and deleted to a tombstone that keeps the name.

use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::logins::{end_of_user, holds};
use crate::model::{ChangedUser, EndedLogin, NewUser, ProfileChange, Proven, Role, User, stored_role};
use crate::sql::{Row, Sql, values};
use crate::{Store, keys};

/// Reads the columns of a user, in this order, from column `at` on.
pub(crate) fn read_user(row: &Row, at: usize) -> Result<User> {
    Ok(User {
        id: row.text(at)?,
        username: row.text(at + 1)?,
        role: stored_role(&row.text(at + 2)?)?,
        password: row.maybe_text(at + 3)?,
        display_name: row.maybe_text(at + 4)?,
        email: row.maybe_text(at + 5)?,
        disabled: row.boolean(at + 6)?,
        issuer: row.maybe_text(at + 7)?,
        created_at: row.int(at + 8)?,
    })
}

fn insert(sql: &mut dyn Sql, new: &NewUser, issuer: Option<&str>) -> Result<Option<User>> {
    let user = User {
        id: Uuid::now_v7().to_string(),
        username: new.username.clone(),
        role: new.role,
        password: new.password.clone(),
        display_name: None,
        email: None,
        disabled: false,
        issuer: issuer.map(str::to_owned),
        created_at: new.created_at,
    };
    let made = sql.execute(
        "INSERT INTO users (id, username, role, password, disabled, issuer, created_at)
         VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT (username) DO NOTHING",
        values![&user.id, &user.username, user.role.as_str(), &user.password, issuer, user.created_at],
    )?;
    Ok((made == 1).then_some(user))
}

impl Store {
    /// Creates a user, with first keys if given, and returns it.
    ///
    /// # Errors
    /// `Conflict("username")` when the name is taken, also by a deleted user; `Conflict("public_key")` when a key belongs
    /// to another user.
    pub async fn create_user(&self, new: NewUser) -> Result<User> {
        self.write(move |sql| {
            let user = insert(sql, &new, None)?.ok_or(StoreError::Conflict("username"))?;
            if let Some((keys, entry)) = &new.keys {
                keys::put(sql, &user.id, keys, entry)?;
            }
            Ok(user)
        })
        .await
    }

    /// The user with this id, unless deleted.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn user(&self, id: &str) -> Result<Option<User>> {
        let id = id.to_owned();
        self.read(move |sql| {
            let row = sql.one(
                "SELECT id, username, role, password, display_name, email, disabled, issuer, created_at
                 FROM users WHERE id = $1 AND deleted_at IS NULL",
                values![&id],
            )?;
            row.map(|row| read_user(&row, 0)).transpose()
        })
        .await
    }

    /// The user with this name, unless deleted.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let name = name.to_owned();
        self.read(move |sql| by_name(sql, &name)).await
    }

    /// The issuer's user `issuer:claim`, created at the first login.
    ///
    /// # Errors
    /// `Conflict("username")` when the user was deleted; `Misconfigured` when the name has no issuer before its colon.
    pub async fn ensure_issuer_user(&self, username: &str, now: i64) -> Result<User> {
        let Some((issuer, _)) = username.split_once(':') else {
            return Err(StoreError::Misconfigured(format!("`{username}` names no issuer")));
        };
        if let Some(user) = self.user_by_name(username).await? {
            return Ok(user);
        }
        let issuer = issuer.to_owned();
        let new = NewUser {
            username: username.to_owned(),
            password: None,
            role: Role::User,
            keys: None,
            created_at: now,
        };
        self.write(move |sql| {
            if let Some(user) = insert(sql, &new, Some(&issuer))? {
                return Ok(user);
            }
            by_name(sql, &new.username)?.ok_or(StoreError::Conflict("username"))
        })
        .await
    }

    /// Changes a user's profile; returns false when the conditions of the change do not hold.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn change_profile(&self, id: &str, proven: Proven, change: ProfileChange) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |sql| {
            if !holds(sql, &id, &proven)? {
                return Ok(false);
            }
            let (name, email) = (&change.display_name, &change.email);
            sql.execute(
                "UPDATE users SET
                   display_name = CASE WHEN $1 = 1 THEN $2 ELSE display_name END,
                   email = CASE WHEN $3 = 1 THEN $4 ELSE email END
                 WHERE id = $5",
                values![
                    name.is_some(),
                    name.as_ref().and_then(Option::as_deref),
                    email.is_some(),
                    email.as_ref().and_then(Option::as_deref),
                    &id,
                ],
            )?;
            Ok(true)
        })
        .await
    }

    /// Changes a user's password to a new hash and ends all logins except the one of `proven`; returns the ended
    /// logins, or `None` when the conditions of the change do not hold.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn change_password(
        &self,
        id: &str,
        proven: Proven,
        hash: String,
        now: i64,
    ) -> Result<Option<Vec<EndedLogin>>> {
        let id = id.to_owned();
        self.write(move |sql| {
            if !holds(sql, &id, &proven)? {
                return Ok(None);
            }
            sql.execute("UPDATE users SET password = $1 WHERE id = $2", values![&hash, &id])?;
            end_of_user(sql, &id, proven.session_id.as_deref(), "password_changed", now).map(Some)
        })
        .await
    }

    /// Sets a user's role; returns false when the user does not exist.
    ///
    /// # Errors
    /// `Conflict("last_admin")` when no enabled administrator would be left; of the engine.
    pub async fn set_role(&self, id: &str, role: Role, now: i64) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |sql| {
            if role != Role::Admin {
                leave_an_admin(sql, &id)?;
            }
            let changed = sql.execute(
                "UPDATE users SET role = $1, changed_at = $2 WHERE id = $3 AND deleted_at IS NULL",
                values![role.as_str(), now, &id],
            )?;
            Ok(changed == 1)
        })
        .await
    }

    /// Locks a user out, which ends all logins, or unlocks the user; returns the ended logins, or `None` when the user
    /// does not exist.
    ///
    /// # Errors
    /// As [`Store::set_role`].
    pub async fn set_disabled(&self, id: &str, disabled: bool, now: i64) -> Result<Option<Vec<EndedLogin>>> {
        let id = id.to_owned();
        self.write(move |sql| {
            if disabled {
                leave_an_admin(sql, &id)?;
            }
            let changed = sql.execute(
                "UPDATE users SET disabled = $1, changed_at = $2 WHERE id = $3 AND deleted_at IS NULL",
                values![disabled, now, &id],
            )?;
            match (changed, disabled) {
                (1, true) => end_of_user(sql, &id, None, "disabled", now).map(Some),
                (1, false) => Ok(Some(Vec::new())),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Users whose role or lock was changed at this time or later.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn changed_users(&self, since: i64) -> Result<Vec<ChangedUser>> {
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT id, role, disabled, changed_at FROM users WHERE changed_at >= $1 ORDER BY changed_at, id",
                values![since],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(ChangedUser {
                        id: row.text(0)?,
                        role: stored_role(&row.text(1)?)?,
                        disabled: row.boolean(2)?,
                        changed_at: row.int(3)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Deletes a user: the name stays taken; password, keys, address, display name and all logins are removed. Returns
    /// the ended logins, or `None` when the conditions of the deletion do not hold.
    ///
    /// # Errors
    /// As [`Store::set_role`].
    pub async fn delete_user(&self, id: &str, proven: Proven, now: i64) -> Result<Option<Vec<EndedLogin>>> {
        let id = id.to_owned();
        self.write(move |sql| {
            if !holds(sql, &id, &proven)? {
                return Ok(None);
            }
            leave_an_admin(sql, &id)?;
            sql.execute(
                "UPDATE users SET password = NULL, display_name = NULL, email = NULL, disabled = 1, deleted_at = $1,
                   changed_at = $1 WHERE id = $2",
                values![now, &id],
            )?;
            sql.execute("DELETE FROM user_keys WHERE user_id = $1", values![&id])?;
            end_of_user(sql, &id, None, "deleted", now).map(Some)
        })
        .await
    }

    /// Users ordered by name, after the given name.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<User>> {
        let after = after.unwrap_or_default().to_owned();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT id, username, role, password, display_name, email, disabled, issuer, created_at
                 FROM users WHERE username > $1 AND deleted_at IS NULL ORDER BY username LIMIT $2",
                values![&after, limit],
            )?;
            rows.iter().map(|row| read_user(row, 0)).collect()
        })
        .await
    }

    /// The number of users.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn count_users(&self) -> Result<u64> {
        self.read(|sql| {
            let row = sql.one("SELECT COUNT(*) FROM users WHERE deleted_at IS NULL", &[])?;
            row.map_or(Ok(0), |row| Ok(row.int(0)?.unsigned_abs()))
        })
        .await
    }
}

fn by_name(sql: &mut dyn Sql, name: &str) -> Result<Option<User>> {
    let row = sql.one(
        "SELECT id, username, role, password, display_name, email, disabled, issuer, created_at
         FROM users WHERE username = $1 AND deleted_at IS NULL",
        values![name],
    )?;
    row.map(|row| read_user(&row, 0)).transpose()
}

/// Rejects a change of an administrator that would leave no other enabled one. Changes of administrators are
/// serialised: each first writes the same row.
fn leave_an_admin(sql: &mut dyn Sql, id: &str) -> Result<()> {
    sql.execute(
        "INSERT INTO settings (name, value) VALUES ('admins', '') ON CONFLICT (name) DO UPDATE SET value = ''",
        values![],
    )?;
    let admins = sql.query(
        "SELECT id FROM users WHERE role = 'admin' AND disabled = 0 AND deleted_at IS NULL ORDER BY id LIMIT 2",
        values![],
    )?;
    match &admins[..] {
        [only] if only.text(0)? == id => Err(StoreError::Conflict("last_admin")),
        _ => Ok(()),
    }
}
