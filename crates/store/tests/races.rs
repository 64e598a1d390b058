//! Concurrent callers, through two stores on one database (two nodes, or a command beside the server): exactly one
//! wins.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::future::Future;
use std::sync::Arc;

use common::{Stage, keys, new_user};
use fanfare_store::{
    AuditRow, Checkpoint, EndLogins, LoginProof, NewLogin, Proven, Refreshed, Store, StoreError,
};
use tokio::sync::Barrier;

stories!(
    one_of_many_uses_a_ticket,
    one_of_many_gets_a_name,
    one_of_many_rotates_a_refresh_token,
    no_login_survives_the_change_it_raced_with,
    one_of_many_gets_a_key,
    one_value_of_a_setting_is_kept,
    an_audit_chain_has_no_gap_and_no_double,
    stores_that_open_together_migrate_once,
);

const CALLERS: usize = 32;
const LATER: i64 = 4_000_000_000_000;

/// Runs all calls concurrently, half of them on each store.
async fn race<T, F>(stage: &Stage, call: impl Fn(Store, usize) -> F) -> (Store, Vec<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let stores = [stage.open().await, stage.open().await];
    let start = Arc::new(Barrier::new(CALLERS));
    let calls: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (call, start) = (call(stores[n % 2].clone(), n), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                call.await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    let [store, _] = stores;
    (store, answers)
}

async fn one_of_many_uses_a_ticket(stage: Stage) {
    let (_, used) =
        race(&stage, |store, _| async move { store.use_once("ticket", b"t", 1, LATER).await.unwrap() }).await;
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
}

async fn one_of_many_gets_a_name(stage: Stage) {
    let (store, made) =
        race(&stage, |store, _| async move { store.create_user(new_user("alice")).await }).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    assert!(made.iter().flat_map(|made| made.as_ref().err()).all(|e| *e == StoreError::Conflict("username")));
    assert_eq!(store.count_users().await.unwrap(), 1);
}

async fn one_of_many_rotates_a_refresh_token(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    let login = NewLogin { refresh: Some(([1; 32], LATER)), ..login("a", &alice.id) };
    assert!(store.add_login(login, by_password()).await.unwrap());
    let (store, answers) = race(&stage, |store, n| async move {
        store.rotate_refresh([1; 32], [100 + n as u8; 32], 5, LATER).await.unwrap()
    })
    .await;
    let rotated = answers.iter().filter(|answer| matches!(answer, Refreshed::Rotated(..))).count();
    let reused = answers.iter().filter(|answer| matches!(answer, Refreshed::Reused { .. })).count();
    assert_eq!((rotated, reused), (1, CALLERS - 1));
    assert_eq!(store.login("a").await.unwrap(), None, "reuse ended it");
    let all = EndLogins::OfUser { user_id: &alice.id, except: None };
    assert_eq!(store.end_logins(all, "again", 9).await.unwrap(), []);
}

fn login(id: &str, user_id: &str) -> NewLogin {
    NewLogin {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        created_at: 1,
        expires_at: LATER,
        ip: None,
        user_agent: None,
        method: "password".to_owned(),
        refresh: None,
    }
}

/// The proof of a password that matched the hash of [`new_user`].
fn by_password() -> LoginProof {
    LoginProof::Password { stored: new_user("x").password.unwrap(), replacement: None }
}

/// Logins by password and by key run concurrently with a change of password, of key, and a lock; in any order, none is
/// live afterwards. (With an insert that does not check the user's row, on PostgreSQL with one that does not lock it,
/// some are.)
async fn no_login_survives_the_change_it_raced_with(stage: Stage) {
    for round in 0..6 {
        let name = format!("alice{round}");
        let store = stage.open().await;
        let byte = 1 + 2 * round as u8;
        let user = fanfare_store::NewUser { keys: Some(keys(byte, 1)), ..new_user(&name) };
        let alice = store.create_user(user).await.unwrap();
        let id = alice.id.clone();
        let (store, _) = race(&stage, |store, n| {
            let id = id.clone();
            async move {
                if n == CALLERS / 2 {
                    return match round % 3 {
                        0 => {
                            let new = "$new".to_owned();
                            store.change_password(&id, Proven::default(), new, 5).await.unwrap().map(drop)
                        }
                        1 => {
                            let (new, entry) = keys(byte + 1, 2);
                            store.put_keys(&id, Proven::default(), new, entry, true).await.map(drop).ok()
                        }
                        _ => store.set_disabled(&id, true, 5).await.unwrap().map(drop),
                    };
                }
                let by_key = LoginProof::Key { device_id: "main".to_owned(), ik: [byte; 32] };
                let proof = if round % 3 == 1 { by_key } else { by_password() };
                let opened = store.add_login(login(&format!("{round}-{n}"), &id), proof).await;
                opened.unwrap().then_some(())
            }
        })
        .await;
        assert!(store.logins(&id).await.unwrap().is_empty(), "round {round}");
        if round % 3 == 2 {
            store.set_disabled(&id, false, 6).await.unwrap();
            assert!(store.logins(&id).await.unwrap().is_empty(), "round {round}: not when let in again");
        }
    }
}

async fn one_of_many_gets_a_key(stage: Stage) {
    let (store, made) = race(&stage, |store, n| async move {
        let user = new_user(&format!("user{n}"));
        store.create_user(fanfare_store::NewUser { keys: Some(keys(1, 1)), ..user }).await
    })
    .await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    assert!(
        made.iter().flat_map(|made| made.as_ref().err()).all(|e| *e == StoreError::Conflict("public_key"))
    );
    assert_eq!(store.count_users().await.unwrap(), 1);
}

async fn one_value_of_a_setting_is_kept(stage: Stage) {
    let (store, kept) =
        race(
            &stage,
            |store, n| async move { store.set_setting_once("server_id", &n.to_string()).await.unwrap() },
        )
        .await;
    let stored = store.setting("server_id").await.unwrap().unwrap();
    assert!(kept.iter().all(|kept| *kept == stored), "every caller gets the one that is kept");
}

async fn an_audit_chain_has_no_gap_and_no_double(stage: Stage) {
    let row = |seq: i64, caller: usize| AuditRow {
        node: "n".to_owned(),
        seq,
        ts: "2026-11-21T10:00:00.000Z".to_owned(),
        event: format!("caller{caller}"),
        outcome: "ok".to_owned(),
        severity: "info".to_owned(),
        user_id: None,
        session: None,
        ip: None,
        user_agent: None,
        request_id: None,
        origin: None,
        reason: None,
        detail: "{}".to_owned(),
        hash: [0; 32],
    };
    let (store, _) = race(&stage, move |store, n| async move {
        loop {
            let end = store.audit_end("n").await.unwrap().place();
            let next = end.last + 1;
            let head = Checkpoint {
                node: "n".to_owned(),
                seq: next + 1,
                hash: [0; 32],
                time: "t".to_owned(),
                sig: [0; 64],
            };
            if store.append_audit(end, vec![row(next, n), row(next + 1, n)], head, end.sealed).await.unwrap()
            {
                return;
            }
        }
    })
    .await;
    let rows = store.audit_rows(Some("n"), 0, 1000, Default::default()).await.unwrap();
    let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=2 * CALLERS as i64).collect::<Vec<_>>());
    assert!(rows.chunks(2).all(|pair| pair[0].event == pair[1].event), "rows of one append stay together");
}

async fn stores_that_open_together_migrate_once(stage: Stage) {
    let opens: Vec<_> = (0..6)
        .map(|_| {
            let options = stage.options.clone();
            tokio::spawn(async move { Store::open(options).await.map(|store| store.status().up) })
        })
        .collect();
    for open in opens {
        assert_eq!(open.await.unwrap(), Ok(true));
    }
    let states = fanfare_store::migrate::status(&stage.options).await.unwrap();
    assert!(states.iter().all(|state| state.applied_at.is_some()));
}
