//! Every way of tampering against every walk: the full one names the first invalid row, a walk that skips a check is
//! detected.

use super::super::row::tests::sample;
use super::super::seal::Sealer;
use super::*;

const ROWS: i64 = 20;
/// Where the two checkpoints are.
const SEALED: [i64; 2] = [8, 16];

#[derive(Clone)]
struct Chain {
    rows: Vec<AuditRow>,
    checkpoints: Vec<Checkpoint>,
}

fn sealer() -> Sealer {
    Sealer::from_seed(&[7; 32])
}

fn against() -> Against {
    Against { judge: Judge::parse(&sealer().public()), ..Against::default() }
}

/// A time that the tests' rows have, in milliseconds since 1970.
const AT: u64 = 1_790_000_000_000;

/// The row that a server with this key writes when it prunes up to a row; it keeps rows for `kept`.
fn prune_row(sealer: &Sealer, seq: i64, last: Head, kept: Duration) -> AuditRow {
    let before = AT - kept.as_millis() as u64;
    pruning::statement(sealer, "n", &last, before, AT).stamp(AT).row("n", seq)
}

/// Appends a row to a chain, linked correctly, but not signed.
fn append(c: &mut Chain, mut row: AuditRow) {
    let last = c.rows.last().unwrap();
    row.seq = last.seq + 1;
    row.hash = link(&last.hash, &row);
    c.rows.push(row);
}

/// Appends rows that the server wrote: they are covered by its signed head.
fn append_signed(c: &mut Chain, row: AuditRow) {
    append(c, row);
    let last = c.rows.last().unwrap();
    c.checkpoints.push(sealer().seal("n", last.seq, last.hash, "later".into()));
}

/// Links rows again from `from` on, as an attacker does who knows the format and has the database.
fn relink(rows: &mut [AuditRow], from: usize) {
    for at in from..rows.len() {
        let before = if at == 0 { GENESIS } else { rows[at - 1].hash };
        rows[at].hash = link(&before, &rows[at]);
    }
}

fn chain() -> Chain {
    let mut rows: Vec<_> = (1..=ROWS).map(|seq| sample("n", seq)).collect();
    relink(&mut rows, 0);
    let seal = |seq: i64| sealer().seal("n", seq, rows[seq as usize - 1].hash, format!("time {seq}"));
    let checkpoints = [&SEALED[..], &[ROWS]].concat().into_iter().map(seal).collect();
    Chain { rows, checkpoints }
}

fn judge(chain: &Chain, against: &Against, rigour: Rigour) -> Result<Intact, Broken> {
    let pruned: Vec<_> = chain.rows.iter().filter(|r| r.event == PRUNED).cloned().collect();
    let mut walk = Walk::new("n", &pruned, &chain.checkpoints, against);
    walk.rigour = rigour;
    for row in &chain.rows {
        walk.row(row)?;
    }
    walk.end()
}

type Tamper = (&'static str, i64, fn(&mut Chain));

/// Ways to tamper, and the first invalid row of each.
const TAMPERS: &[Tamper] = &[
    ("edit", 5, |c| c.rows[4].detail = "{}".into()),
    ("edit the last row", ROWS, |c| c.rows[19].user_id = None),
    ("edit a hash", 5, |c| c.rows[4].hash[0] ^= 1),
    ("delete", 6, |c| drop(c.rows.remove(5))),
    ("delete the first", 1, |c| drop(c.rows.remove(0))),
    ("delete and renumber", 6, |c| {
        c.rows.remove(5);
        c.rows[5..].iter_mut().for_each(|r| r.seq -= 1);
    }),
    ("insert", 7, |c| {
        let mut row = sample("n", 7);
        row.event = "forged".into();
        c.rows.insert(6, row);
        c.rows[7..].iter_mut().for_each(|r| r.seq += 1);
    }),
    ("insert a number twice", 6, |c| {
        let row = c.rows[5].clone();
        c.rows.insert(6, row);
    }),
    ("insert before the first", 0, |c| c.rows.insert(0, sample("n", 0))),
    ("reorder", 9, |c| {
        let (a, b) = (c.rows[8].clone(), c.rows[9].clone());
        c.rows[8] = AuditRow { seq: 9, ..b };
        c.rows[9] = AuditRow { seq: 10, ..a };
    }),
    ("truncate below a checkpoint", 11, |c| c.rows.truncate(10)),
    ("truncate behind a published head", 19, |c| c.rows.truncate(18)),
    ("append", 21, |c| append(c, sample("n", 0))),
    ("append and move the head", 21, |c| {
        append(c, sample("n", 0));
        let last = c.rows.last().unwrap();
        c.checkpoints[2] = Checkpoint { seq: last.seq, hash: last.hash, ..c.checkpoints[2].clone() };
    }),
    ("append a forged prune and delete the rest", 1, |c| {
        let last = (c.rows[18].seq, c.rows[18].hash);
        let forger = Sealer::from_seed(&[9; 32]);
        append(c, prune_row(&forger, 0, last, RETENTION));
        c.rows.drain(..19);
    }),
    ("append a prune without a signature and delete the rest", 1, |c| {
        let (named, mut row) = (hex64(&c.rows[18].hash), sample("n", 0));
        row.event = PRUNED.into();
        row.detail = format!("{{\"up_to\":19,\"hash\":\"{named}\"}}");
        append(c, row);
        c.rows.drain(..19);
        c.checkpoints.clear();
    }),
    ("a signed prune of another row", 21, |c| {
        let last = (c.rows[9].seq, c.rows[9].hash);
        let mut row = prune_row(&sealer(), 0, last, RETENTION);
        row.detail = row.detail.replace("\"up_to\":10", "\"up_to\":15");
        append_signed(c, row);
    }),
    ("a signed prune within the retention", 21, |c| {
        let last = (c.rows[9].seq, c.rows[9].hash);
        append_signed(c, prune_row(&sealer(), 0, last, RETENTION - Duration::from_millis(1)));
    }),
    ("foreign rows that the server continued over", 21, |c| {
        let trusted = c.rows[19].hash;
        append(c, sample("n", 0));
        append(c, sample("n", 0));
        let mut row = sample("n", 23);
        row.hash = link(&trusted, &row);
        c.checkpoints.push(sealer().seal("n", 23, row.hash, "later".into()));
        c.rows.push(row);
    }),
    ("take everything but the checkpoints", 1, |c| c.rows.clear()),
    ("edit and link again", 8, |c| {
        c.rows[4].event = "harmless".into();
        relink(&mut c.rows, 4);
    }),
    ("edit, link again, forge the checkpoints", 8, |c| {
        c.rows[4].event = "harmless".into();
        relink(&mut c.rows, 4);
        let forger = Sealer::from_seed(&[9; 32]);
        for checkpoint in &mut c.checkpoints {
            let hash = c.rows[checkpoint.seq as usize - 1].hash;
            *checkpoint = forger.seal("n", checkpoint.seq, hash, checkpoint.time.clone());
        }
    }),
    ("a checkpoint of another row", 8, |c| c.checkpoints[0].hash = c.rows[8].hash),
    ("a checkpoint's signature", 16, |c| c.checkpoints[1].sig[5] ^= 1),
    ("a checkpoint that is moved", 9, |c| c.checkpoints[0].seq = 9),
    ("rows of another node", 4, |c| c.rows[3].node = "m".into()),
    ("a beginning that says it was pruned", 1, |c| {
        let named = hex64(&c.rows[3].hash);
        c.rows.drain(..4);
        c.rows[15].event = PRUNED.into();
        c.rows[15].detail = format!("{{\"up_to\":4,\"hash\":\"{named}\",\"sig\":\"\"}}");
    }),
];

fn hex64(hash: &[u8; 32]) -> String {
    super::super::event::hex(hash)
}

#[test]
fn an_intact_chain_is_intact() {
    let want = Intact { rows: 20, first: 1, last: 20, checkpoints: 3, sealed: 20, unsigned_prune: 0 };
    assert_eq!(judge(&chain(), &against(), ALL), Ok(want));
    let empty = Chain { rows: Vec::new(), checkpoints: Vec::new() };
    assert_eq!(judge(&empty, &against(), ALL), Ok(Intact::default()));
}

#[test]
fn every_way_to_tamper_is_found_at_its_first_row() {
    for (name, seq, tamper) in TAMPERS {
        let mut invalid = chain();
        tamper(&mut invalid);
        let found = judge(&invalid, &against(), ALL).expect_err(name);
        assert_eq!(found.seq, *seq, "{name}: {found:?}");
    }
}

/// The negative test of the one above: its list must detect walks that skip a check.
#[test]
fn a_walk_that_skips_a_check_is_caught() {
    let lax = [
        Rigour { hashes: false, ..ALL },
        Rigour { numbers: false, ..ALL },
        Rigour { checkpoints: false, ..ALL },
        Rigour { statements: false, ..ALL },
        Rigour { tail: false, ..ALL },
    ];
    for rigour in lax {
        let blind = |(_, seq, tamper): &&Tamper| {
            let mut invalid = chain();
            tamper(&mut invalid);
            !matches!(judge(&invalid, &against(), rigour), Err(found) if found.seq == *seq)
        };
        assert!(TAMPERS.iter().any(|t| blind(&t)), "{rigour:?}: nothing shows that a check is missing");
    }
}

#[test]
fn a_pruned_chain_begins_after_its_signed_statement() {
    let mut c = chain();
    let last = (c.rows[9].seq, c.rows[9].hash);
    append_signed(&mut c, prune_row(&sealer(), 0, last, RETENTION));
    // Written and not yet executed, then executed.
    assert!(judge(&c, &against(), ALL).is_ok());
    c.rows.drain(..10);
    c.checkpoints.remove(0);
    let intact = judge(&c, &against(), ALL).unwrap();
    assert_eq!((intact.first, intact.last, intact.sealed, intact.unsigned_prune), (11, 21, 21, 0));
    // One row more than it states.
    c.rows.remove(0);
    assert_eq!(judge(&c, &against(), ALL).unwrap_err().seq, 1);
}

/// A chain of the version before: checkpoints now and then, rows after them, a prune without a signature.
fn chain_of_before() -> Chain {
    let mut c = chain();
    let seal = |row: &AuditRow| sealer().seal_as_before("n", row.seq, row.hash, format!("time {}", row.seq));
    let (named, mut prune) = (hex64(&c.rows[3].hash), sample("n", 0));
    prune.event = PRUNED.into();
    prune.detail = format!("{{\"up_to\":4,\"hash\":\"{named}\"}}");
    append(&mut c, prune);
    c.checkpoints = [7, 20].map(|at| seal(&c.rows[at])).into();
    append(&mut c, sample("n", 0));
    c.rows.drain(..4);
    c
}

#[test]
fn a_chain_of_the_version_before_still_verifies_and_reports_what_cannot_be_verified() {
    let c = chain_of_before();
    let intact = judge(&c, &against(), ALL).unwrap();
    assert_eq!((intact.first, intact.last, intact.sealed, intact.unsigned_prune), (5, 22, 21, 4));
    // Where this version has run, no row may follow a checkpoint and no new prune may lack a signature.
    let mark = Anchor { seq: 21, hash: c.rows[16].hash };
    let since = Against { mark: Some(mark), ..against() };
    assert_eq!(judge(&c, &since, ALL).unwrap_err().seq, 22);
    let mut forged = c.clone();
    let mut again = forged.rows[16].clone();
    again.detail = format!("{{\"up_to\":20,\"hash\":\"{}\"}}", hex64(&forged.rows[15].hash));
    append(&mut forged, again);
    assert_eq!(judge(&forged, &against(), ALL).unwrap_err().seq, 23);
    forged.rows.drain(..16);
    assert_eq!(judge(&forged, &against(), ALL).unwrap_err().seq, 1);
}

#[test]
fn a_chain_taken_back_to_an_older_head_is_found_by_the_mark_the_anchor_and_the_log() {
    let whole = chain();
    let mut back = whole.clone();
    back.rows.truncate(16);
    back.checkpoints.truncate(2);
    assert!(judge(&back, &against(), ALL).is_ok(), "the store alone cannot show it");
    let newest = Anchor { seq: ROWS, hash: whole.rows[19].hash };
    let c = &whole.checkpoints[2];
    let sig = b64::encode(&c.sig);
    let text = format!(
        "2026-12-01T00:00:00Z  INFO fanfare: audit checkpoint node=n seq=20 hash=\"{}\" time=\"{}\" sig=\"{sig}\"\n",
        hex64(&c.hash),
        c.time.replace(' ', "_"),
    );
    let json = serde_json::json!({ "message": "audit checkpoint", "node": "n", "seq": 20, "hash": hex64(&c.hash), "time": c.time, "sig": sig });
    let judge_key = against().judge;
    let of_json = anchors_in(&format!("x\n{json}\n"), "n", judge_key.as_ref());
    assert_eq!(of_json, [newest]);
    assert_eq!(anchors_in(&text, "n", judge_key.as_ref()), [], "a line that was not signed so");
    assert_eq!(anchors_in(&text, "n", None), [newest]);
    assert_eq!(anchors_in(&format!("{json}"), "m", None), []);
    for against in [
        Against { mark: Some(newest), ..against() },
        Against { anchors: vec![newest], ..against() },
        Against { anchors: of_json, ..against() },
    ] {
        assert!(judge(&whole, &against, ALL).is_ok());
        assert_eq!(judge(&back, &against, ALL).unwrap_err().seq, 17);
    }
}

#[test]
fn an_anchor_shows_what_the_store_alone_cannot() {
    let c = chain();
    let last = Anchor { seq: 20, hash: c.rows[19].hash };
    let known = Against { anchors: vec![last], ..against() };
    assert_eq!(judge(&c, &known, ALL).unwrap().sealed, 20);
    // Rolled back to an older head: only the anchor shows it.
    let mut cut = c.clone();
    cut.rows.truncate(16);
    cut.checkpoints.truncate(2);
    assert!(judge(&cut, &against(), ALL).is_ok());
    assert_eq!(judge(&cut, &known, ALL).unwrap_err().seq, 17);
    let text = format!("20:{}", hex64(&last.hash));
    assert_eq!(text.parse(), Ok(last));
    for invalid in ["", "20", "0:00", "x:y", &text[..text.len() - 1], &format!("-{text}")] {
        assert!(invalid.parse::<Anchor>().is_err(), "{invalid}");
    }
}

#[test]
fn without_a_key_the_links_are_still_verified() {
    let none = Against::default();
    let intact = judge(&chain(), &none, ALL).unwrap();
    assert_eq!((intact.rows, intact.checkpoints, intact.sealed), (20, 0, 0));
    let mut invalid = chain();
    invalid.rows[4].reason = None;
    assert_eq!(judge(&invalid, &none, ALL).unwrap_err().seq, 5);
}
