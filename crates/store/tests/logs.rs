//! Event logs, on both engines: numbers, order, idempotency, pages, trimming.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Stage, message};
use fanfare_store::{
    Appended, Committed, LogHead, LogId, LogPage, LogRetention, NewEntry, Receipt, Space, Store, StoreError,
};
use fanfare_testkit::soak;

stories!(
    entries_are_numbered_and_read_back,
    pages_are_bounded_and_tell_gaps,
    callers_get_their_order_and_the_sink_gets_it_first,
    a_key_is_kept_once_as_long_as_its_entry,
    two_nodes_number_one_log,
    a_key_of_two_nodes_is_one_entry,
    a_message_of_two_nodes_is_one_message,
    a_dropped_log_is_gone_and_its_name_is_free,
    a_dropped_log_affects_no_other,
    logs_are_listed_by_name,
    trimming_removes_from_the_front,
    trims_do_not_stop_appends,
    a_closed_store_commits_queued_appends,
    a_start_reads_no_entries,
);

async fn topic(store: &Store, name: &str) -> LogHead {
    store.open_log(Space::Topic, name).await.unwrap().0
}

async fn head(store: &Store, id: LogId) -> LogHead {
    store.log_heads(vec![id]).await.unwrap().pop().unwrap()
}

async fn all(store: &Store, id: LogId) -> LogPage {
    store.read_log(id, 0, u32::MAX, usize::MAX).await.unwrap().unwrap()
}

fn keyed(payload: &str, scope: &str, key: &str) -> NewEntry {
    NewEntry { idempotency: Some((scope.to_owned(), key.to_owned())), ..NewEntry::new(payload) }
}

/// Appends concurrently, in this order.
async fn pour(store: &Store, log: LogId, entries: impl IntoIterator<Item = NewEntry>) -> Vec<Receipt> {
    let waiting: Vec<_> = entries.into_iter().map(|entry| store.append(log, entry)).collect();
    let mut receipts = Vec::new();
    for one in waiting {
        receipts.push(one.await.unwrap());
    }
    receipts
}

fn numbered(count: usize) -> impl Iterator<Item = NewEntry> {
    (0..count).map(|n| NewEntry::new(n.to_string()))
}

async fn entries_are_numbered_and_read_back(stage: Stage) {
    let store = stage.open().await;
    let (log, made) = store.open_log(Space::Topic, "a\0b\u{1}").await.unwrap();
    assert!(made && log.name == "a\0b\u{1}" && (log.head, log.first, log.bytes) == (0, 1, 0));
    assert_eq!(store.open_log(Space::Topic, "a\0b\u{1}").await.unwrap(), (log.clone(), false));
    assert_eq!(store.log(Space::Topic, "a").await.unwrap(), None);
    assert_ne!(store.open_log(Space::Chat, "a\0b\u{1}").await.unwrap().0.id, log.id, "a space of its own");
    let rich = NewEntry {
        client_id: Some("sensor\0\u{1}".to_owned()),
        user: Some("app:Ann 1".to_owned()),
        ..NewEntry::new([0, 255, b'\\'])
    };
    let plain = [rich.clone(), NewEntry::new(""), NewEntry::new("x".repeat(100_000))];
    let receipts = pour(&store, log.id, plain.clone()).await;
    assert_eq!(receipts.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(receipts.iter().all(|r| r.epoch == log.epoch && !r.repeated));
    assert!(receipts.is_sorted_by(|a, b| a.id < b.id && a.at_ms() <= b.at_ms()));
    store.close().await;

    let store = stage.open().await;
    let page = all(&store, log.id).await;
    for ((entry, receipt), sent) in page.entries.iter().zip(&receipts).zip(&plain) {
        assert_eq!((entry.seq, entry.id, entry.at_ms()), (receipt.seq, receipt.id, receipt.at_ms()));
        assert_eq!(
            (&entry.payload, &entry.client_id, &entry.user),
            (&sent.payload, &sent.client_id, &sent.user)
        );
    }
    // The two characters that PostgreSQL's texts cannot hold, or that stand for one, take two bytes each.
    let bytes = 3 * 96 + 3 + "sensor".len() + 4 + "app:Ann 1".len() + 100_000;
    assert_eq!(page.head, LogHead { head: 3, bytes: bytes as u64, ..log.clone() });
    assert_eq!(store.log(Space::Topic, "a\0b\u{1}").await.unwrap().as_ref(), Some(&page.head));
    assert_eq!(store.append(log.id, rich).await.unwrap().seq, 4, "the same epoch continues");
}

async fn pages_are_bounded_and_tell_gaps(stage: Stage) {
    let store = stage.open().await;
    let log = topic(&store, "t").await.id;
    let empty = all(&store, log).await;
    assert!(empty.entries.is_empty() && empty.follows(0));
    pour(&store, log, (0..700).map(|n| NewEntry::new(format!("{n:04}")))).await;
    let seqs = |page: &LogPage| page.entries.iter().map(|e| e.seq).collect::<Vec<_>>();
    let read = async |after, limit, bytes| store.read_log(log, after, limit, bytes).await.unwrap().unwrap();
    let before =
        async |seq, limit, bytes| store.read_log_before(log, seq, limit, bytes).await.unwrap().unwrap();
    assert_eq!(seqs(&read(0, u32::MAX, usize::MAX).await), (1..=700).collect::<Vec<_>>());
    assert_eq!(seqs(&read(698, 9, usize::MAX).await), [699, 700]);
    assert_eq!(seqs(&read(10, 3, usize::MAX).await), [11, 12, 13]);
    assert_eq!(seqs(&read(10, 9, 300).await), [11, 12, 13], "96 bytes and the payload for each");
    assert_eq!(seqs(&read(10, 9, 1).await), [11], "at least one");
    assert_eq!(seqs(&read(10, 0, 1).await), [0; 0]);
    assert_eq!(seqs(&before(u64::MAX, 3, usize::MAX).await), [698, 699, 700]);
    assert_eq!(seqs(&before(400, 300, usize::MAX).await), (100..400).collect::<Vec<_>>());
    assert_eq!(seqs(&before(4, 9, 1).await), [3]);
    assert_eq!(seqs(&before(1, 9, 1).await), [0; 0]);
    store.trim_log(log, LogRetention { size: 100, ..Default::default() }, 0).await.unwrap();
    assert!(read(600, 1, 1).await.follows(600) && read(700, 1, 1).await.follows(700));
    assert!(!read(599, 1, 1).await.follows(599) && read(599, 1, 1).await.head.first == 601);
    assert_eq!(store.read_log(LogId(999), 0, 1, 1).await.unwrap(), None);
}

/// The entries that the sink received, by log.
type Shown = Arc<Mutex<HashMap<LogId, Vec<(u64, Vec<u8>, u128)>>>>;

fn watch(store: &Store) -> Shown {
    let shown = Shown::default();
    let sink = Arc::clone(&shown);
    assert!(store.on_append(Arc::new(move |commits: Vec<Committed>| {
        let mut shown = sink.lock().unwrap();
        assert!(commits.is_sorted_by(|a, b| a.log < b.log), "each log once");
        for Committed { log, entries, .. } in commits {
            let new = entries.into_iter().map(|(entry, mark)| (entry.seq, entry.payload, mark));
            shown.entry(log).or_default().extend(new);
        }
    })));
    assert!(!store.on_append(Arc::new(drop)), "only the first sink counts");
    shown
}

async fn callers_get_their_order_and_the_sink_gets_it_first(stage: Stage) {
    let store = stage.open().await;
    let mut logs = Vec::new();
    for n in 0..3 {
        logs.push(topic(&store, &format!("t{n}")).await.id);
    }
    let shown = watch(&store);
    let callers = (0..64_u128).map(|caller| {
        let (store, shown, logs) = (store.clone(), Arc::clone(&shown), logs.clone());
        tokio::spawn(async move {
            for round in 0..5 {
                let log = logs[(caller as usize + round) % logs.len()];
                let entry = |n| NewEntry { mark: caller, ..NewEntry::new(format!("{round} {n:02}")) };
                let waiting: Vec<_> = (0..16).map(|n| store.append(log, entry(n))).collect();
                let mut last = 0;
                for one in waiting {
                    let receipt = one.await.unwrap();
                    assert!(receipt.seq > last, "numbered in the order of the calls");
                    last = receipt.seq;
                    let shown = shown.lock().unwrap();
                    assert!(shown[&log].last().unwrap().0 >= last, "the sink is called before the reply");
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    for log in logs {
        let shown = shown.lock().unwrap().remove(&log).unwrap();
        let stored = all(&store, log).await.entries;
        assert!(shown.iter().map(|s| s.0).eq(1..=stored.len() as u64), "dense, in order, once");
        assert!(shown.iter().map(|s| &s.1).eq(stored.iter().map(|e| &e.payload)));
        for caller in 0..64 {
            let own: Vec<_> = shown.iter().filter(|s| s.2 == caller).map(|s| &s.1).collect();
            assert!(own.is_sorted(), "{caller}: {own:?}");
        }
    }
}

async fn a_key_is_kept_once_as_long_as_its_entry(stage: Stage) {
    let store = stage.open().await;
    let (log, other) = (topic(&store, "t").await.id, topic(&store, "u").await.id);
    let shown = watch(&store);
    let batch = [
        keyed("first", "ann", "k"),
        keyed("again", "ann", "k"),
        NewEntry::new("plain"),
        keyed("bob's", "bob", "k"),
        keyed("", "", ""),
        keyed("again", "ann", "k"),
        keyed("\0", "a\0", "\u{1}\0"),
    ];
    let numbers = |receipts: &[Receipt]| receipts.iter().map(|r| (r.seq, r.repeated)).collect::<Vec<_>>();
    let receipts = pour(&store, log, batch.clone()).await;
    let new = [(1, false), (1, true), (2, false), (3, false), (4, false), (1, true), (5, false)];
    assert_eq!(numbers(&receipts), new);
    assert_eq!((receipts[1].id, receipts[1].epoch), (receipts[0].id, receipts[0].epoch));
    store.close().await;
    let store = stage.open().await;
    let again = pour(&store, log, batch.clone()).await;
    let repeated = [(1, true), (1, true), (6, false), (3, true), (4, true), (1, true), (5, true)];
    assert_eq!(numbers(&again), repeated);
    assert_eq!(again[0].id, receipts[0].id);
    assert_eq!(numbers(&pour(&store, other, [keyed("other log", "ann", "k")]).await), [(1, false)]);
    assert_eq!(shown.lock().unwrap()[&log].len(), 5, "a repeat is not shown");
    store.trim_log(log, LogRetention { size: 4, ..Default::default() }, 0).await.unwrap();
    assert_eq!(
        numbers(&pour(&store, log, batch[..4].to_vec()).await),
        [(7, false), (7, true), (8, false), (3, true)]
    );
}

async fn two_nodes_number_one_log(stage: Stage) {
    let nodes = [stage.open().await, stage.open().await];
    let mut logs = Vec::new();
    for n in 0..5 {
        logs.push(topic(&nodes[n % 2], &format!("t{n}")).await.id);
    }
    let callers = (0..16).map(|caller| {
        let (store, logs) = (nodes[caller % 2].clone(), logs.clone());
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for round in 0..20 {
                let log = logs[(caller * 7 + round) % logs.len()];
                for receipt in pour(&store, log, numbered(4)).await {
                    receipts.push((log, receipt.seq, receipt.id));
                }
            }
            receipts
        })
    });
    let mut receipts = BTreeMap::new();
    for caller in callers.collect::<Vec<_>>() {
        for (log, seq, id) in caller.await.unwrap() {
            assert_eq!(receipts.insert((log, seq), id), None, "a number twice");
        }
    }
    assert_eq!(receipts.len(), 16 * 20 * 4);
    let ids: BTreeSet<_> = receipts.values().map(|id| (id.time, id.node)).collect();
    assert_eq!(ids.len(), receipts.len(), "ids are unique");
    for log in logs {
        let page = all(&nodes[0], log).await;
        assert!(page.entries.iter().map(|e| e.seq).eq(1..=page.head.head), "no hole");
        assert!(page.entries.iter().all(|e| receipts[&(log, e.seq)] == e.id));
        assert!(page.entries.is_sorted_by(|a, b| a.id < b.id), "ids rise with the numbers");
    }
}

async fn a_key_of_two_nodes_is_one_entry(stage: Stage) {
    let nodes = [stage.open().await, stage.open().await];
    let log = topic(&nodes[0], "t").await.id;
    for round in 0..10 {
        let waiting: Vec<_> = (0..32)
            .map(|n| nodes[n % 2].append(log, keyed(&n.to_string(), "s", &round.to_string())))
            .collect();
        let mut receipts = Vec::new();
        for one in waiting {
            receipts.push(one.await.unwrap());
        }
        assert_eq!(receipts.iter().filter(|r| !r.repeated).count(), 1);
        assert!(receipts.iter().all(|r| r.seq == round + 1 && r.id == receipts[0].id), "{receipts:?}");
    }
}

async fn a_message_of_two_nodes_is_one_message(stage: Stage) {
    let nodes = [stage.open().await, stage.open().await];
    for round in 0..10 {
        // To two mailboxes, which two lanes may fill concurrently: they share no lock.
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let (store, id) = (nodes[n % 2].clone(), format!("m{round}"));
                let to_user = ["bob", "carol"][n / 2 % 2].to_owned();
                let envelope = format!("to {to_user}");
                let m = fanfare_store::NewMessage { to_user, envelope, ..message(&id) };
                tokio::spawn(async move { store.append_message(m).await.unwrap() })
            })
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        let count = |of: fn(&Appended) -> bool| results.iter().filter(|answer| of(answer)).count();
        assert_eq!(count(|a| matches!(a, Appended::New { .. })), 1, "{results:?}");
        assert_eq!(count(|a| matches!(a, Appended::Duplicate { .. })), 7, "{results:?}");
        assert_eq!(count(|a| *a == Appended::IdConflict), 8, "{results:?}");
    }
    let mut kept = 0;
    for user in ["bob", "carol"] {
        let log = nodes[0].log(Space::Inbox, user).await.unwrap().unwrap();
        let page = all(&nodes[0], log.id).await;
        assert!(page.entries.iter().map(|e| e.seq).eq(1..=page.head.head), "no hole");
        kept += page.entries.len();
    }
    assert_eq!((kept, nodes[1].count_messages().await.unwrap()), (10, 10));
}

async fn a_dropped_log_is_gone_and_its_name_is_free(stage: Stage) {
    let store = stage.open().await;
    let (first, other) = (topic(&store, "t").await, topic(&store, "u").await);
    pour(&store, first.id, numbered(1200)).await;
    pour(&store, other.id, numbered(3)).await;
    assert!(store.drop_log(first.id).await.unwrap() && !store.drop_log(first.id).await.unwrap());
    assert_eq!(store.append(first.id, NewEntry::new("")).await, Err(StoreError::NoLog));
    assert_eq!(store.read_log(first.id, 0, 1, 1).await.unwrap(), None);
    assert_eq!(store.log_heads(vec![first.id, other.id]).await.unwrap().len(), 1);
    assert_eq!(store.log(Space::Topic, "t").await.unwrap(), None);
    let (next, made) = store.open_log(Space::Topic, "t").await.unwrap();
    assert!(made && next.id != first.id && next.epoch != first.epoch && next.head == 0);
    assert_eq!(store.append(next.id, NewEntry::new("")).await.unwrap().seq, 1);
    store.close().await;
    let store = stage.open().await;
    assert_eq!(store.clear_dropped_logs().await.unwrap(), 1200, "after a restart too");
    assert_eq!(store.clear_dropped_logs().await.unwrap(), 0);
    assert_eq!((head(&store, next.id).await.head, head(&store, other.id).await.head), (1, 3));
    // A mailbox whose number is cached.
    store.append_message(message("m1")).await.unwrap();
    let inbox = store.log(Space::Inbox, "bob").await.unwrap().unwrap();
    assert!(store.drop_log(inbox.id).await.unwrap());
    assert_eq!(store.append_message(message("m2")).await.unwrap(), Appended::New { seq: 1 });
}

async fn a_dropped_log_affects_no_other(stage: Stage) {
    let store = stage.open().await;
    let log = topic(&store, "t").await.id;
    let waiting: Vec<_> = (0..300)
        .map(|n| store.append(if n % 3 == 0 { LogId(4711 + n) } else { log }, NewEntry::new("x")))
        .collect();
    let mut kept = 0;
    for (n, one) in waiting.into_iter().enumerate() {
        match one.await {
            Ok(receipt) if n % 3 != 0 => {
                kept += 1;
                assert_eq!(receipt.seq, kept);
            }
            answer => assert_eq!((n % 3, answer), (0, Err(StoreError::NoLog))),
        }
    }
    assert!(kept == 200 && store.status().up, "a caller's request does not affect the store's health");
}

async fn logs_are_listed_by_name(stage: Stage) {
    let store = stage.open().await;
    for name in ["c", "a", "b\0", "ä", "B"] {
        let log = topic(&store, name).await;
        store.append(log.id, NewEntry::new(name)).await.unwrap();
    }
    store.open_log(Space::Sketch, "a").await.unwrap();
    let mut names = Vec::new();
    while let [one] = &store.logs(Space::Topic, names.last().map(String::as_str), 1).await.unwrap()[..] {
        assert_eq!(one.head, 1);
        names.push(one.name.clone());
    }
    assert_eq!(names, ["B", "a", "b\0", "c", "ä"]);
    assert_eq!(store.logs(Space::Topic, None, 9).await.unwrap().len(), 5);
    assert_eq!(store.logs(Space::Inbox, None, 9).await.unwrap(), []);
}

async fn trimming_removes_from_the_front(stage: Stage) {
    let store = stage.open().await;
    let log = topic(&store, "t").await.id;
    let mut receipts = pour(&store, log, (0..1499).map(|_| NewEntry::new("1234"))).await;
    // The last one is of a later millisecond than the others.
    tokio::time::sleep(Duration::from_millis(5)).await;
    receipts.extend(pour(&store, log, [NewEntry::new("1234")]).await);
    let trim = async |keep, now| {
        let trimmed = store.trim_log(log, keep, now).await.unwrap();
        (trimmed.entries, trimmed.first)
    };
    let of = |size, ttl_ms, bytes| LogRetention { size, ttl_ms, bytes };
    let late = receipts[1499].at_ms() + 1000;
    assert_eq!(trim(of(0, 0, 0), u64::MAX).await, (0, 1), "without bound");
    assert_eq!(trim(of(1500, late, 150_000), late - 1001).await, (0, 1), "within each bound");
    assert_eq!(trim(of(400, 0, 0), 0).await, (1100, 1101), "in slices");
    assert_eq!(trim(of(400, 0, 0), 0).await, (0, 1101));
    assert_eq!(trim(of(0, 0, 300 * 100), 0).await, (100, 1201));
    let kept = head(&store, log).await;
    assert_eq!((kept.head, kept.first, kept.bytes), (1500, 1201, 30_000));
    let oldest = receipts[1200].at_ms();
    assert_eq!(trim(of(0, 500, 0), oldest + 499).await, (0, 1201));
    let old = receipts[1200..].iter().filter(|r| r.at_ms() + 500 <= oldest + 500).count() as u64;
    assert_eq!(trim(of(0, 500, 0), oldest + 500).await, (old, 1201 + old));
    assert_eq!(trim(of(0, 0, 1), 0).await.1, 1500, "the newest stays whatever its size");
    assert_eq!(trim(of(0, 1000, 0), late).await, (1, 1501), "but not beyond its time");
    let empty = head(&store, log).await;
    assert_eq!((empty.head, empty.first, empty.bytes), (1500, 1501, 0));
    assert!(all(&store, log).await.follows(1500) && !all(&store, log).await.follows(1499));
    store.close().await;
    let store = stage.open().await;
    assert_eq!(store.append(log, NewEntry::new("")).await.unwrap().seq, 1501, "the head never goes back");
    assert_eq!(store.trim_log(LogId(999), of(1, 1, 1), late).await.unwrap(), Default::default());
}

async fn trims_do_not_stop_appends(stage: Stage) {
    let nodes = [stage.open().await, stage.open().await];
    let log = topic(&nodes[0], "t").await.id;
    let trims = nodes.clone().map(|store| {
        tokio::spawn(async move {
            while head(&store, log).await.head < 6000 {
                store.trim_log(log, LogRetention { size: 100, ..Default::default() }, 0).await.unwrap();
            }
        })
    });
    let reads = {
        let store = nodes[1].clone();
        tokio::spawn(async move {
            let mut after = 0;
            while after < 6000 {
                let page = store.read_log(log, after, 50, usize::MAX).await.unwrap().unwrap();
                if let Some(first) = page.entries.first() {
                    assert!(
                        page.entries
                            .iter()
                            .map(|e| e.seq)
                            .eq(first.seq..first.seq + page.entries.len() as u64)
                    );
                    assert!(page.follows(after) || page.head.first > after + 1, "a gap is reported");
                }
                after = page.entries.last().map_or(after, |e| e.seq);
            }
        })
    };
    for round in 0..60 {
        let receipts = pour(&nodes[round % 2], log, numbered(100)).await;
        assert_eq!(receipts[99].seq, (round as u64 + 1) * 100);
    }
    for trim in trims {
        trim.await.unwrap();
    }
    reads.await.unwrap();
    nodes[0].trim_log(log, LogRetention { size: 100, ..Default::default() }, 0).await.unwrap();
    let page = all(&nodes[0], log).await;
    let bytes: usize = page.entries.iter().map(|e| e.payload.len() + 96).sum();
    assert_eq!((page.head.first, page.head.head, page.head.bytes), (5901, 6000, bytes as u64));
}

async fn a_closed_store_commits_queued_appends(stage: Stage) {
    let store = stage.open().await;
    let log = topic(&store, "t").await.id;
    let waiting: Vec<_> = numbered(5000).map(|entry| store.append(log, entry)).collect();
    store.close().await;
    for (n, one) in (1..).zip(waiting) {
        assert_eq!(one.await.unwrap().seq, n);
    }
    let late = store.append(log, NewEntry::new("late")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let store = stage.open().await;
    assert_eq!(head(&store, log).await.head, 5000);
}

/// Ten million entries in a soak run: the heads of all logs are available within two seconds of a start.
async fn a_start_reads_no_entries(stage: Stage) {
    let (logs, each) = soak::pick((100, 500), (1000, 10_000));
    stage.open().await.close().await;
    let series = |count: usize, name: &str| match stage.postgres {
        true => format!("generate_series(1, {count}) {name} (n)"),
        false => format!(
            "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s) {name}"
        ),
    };
    let payload = if stage.postgres { "'\\x31323334'::bytea" } else { "x'31323334'" };
    let fill = format!(
        "INSERT INTO logs (space, name, epoch, head, first_seq, bytes, clock, created_at)
         SELECT 'topic', 't' || l.n, 7, {each}, 1, {each} * 100, 1, 1 FROM {};
         INSERT INTO log_entries (log, seq, time, node, payload)
         SELECT l.id, e.n, e.n, 1, {payload} FROM logs l CROSS JOIN {} ORDER BY l.id, e.n;",
        series(logs, "l"),
        series(each, "e")
    );
    if stage.postgres {
        stage.postgres_client().await.batch_execute(&fill).await.unwrap();
    } else {
        rusqlite::Connection::open(stage.file()).unwrap().execute_batch(&fill).unwrap();
    }
    let begun = Instant::now();
    let store = stage.open().await;
    let heads = store.logs(Space::Topic, None, u32::MAX).await.unwrap();
    let took = begun.elapsed();
    assert!(heads.len() == logs && heads.iter().all(|log| log.head == each as u64));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let next = store.append(heads[0].id, NewEntry::new("next")).await.unwrap();
    assert_eq!(next.seq, each as u64 + 1);
}
