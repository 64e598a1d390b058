//! The store's guarantees, on both engines.
//!
//! Longer than most: one story is one function, in the order of the tables.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Stage, keys, message, new_user};
use fanfare_store::{
    ApiKeyRow, Appended, AuditEnd, AuditFilter, AuditPlace, AuditRow, Checkpoint, ConnectionRow, EndLogins,
    KeptTopic, KeysPut, LoginProof, MetricPlace, MetricQuery, NewLogin, NewUser, ProfileChange, Proven,
    Refreshed, Role, Store, StoreError,
};

/// Far in the future, milliseconds since 1970.
const LATER: i64 = 4_000_000_000_000;

stories!(
    users_are_created_found_changed_and_deleted,
    a_name_or_key_that_is_taken_changes_nothing,
    issuer_users_are_created_at_the_first_login,
    keys_and_their_log_go_together,
    keys_change_ten_times_an_hour,
    a_replaced_key_ends_the_other_logins,
    logins_live_and_end,
    a_login_is_stored_only_if_its_proof_still_holds,
    a_change_is_made_only_if_its_proof_still_holds,
    the_last_admin_stays,
    a_changed_role_or_lock_is_found,
    locked_out_users_have_no_logins,
    a_used_refresh_token_ends_its_login,
    one_time_keys_work_once_across_restarts,
    small_things_are_kept_across_restarts,
    api_keys_are_found_by_hash,
    audit_rows_follow_their_head,
    audit_rows_are_filtered_and_pruned,
    metrics_are_kept_and_pruned,
    connections_are_kept,
    messages_are_kept_once,
    invalid_values_affect_no_other_write,
    the_sweep_removes_only_expired_rows,
    a_closed_store_returns_unavailable,
);

fn login(id: &str, user_id: &str, refresh: Option<[u8; 32]>) -> NewLogin {
    NewLogin {
        id: id.to_owned(),
        user_id: user_id.to_owned(),
        created_at: 1_000,
        expires_at: LATER,
        ip: Some("192.0.2.1".to_owned()),
        user_agent: None,
        method: "password".to_owned(),
        refresh: refresh.map(|hash| (hash, LATER)),
    }
}

/// Stores a login whose proof is the password of [`new_user`].
async fn open(store: &Store, login: NewLogin) {
    assert!(store.add_login(login, by("$argon2id$x")).await.unwrap());
}

/// The proof of a password with the given hash.
fn by(stored: &str) -> LoginProof {
    LoginProof::Password { stored: stored.to_owned(), replacement: None }
}

/// A change whose condition is a login.
fn with(session: &str) -> Proven {
    Proven { session_id: Some(session.to_owned()), password: None }
}

async fn users_are_created_found_changed_and_deleted(stage: Stage) {
    let store = stage.open().await;
    let made = store.create_user(new_user("alice")).await.unwrap();
    assert_eq!(made.id.len(), 36);
    assert_eq!(store.user(&made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.user_by_name("alice").await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.user_by_name("Alice").await.unwrap(), None);

    let nothing = Proven::default;
    let change = ProfileChange {
        display_name: Some(Some("Ålice \u{1f600}".to_owned())),
        email: Some(Some("a@example.org".to_owned())),
    };
    assert!(store.change_profile(&made.id, nothing(), change).await.unwrap());
    let emptied = ProfileChange { display_name: Some(None), ..ProfileChange::default() };
    let ended = store.change_password(&made.id, nothing(), "$new".to_owned(), 1_500).await.unwrap();
    assert_eq!(ended, Some(vec![]));
    assert!(store.set_role(&made.id, Role::Admin, 1_500).await.unwrap());
    another_admin(&store, "root").await;
    assert_eq!(store.set_disabled(&made.id, true, 1_600).await.unwrap(), Some(vec![]));
    let changed = store.user(&made.id).await.unwrap().unwrap();
    assert_eq!(changed.display_name.as_deref(), Some("Ålice \u{1f600}"));
    assert_eq!(
        (changed.role, changed.disabled, changed.password.as_deref()),
        (Role::Admin, true, Some("$new"))
    );
    assert!(!store.change_profile(&made.id, nothing(), emptied.clone()).await.unwrap(), "locked out");
    assert_eq!(store.set_disabled(&made.id, false, 1_700).await.unwrap(), Some(vec![]));
    assert!(store.change_profile(&made.id, nothing(), emptied.clone()).await.unwrap());
    let changed = store.user(&made.id).await.unwrap().unwrap();
    assert_eq!((changed.display_name, changed.email.as_deref()), (None, Some("a@example.org")));

    for name in ["carol", "bob", "b-2", "b_1"] {
        store.create_user(new_user(name)).await.unwrap();
    }
    let names = |users: Vec<fanfare_store::User>| users.into_iter().map(|u| u.username).collect::<Vec<_>>();
    assert_eq!(names(store.users(None, 3).await.unwrap()), ["alice", "b-2", "b_1"]);
    assert_eq!(names(store.users(Some("b_1"), 9).await.unwrap()), ["bob", "carol", "root"]);
    assert_eq!(store.count_users().await.unwrap(), 6);

    assert_eq!(store.delete_user(&made.id, nothing(), 2_000).await.unwrap(), Some(vec![]));
    assert_eq!(store.delete_user(&made.id, nothing(), 2_001).await.unwrap(), None);
    assert!(!store.change_profile(&made.id, nothing(), emptied).await.unwrap());
    assert_eq!(store.change_password(&made.id, nothing(), "$x".to_owned(), 2_002).await.unwrap(), None);
    assert!(!store.set_role(&made.id, Role::User, 2_003).await.unwrap());
    assert_eq!(store.set_disabled(&made.id, false, 2_004).await.unwrap(), None, "a deleted user stays out");
    assert_eq!(store.user(&made.id).await.unwrap(), None);
    assert_eq!(store.user_by_name("alice").await.unwrap(), None);
    assert_eq!(store.count_users().await.unwrap(), 5);
    assert_eq!(store.create_user(new_user("alice")).await, Err(StoreError::Conflict("username")));
}

async fn a_name_or_key_that_is_taken_changes_nothing(stage: Stage) {
    let store = stage.open().await;
    let with_keys = |name: &str, byte| fanfare_store::NewUser { keys: Some(keys(byte, 1)), ..new_user(name) };
    let alice = store.create_user(with_keys("alice", 1)).await.unwrap();
    assert_eq!(store.create_user(with_keys("bob", 1)).await, Err(StoreError::Conflict("public_key")));
    assert_eq!(store.user_by_name("bob").await.unwrap(), None, "the user of a refused key is not made");
    assert_eq!(store.create_user(with_keys("alice", 2)).await, Err(StoreError::Conflict("username")));
    let mut same_ek = with_keys("bob", 3);
    same_ek.keys.as_mut().unwrap().0.ek = keys(1, 1).0.ek;
    assert_eq!(store.create_user(same_ek).await, Err(StoreError::Conflict("public_key")));
    store.create_user(with_keys("bob", 4)).await.unwrap();
    store.delete_user(&alice.id, Proven::default(), 9).await.unwrap().unwrap();
    assert_eq!(store.device_keys(&alice.id).await.unwrap(), []);
}

async fn issuer_users_are_created_at_the_first_login(stage: Stage) {
    let store = stage.open().await;
    let made = store.ensure_issuer_user("app:Ann 1", 5).await.unwrap();
    assert_eq!((made.issuer.as_deref(), made.password.as_deref()), (Some("app"), None));
    assert_eq!(store.ensure_issuer_user("app:Ann 1", 6).await.unwrap(), made);
    assert!(matches!(store.ensure_issuer_user("ann", 6).await, Err(StoreError::Misconfigured(_))));
    store.delete_user(&made.id, Proven::default(), 7).await.unwrap().unwrap();
    assert_eq!(store.ensure_issuer_user("app:Ann 1", 8).await, Err(StoreError::Conflict("username")));
}

async fn keys_and_their_log_go_together(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    let put = |user: &str, (keys, entry)| {
        let (store, user) = (store.clone(), user.to_owned());
        async move { store.put_keys(&user, Proven::default(), keys, entry, true).await }
    };
    let log = |user: &str| {
        let (store, user) = (store.clone(), user.to_owned());
        async move { store.key_log(&user, None, 9).await.unwrap() }
    };
    let (first, entry) = keys(1, 1);
    assert_eq!(put(&alice.id, keys(1, 1)).await, Ok(KeysPut::Done(vec![])));
    assert_eq!(store.device_keys(&alice.id).await.unwrap(), std::slice::from_ref(&first));
    let (second, next) = keys(2, 2);
    assert_eq!(put(&alice.id, (second.clone(), keys(2, 3).1)).await, Err(StoreError::Conflict("n")));
    assert_eq!(put(&alice.id, (second.clone(), entry.clone())).await, Err(StoreError::Conflict("n")));
    assert_eq!(put(&bob.id, keys(1, 1)).await, Err(StoreError::Conflict("public_key")), "another's");
    assert_eq!(log(&bob.id).await, []);
    put(&alice.id, keys(2, 2)).await.unwrap();
    assert_eq!(store.device_keys(&alice.id).await.unwrap(), [second]);
    assert_eq!(log(&alice.id).await, [entry, next]);
    assert_eq!(put("nobody", keys(9, 1)).await, Ok(KeysPut::Unproven));
}

async fn keys_change_ten_times_an_hour(stage: Stage) {
    const HOUR: i64 = 3_600_000;
    let store = stage.open().await;
    let user = fanfare_store::NewUser { keys: Some(keys(1, 1)), ..new_user("alice") };
    let alice = store.create_user(user).await.unwrap();
    let put = |n: i64, at: i64| {
        let (store, id) = (store.clone(), alice.id.clone());
        let (keys, entry) = keys(n as u8, n);
        let entry = fanfare_store::KeyLogEntry { at, ..entry };
        async move { store.put_keys(&id, Proven::default(), keys, entry, false).await.unwrap() }
    };
    for n in 2..=11 {
        assert_eq!(put(n, 1_000 * n).await, KeysPut::Done(vec![]), "{n}: the first key is no change");
    }
    for _ in 0..3 {
        let again_at = 2_000 + HOUR;
        assert_eq!(
            put(12, again_at - 1).await,
            KeysPut::TooOften { again_at },
            "a refused one does not count"
        );
    }
    assert_eq!(put(12, 2_000 + HOUR).await, KeysPut::Done(vec![]));
    assert_eq!(put(13, 2_001 + HOUR).await, KeysPut::TooOften { again_at: 3_000 + HOUR });
    assert_eq!(put(13, 3_000 + HOUR).await, KeysPut::Done(vec![]));
    let page = async |before| {
        let log = store.key_log(&alice.id, before, 5).await.unwrap();
        log.into_iter().map(|entry| entry.n).collect::<Vec<_>>()
    };
    assert_eq!(page(None).await, [9, 10, 11, 12, 13]);
    assert_eq!(page(Some(9)).await, [4, 5, 6, 7, 8]);
    assert_eq!(page(Some(4)).await, [1, 2, 3]);
    assert_eq!(page(Some(1)).await, [0; 0]);
}

async fn a_replaced_key_ends_the_other_logins(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    for id in ["a", "b", "c"] {
        open(&store, login(id, &alice.id, None)).await;
    }
    open(&store, login("d", &bob.id, None)).await;
    let put = |n: i64, replaces| {
        let (store, id, (keys, entry)) = (store.clone(), alice.id.clone(), keys(n as u8, n));
        async move { store.put_keys(&id, with("b"), keys, entry, replaces).await.unwrap() }
    };
    assert_eq!(put(1, false).await, KeysPut::Done(vec![]), "the first replaces none");
    let KeysPut::Done(ended) = put(2, true).await else { panic!("refused") };
    let mut ended: Vec<_> = ended.into_iter().map(|login| login.id).collect();
    ended.sort();
    assert_eq!(ended, ["a", "c"]);
    assert!(store.login("b").await.unwrap().is_some() && store.login("d").await.unwrap().is_some());
}

async fn logins_live_and_end(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    for id in ["a", "b", "c"] {
        open(&store, login(id, &alice.id, None)).await;
    }
    let mut old = login("old", &alice.id, None);
    old.expires_at = 2_000;
    open(&store, old).await;
    assert_eq!(store.login("old").await.unwrap(), None, "expired");
    let (session, user) = store.login("a").await.unwrap().unwrap();
    assert_eq!((session.last_seen, session.ip.as_deref(), user), (1_000, Some("192.0.2.1"), alice.clone()));

    store
        .touch_logins(vec![("b".to_owned(), 5_000), ("x".to_owned(), 1), ("a".to_owned(), 3)])
        .await
        .unwrap();
    assert_eq!(store.login("b").await.unwrap().unwrap().0.last_seen, 5_000);
    assert_eq!(store.login("a").await.unwrap().unwrap().0.last_seen, 1_000, "never back");
    let ids: Vec<_> = store.logins(&alice.id).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(ids, ["c", "b", "a"]);

    let one = |id, user_id| EndLogins::One { id, user_id };
    assert_eq!(store.end_logins(one("a", Some("other")), "logout", 10).await.unwrap(), []);
    let ended = store.end_logins(one("a", Some(&alice.id)), "logout", 10).await.unwrap();
    assert_eq!((ended.len(), ended[0].id.as_str(), ended[0].ended_at), (1, "a", 10));
    assert_eq!(store.end_logins(one("a", None), "logout", 11).await.unwrap(), [], "only once");
    let all = EndLogins::OfUser { user_id: &alice.id, except: Some("b") };
    let ended = store.end_logins(all, "password", 12).await.unwrap();
    assert!(ended.iter().any(|s| s.id == "c") && ended.iter().all(|s| s.id != "b"));
    assert!(store.login("b").await.unwrap().is_some());
    let since: Vec<_> = store.ended_since(10).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(since, ["a", "c", "old"]);
    assert_eq!(store.ended_since(13).await.unwrap(), []);
    let stranger = login("z", "nobody", None);
    assert!(!store.add_login(stranger, by("$argon2id$x")).await.unwrap());
}

async fn a_login_is_stored_only_if_its_proof_still_holds(stage: Stage) {
    let store = stage.open().await;
    let user = fanfare_store::NewUser { keys: Some(keys(1, 1)), ..new_user("alice") };
    let alice = store.create_user(user).await.unwrap();
    let attempt = |id: &str, proof: LoginProof| {
        let (store, login) = (store.clone(), login(id, &alice.id, Some([id.as_bytes()[0]; 32])));
        async move {
            let (id, stored) = (login.id.clone(), store.add_login(login, proof).await.unwrap());
            assert_eq!(store.login(&id).await.unwrap().is_some(), stored);
            stored
        }
    };
    let by_key = |byte: u8| LoginProof::Key { device_id: "main".to_owned(), ik: [byte; 32] };
    assert!(attempt("a", by("$argon2id$x")).await && attempt("b", by_key(1)).await, "the twin");
    // The parameters of the hash are outdated: it is replaced with the login, never after a change of the password.
    let replace = |stored: &str, new: &str| LoginProof::Password {
        stored: stored.to_owned(),
        replacement: Some(new.to_owned()),
    };
    assert!(attempt("c", replace("$argon2id$x", "$argon2id$y")).await);
    assert!(!attempt("d", by("$argon2id$x")).await, "checked before it was replaced: it is checked again");
    store.change_password(&alice.id, with("c"), "$new".to_owned(), 9).await.unwrap().unwrap();
    assert!(!attempt("e", by("$argon2id$y")).await, "the password was changed");
    assert!(!attempt("f", replace("$argon2id$y", "$argon2id$z")).await);
    let stored = store.user(&alice.id).await.unwrap().unwrap().password;
    assert_eq!(stored.as_deref(), Some("$new"), "and the new one stays");
    assert!(attempt("g", by_key(1)).await, "a key is not the password");
    let (second, next) = keys(2, 2);
    store.put_keys(&alice.id, Proven::default(), second, next, true).await.unwrap();
    assert!(!attempt("h", by_key(1)).await, "the key was replaced");
    assert!(attempt("i", by_key(2)).await);
    store.set_disabled(&alice.id, true, 10).await.unwrap().unwrap();
    assert!(!attempt("j", by("$new")).await && !attempt("k", by_key(2)).await, "locked out");
    store.set_disabled(&alice.id, false, 11).await.unwrap().unwrap();
    assert!(attempt("l", by("$new")).await);
    store.delete_user(&alice.id, with("l"), 12).await.unwrap().unwrap();
    assert!(!attempt("m", by("$new")).await && !attempt("n", by_key(2)).await, "deleted");
    let late = store.rotate_refresh([b'l'; 32], [7; 32], 13, LATER).await.unwrap();
    assert_eq!(late, Refreshed::Unknown, "a refresh that was on its way renews nothing");
}

async fn a_change_is_made_only_if_its_proof_still_holds(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    for (id, user) in [("a", &alice), ("b", &alice), ("c", &bob)] {
        open(&store, login(id, &user.id, None)).await;
    }
    let end = EndLogins::One { id: "b", user_id: None };
    store.end_logins(end, "logout", 5).await.unwrap();
    let password = |stored: &str| Proven { session_id: None, password: Some(stored.to_owned()) };
    let email = || ProfileChange { email: Some(Some("a@b".to_owned())), ..ProfileChange::default() };
    for proven in [with("b"), with("c"), with("x"), password("$old"), password("")] {
        let id = &alice.id;
        assert!(!store.change_profile(id, proven.clone(), email()).await.unwrap(), "{proven:?}");
        assert_eq!(store.change_password(id, proven.clone(), "$n".to_owned(), 6).await.unwrap(), None);
        assert_eq!(store.delete_user(id, proven.clone(), 6).await.unwrap(), None);
        let (first, entry) = keys(1, 1);
        assert_eq!(store.put_keys(id, proven, first, entry, true).await.unwrap(), KeysPut::Unproven);
    }
    let found = store.user(&alice.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&alice), "nothing was changed");
    assert!(store.login("a").await.unwrap().is_some());
    let valid = Proven { session_id: Some("a".to_owned()), password: alice.password.clone() };
    assert!(store.change_profile(&alice.id, valid.clone(), email()).await.unwrap(), "the twin");
    assert_eq!(store.delete_user(&alice.id, valid, 7).await.unwrap().map(|ended| ended.len()), Some(1));
}

/// Creates a user who is an administrator from the start.
async fn another_admin(store: &Store, name: &str) -> fanfare_store::User {
    store.create_user(NewUser { role: Role::Admin, ..new_user(name) }).await.unwrap()
}

async fn the_last_admin_stays(stage: Stage) {
    let store = stage.open().await;
    let root = another_admin(&store, "root").await;
    let is_refused =
        |outcome: Result<(), StoreError>| matches!(outcome, Err(StoreError::Conflict("last_admin")));
    let demote = async |id: &str| store.set_role(id, Role::User, 5).await.map(drop);
    let lock = async |id: &str| store.set_disabled(id, true, 5).await.map(drop);
    let delete = async |id: &str| store.delete_user(id, Proven::default(), 5).await.map(drop);
    assert!(is_refused(demote(&root.id).await));
    assert!(is_refused(lock(&root.id).await));
    assert!(is_refused(delete(&root.id).await));
    let kept = store.user(&root.id).await.unwrap().unwrap();
    assert_eq!((kept.role, kept.disabled), (Role::Admin, false));
    // A disabled administrator does not count.
    let second = another_admin(&store, "second").await;
    lock(&second.id).await.unwrap();
    assert!(is_refused(demote(&root.id).await));
    store.set_disabled(&second.id, false, 6).await.unwrap();
    // Of two who demote each other at once, one stays.
    let outcomes = tokio::join!(demote(&root.id), demote(&second.id));
    assert_eq!([outcomes.0, outcomes.1].into_iter().filter(|o| o.is_ok()).count(), 1);
    let user = store.create_user(new_user("ann")).await.unwrap();
    delete(&user.id).await.unwrap();
}

async fn a_changed_role_or_lock_is_found(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    let bob = store.create_user(new_user("bob")).await.unwrap();
    store.create_user(new_user("carol")).await.unwrap();
    assert_eq!(store.changed_users(0).await.unwrap(), [], "a new user is no change");
    another_admin(&store, "root").await;
    store.set_role(&alice.id, Role::Admin, 10).await.unwrap();
    store.set_disabled(&bob.id, true, 20).await.unwrap();
    let changed = async |since| {
        let users = store.changed_users(since).await.unwrap();
        users.into_iter().map(|user| (user.id, user.role, user.disabled, user.changed_at)).collect::<Vec<_>>()
    };
    let (admin, locked) =
        ((alice.id.clone(), Role::Admin, false, 10), (bob.id.clone(), Role::User, true, 20));
    assert_eq!(changed(0).await, [admin, locked.clone()]);
    assert_eq!(changed(11).await, [locked]);
    store.delete_user(&alice.id, Proven::default(), 30).await.unwrap();
    assert_eq!(changed(30).await, [(alice.id, Role::Admin, true, 30)]);
}

async fn locked_out_users_have_no_logins(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    open(&store, login("a", &alice.id, None)).await;
    let ended = store.set_disabled(&alice.id, true, 8).await.unwrap().unwrap();
    assert_eq!((ended.len(), ended[0].id.as_str()), (1, "a"));
    assert_eq!(store.login("a").await.unwrap(), None);
    assert_eq!(store.logins(&alice.id).await.unwrap(), []);
    store.set_disabled(&alice.id, false, 9).await.unwrap().unwrap();
    assert_eq!(store.login("a").await.unwrap(), None, "it ended and stays ended");
    open(&store, login("b", &alice.id, None)).await;
    let ended = store.delete_user(&alice.id, Proven::default(), 10).await.unwrap().unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(store.login("b").await.unwrap(), None);
}

async fn a_used_refresh_token_ends_its_login(stage: Stage) {
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    open(&store, login("a", &alice.id, Some([1; 32]))).await;
    assert_eq!(store.refresh_owner([1; 32]).await.unwrap().as_ref(), Some(&alice.id));
    assert_eq!(store.refresh_owner([9; 32]).await.unwrap(), None);
    assert_eq!(store.rotate_refresh([9; 32], [2; 32], 50, LATER).await.unwrap(), Refreshed::Unknown);
    let rotated = store.rotate_refresh([1; 32], [2; 32], 50, LATER).await.unwrap();
    assert!(matches!(rotated, Refreshed::Rotated(session, user) if session.id == "a" && user == alice));
    assert!(matches!(store.rotate_refresh([2; 32], [3; 32], 60, 100).await.unwrap(), Refreshed::Rotated(..)));
    assert_eq!(
        store.rotate_refresh([3; 32], [4; 32], 100, LATER).await.unwrap(),
        Refreshed::Unknown,
        "expired"
    );
    let reused = Refreshed::Reused { session_id: "a".to_owned(), user_id: alice.id.clone() };
    assert_eq!(store.rotate_refresh([1; 32], [5; 32], 70, LATER).await.unwrap(), reused);
    assert_eq!(store.login("a").await.unwrap(), None, "the family has ended");
    assert_eq!(store.ended_since(70).await.unwrap().len(), 1);
    assert_eq!(store.rotate_refresh([3; 32], [6; 32], 71, LATER).await.unwrap(), Refreshed::Unknown);
}

async fn one_time_keys_work_once_across_restarts(stage: Stage) {
    let store = stage.open().await;
    assert!(store.use_once("ticket", b"k", 10, 100).await.unwrap());
    assert!(!store.use_once("ticket", b"k", 11, 100).await.unwrap());
    assert!(store.use_once("challenge", b"k", 11, 100).await.unwrap(), "another kind");
    assert!(!store.use_once("ticket", b"late", 100, 100).await.unwrap(), "it has expired");
    store.close().await;
    let store = stage.open().await;
    assert!(!store.use_once("ticket", b"k", 12, 100).await.unwrap());
}

async fn small_things_are_kept_across_restarts(stage: Stage) {
    let store = stage.open().await;
    assert_eq!(store.setting("server_id").await.unwrap(), None);
    assert_eq!(store.set_setting_once("server_id", "one").await.unwrap(), "one");
    assert_eq!(store.set_setting_once("server_id", "two").await.unwrap(), "one");
    for (origin, at) in [("https://b.example", 1), ("https://a.example", 2), ("https://b.example", 3)] {
        store.add_origin(origin, at).await.unwrap();
    }
    // A topic name may contain what PostgreSQL's texts cannot.
    const ODD: &str = "\u{1}a\0b\u{1}0";
    let topic = |name: &str, size: Option<u64>| KeptTopic {
        name: name.to_owned(),
        backpressure: Some("drop_oldest".to_owned()),
        durable: size.map(|size| size == 5),
        history_size: size,
        history_ttl_ms: None,
        history_topic_bytes: size.map(|size| u64::MAX - size),
        created_at: 1,
    };
    for (name, size) in [("b", None), ("a", Some(5)), ("c", None), ("b", Some(7)), (ODD, None)] {
        store.keep_topic(topic(name, size)).await.unwrap();
    }
    store.forget_topic("c").await.unwrap();
    store.close().await;
    let store = stage.open().await;
    assert_eq!(store.setting("server_id").await.unwrap().as_deref(), Some("one"));
    assert_eq!(store.origins().await.unwrap(), ["https://b.example", "https://a.example"]);
    assert_eq!(
        store.kept_topics().await.unwrap(),
        [topic(ODD, None), topic("a", Some(5)), topic("b", Some(7))]
    );
    store.forget_topic(ODD).await.unwrap();
    assert_eq!(store.kept_topics().await.unwrap().len(), 2);
}

async fn api_keys_are_found_by_hash(stage: Stage) {
    let store = stage.open().await;
    let key = |name: &str, byte| ApiKeyRow {
        name: name.to_owned(),
        hash: [byte; 32],
        scopes: "publish admin".to_owned(),
        created_at: 1,
    };
    store.create_api_key(key("app", 1)).await.unwrap();
    assert_eq!(store.create_api_key(key("app", 2)).await, Err(StoreError::Conflict("name")));
    assert_eq!(store.create_api_key(key("two", 1)).await, Err(StoreError::Conflict("hash")));
    assert_eq!(store.api_key([1; 32]).await.unwrap(), Some(key("app", 1)));
    assert_eq!(store.api_key([2; 32]).await.unwrap(), None);
    store.create_api_key(key("aaa", 3)).await.unwrap();
    assert_eq!(store.api_keys().await.unwrap(), [key("aaa", 3), key("app", 1)]);
    assert!(store.delete_api_key("app").await.unwrap());
    assert!(!store.delete_api_key("app").await.unwrap());
    assert_eq!(store.api_key([1; 32]).await.unwrap(), None);
}

fn audit(node: &str, seq: i64, event: &str) -> AuditRow {
    AuditRow {
        node: node.to_owned(),
        seq,
        ts: format!("2026-11-21T10:00:{seq:02}.000Z"),
        event: event.to_owned(),
        outcome: "ok".to_owned(),
        severity: "info".to_owned(),
        user_id: (seq % 2 == 0).then(|| "u".to_owned()),
        session: Some("s".to_owned()),
        ip: None,
        user_agent: None,
        request_id: Some("r".to_owned()),
        origin: None,
        reason: None,
        detail: "{\"a\":1}".to_owned(),
        hash: [seq as u8; 32],
    }
}

/// A signed head.
fn sealed(node: &str, seq: i64) -> Checkpoint {
    Checkpoint { node: node.to_owned(), seq, hash: [seq as u8; 32], time: "t".to_owned(), sig: [3; 64] }
}

fn place(last: i64) -> AuditPlace {
    AuditPlace { last, sealed: (last > 0).then_some(last) }
}

async fn audit_rows_follow_their_head(stage: Stage) {
    let store = stage.open().await;
    assert_eq!(store.audit_end("n1").await.unwrap(), AuditEnd { last: 0, sealed: None });
    let two = vec![audit("n1", 1, "start"), audit("n1", 2, "login")];
    let append = |on: AuditPlace, rows: &[AuditRow], supersedes: Option<i64>| {
        let last = rows.last().unwrap();
        store.append_audit(on, rows.to_vec(), sealed(&last.node, last.seq), supersedes)
    };
    assert!(!append(place(1), &two, None).await.unwrap());
    assert!(append(place(0), &two, None).await.unwrap());
    assert!(!append(place(0), &two, None).await.unwrap(), "the head has moved");
    assert!(!append(place(1), &[audit("n1", 2, "x")], None).await.unwrap());
    assert!(append(place(0), &[audit("n2", 1, "start")], None).await.unwrap());
    // An existing row among new ones: none of them is stored, nor their head.
    let overlap = [audit("n1", 3, "x"), audit("n1", 2, "x")];
    assert!(!append(place(2), &overlap, Some(2)).await.unwrap());
    let whole = AuditEnd { last: 2, sealed: Some(sealed("n1", 2)) };
    assert_eq!(store.audit_end("n1").await.unwrap(), whole);
    assert_eq!(store.audit_rows(Some("n1"), 0, 10, AuditFilter::default()).await.unwrap(), two);
    assert_eq!(store.audit_nodes().await.unwrap(), ["n1", "n2"]);
    // Rows without their head, and a head without its rows, are another end.
    for on in [AuditPlace { last: 2, sealed: None }, AuditPlace { last: 1, sealed: Some(2) }] {
        assert!(!append(on, &[audit("n1", 3, "x")], None).await.unwrap(), "{on:?}");
    }
    assert!(append(place(2), &[audit("n1", 3, "x")], None).await.unwrap());
    assert!(append(place(3), &[audit("n1", 4, "x")], Some(3)).await.unwrap());
    assert_eq!(store.checkpoints("n1").await.unwrap(), [sealed("n1", 2), sealed("n1", 4)]);
    assert_eq!(store.checkpoints("n2").await.unwrap(), [sealed("n2", 1)]);
}

async fn audit_rows_are_filtered_and_pruned(stage: Stage) {
    let store = stage.open().await;
    let rows = (1..=6).map(|seq| audit("n1", seq, if seq < 4 { "login" } else { "logout" })).collect();
    assert!(store.append_audit(place(0), rows, sealed("n1", 6), None).await.unwrap());
    let seqs = |rows: Vec<AuditRow>| rows.into_iter().map(|row| row.seq).collect::<Vec<_>>();
    let filter = |event: Option<&str>, user: Option<&str>, since: Option<&str>| AuditFilter {
        event: event.map(str::to_owned),
        user_id: user.map(str::to_owned),
        since: since.map(str::to_owned),
    };
    let all = AuditFilter::default();
    assert_eq!(seqs(store.audit_rows(None, 2, 2, all.clone()).await.unwrap()), [3, 4]);
    assert_eq!(seqs(store.audit_tail(all.clone(), None, 2).await.unwrap()), [6, 5]);
    assert_eq!(seqs(store.audit_tail(all.clone(), Some(5), 9).await.unwrap()), [4, 3, 2, 1]);
    let logins = filter(Some("login"), None, None);
    assert_eq!(seqs(store.audit_tail(logins, None, 9).await.unwrap()), [3, 2, 1]);
    let user = filter(None, Some("u"), Some("2026-11-21T10:00:03.000Z"));
    assert_eq!(seqs(store.audit_rows(Some("n1"), 0, 9, user).await.unwrap()), [4, 6]);
    assert_eq!(store.prune_audit("n1", 4).await.unwrap(), 4);
    assert_eq!(store.prune_audit("n1", 99).await.unwrap(), 1, "the head stays");
    assert_eq!(seqs(store.audit_rows(None, 0, 9, all).await.unwrap()), [6]);
    assert!(store.append_audit(place(6), vec![audit("n1", 7, "x")], sealed("n1", 7), None).await.unwrap());
    assert_eq!(store.prune_audit("n1", 7).await.unwrap(), 1);
    assert_eq!(store.checkpoints("n1").await.unwrap(), [sealed("n1", 7)], "those before it go too");
}

async fn metrics_are_kept_and_pruned(stage: Stage) {
    let store = stage.open().await;
    let rows = |value: f64| vec![("up".to_owned(), value), ("msgs{dir=\"in\"}".to_owned(), value + 0.5)];
    store.put_metrics(10, "n1", rows(1.0)).await.unwrap();
    store.put_metrics(20, "n1", rows(2.0)).await.unwrap();
    store.put_metrics(20, "n1", rows(3.0)).await.unwrap();
    let values =
        |rows: Vec<fanfare_store::MetricRow>| rows.iter().map(|r| (r.at, r.value)).collect::<Vec<_>>();
    assert_eq!(
        values(store.metrics(common::metrics(Some("up"), None, 9)).await.unwrap()),
        [(20, 3.0), (10, 1.0)]
    );
    assert_eq!(values(store.metrics(common::metrics(Some("msgs"), Some(20), 9)).await.unwrap()), [(20, 3.5)]);
    assert_eq!(
        values(store.metrics(common::metrics(Some("msgs{dir=\"in\"}"), None, 1)).await.unwrap()),
        [(20, 3.5)]
    );
    assert_eq!(store.metrics(common::metrics(None, None, 9)).await.unwrap().len(), 4);
    let (mut paged, mut before) = (Vec::new(), None);
    for _ in 0..4 {
        let next = MetricQuery { before: before.take(), ..common::metrics(None, None, 1) };
        let page = store.metrics(next).await.unwrap();
        before = page.last().map(|r| MetricPlace { at: r.at, node: r.node.clone(), name: r.name.clone() });
        paged.extend(page);
    }
    assert_eq!(paged, store.metrics(common::metrics(None, None, 9)).await.unwrap());
    let end = MetricQuery { before, ..common::metrics(None, None, 1) };
    assert_eq!(store.metrics(end).await.unwrap(), []);
    assert_eq!(store.prune_metrics(20).await.unwrap(), 2);
    assert_eq!(store.metrics(common::metrics(None, None, 9)).await.unwrap().len(), 2);
}

async fn connections_are_kept(stage: Stage) {
    let store = stage.open().await;
    let row = |at, close_code| ConnectionRow {
        user_id: "u".to_owned(),
        session_code: "brave-otter-7".to_owned(),
        connected_at: at,
        disconnected_at: at + 5,
        messages_sent: 3,
        messages_received: 4,
        ip_address: Some("::1".to_owned()),
        user_agent: None,
        close_code,
    };
    store.put_connections(vec![row(1, Some(1000)), row(2, None)]).await.unwrap();
    store.put_connections(Vec::new()).await.unwrap();
    assert_eq!(store.connections("u", 9).await.unwrap(), [row(2, None), row(1, Some(1000))]);
    assert_eq!(store.connections("v", 9).await.unwrap(), []);
}

async fn messages_are_kept_once(stage: Stage) {
    let store = stage.open().await;
    let Appended::New { seq } = store.append_message(message("m1")).await.unwrap() else { panic!("not new") };
    assert_eq!(store.append_message(message("m1")).await.unwrap(), Appended::Duplicate { seq });
    let other = fanfare_store::NewMessage { envelope: "{}".to_owned(), ..message("m1") };
    assert_eq!(store.append_message(other).await.unwrap(), Appended::IdConflict);
    let kept = store.message("m1").await.unwrap().unwrap();
    assert_eq!((kept.seq, kept.message), (seq, message("m1")));
    assert_eq!(store.message("m2").await.unwrap(), None);
    // The same message from many senders at once: stored once, and every sender gets the same row.
    let senders: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.append_message(message("m3")).await.unwrap() })
        })
        .collect();
    let (mut new, mut seqs) = (0, std::collections::BTreeSet::new());
    for sender in senders {
        match sender.await.unwrap() {
            Appended::New { seq } => {
                new += 1;
                seqs.insert(seq);
            }
            Appended::Duplicate { seq } => drop(seqs.insert(seq)),
            Appended::IdConflict => panic!("the same bytes"),
        }
    }
    assert_eq!((new, seqs.len()), (1, 1));
    assert_eq!(store.count_messages().await.unwrap(), 2);
}

async fn invalid_values_affect_no_other_write(stage: Stage) {
    let store = stage.open().await;
    let invalid = fanfare_store::NewMessage { content: "a\0b".to_owned(), ..message("invalid") };
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (store, invalid) = (store.clone(), invalid.clone());
            tokio::spawn(async move {
                match n % 4 {
                    0 => store.append_message(invalid).await.map(drop),
                    1 => store.append_message(message(&format!("m{n}"))).await.map(drop),
                    2 => store.create_user(new_user("same")).await.map(drop),
                    _ => store.create_user(new_user(&format!("u{n}"))).await.map(drop),
                }
            })
        })
        .collect();
    let mut counts = [0; 4];
    for (n, task) in tasks.into_iter().enumerate() {
        match (n % 4, task.await.unwrap()) {
            (0, Err(StoreError::Invalid(_))) | (2, Err(StoreError::Conflict("username"))) => {}
            (kind, Ok(())) => counts[kind] += 1,
            (kind, error) => panic!("{kind}: {error:?}"),
        }
    }
    assert_eq!(counts, [0, 50, 1, 50]);
    assert_eq!((store.count_messages().await.unwrap(), store.count_users().await.unwrap()), (50, 51));
    assert!(matches!(store.set_setting_once("x", "\0").await, Err(StoreError::Invalid(_))));
    assert!(store.status().up, "invalid input does not affect the store's health");
}

async fn the_sweep_removes_only_expired_rows(stage: Stage) {
    const DAY: i64 = 86_400_000;
    let store = stage.open().await;
    let alice = store.create_user(new_user("alice")).await.unwrap();
    for (id, byte) in [("a", 1), ("b", 2)] {
        open(&store, login(id, &alice.id, Some([byte; 32]))).await;
    }
    store.use_once("ticket", b"old", 1, DAY).await.unwrap();
    store.use_once("ticket", b"new", 1, 90 * DAY).await.unwrap();
    store.end_logins(EndLogins::One { id: "a", user_id: None }, "logout", DAY).await.unwrap();
    store.sweep(20 * DAY).await.unwrap();
    assert_eq!(store.ended_since(0).await.unwrap().len(), 1, "ended logins are remembered for 30 days");
    assert!(store.use_once("ticket", b"old", 20 * DAY, 21 * DAY).await.unwrap(), "forgotten");
    assert!(!store.use_once("ticket", b"new", 20 * DAY, 21 * DAY).await.unwrap());
    store.sweep(40 * DAY).await.unwrap();
    assert_eq!(store.ended_since(0).await.unwrap(), []);
    assert_eq!(store.rotate_refresh([1; 32], [3; 32], 41, LATER).await.unwrap(), Refreshed::Unknown);
    assert!(matches!(
        store.rotate_refresh([2; 32], [4; 32], 41, LATER).await.unwrap(),
        Refreshed::Rotated(..)
    ));
}

async fn a_closed_store_returns_unavailable(stage: Stage) {
    let store = stage.open().await;
    assert!(store.status().up);
    assert_eq!(store.status().engine, if stage.postgres { "postgres" } else { "sqlite" });
    store.close().await;
    store.close().await;
    assert!(matches!(store.count_users().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.create_user(new_user("late")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.append_message(message("late")).await, Err(StoreError::Unavailable(_))));
}
