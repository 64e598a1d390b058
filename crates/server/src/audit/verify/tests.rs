//! Every way of tampering against every walk: the full one names the first bad row, a walk that skips a check is caught.

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
    Against { judge: Judge::parse(&sealer().public()), anchors: Vec::new() }
}

/// Links rows anew from `from` on, as somebody does who knows the format and has the database.
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
    let checkpoints = SEALED.map(seal).into();
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

/// Ways to tamper, and the first row that is bad then.
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
    ("take everything but the checkpoints", 1, |c| c.rows.clear()),
    ("edit and link anew", 8, |c| {
        c.rows[4].event = "harmless".into();
        relink(&mut c.rows, 4);
    }),
    ("edit, link anew, forge the checkpoints", 8, |c| {
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
    ("a beginning that says it was pruned", 6, |c| {
        let named = hex64(&c.rows[3].hash);
        c.rows.drain(..4);
        c.rows[1].event = PRUNED.into();
        c.rows[1].detail = format!("{{\"up_to\":4,\"hash\":\"{named}\"}}");
    }),
];

fn hex64(hash: &[u8; 32]) -> String {
    super::super::event::hex(hash)
}

#[test]
fn an_intact_chain_is_intact() {
    let want = Intact { rows: 20, first: 1, last: 20, checkpoints: 2, sealed: 16 };
    assert_eq!(judge(&chain(), &against(), ALL), Ok(want));
    let empty = Chain { rows: Vec::new(), checkpoints: Vec::new() };
    assert_eq!(judge(&empty, &against(), ALL), Ok(Intact::default()));
}

#[test]
fn every_way_to_tamper_is_found_at_its_first_row() {
    for (name, seq, tamper) in TAMPERS {
        let mut bad = chain();
        tamper(&mut bad);
        let found = judge(&bad, &against(), ALL).expect_err(name);
        assert_eq!(found.seq, *seq, "{name}: {found:?}");
    }
}

/// The twin of the test above: walks that skip a check must be caught by its list.
#[test]
fn a_walk_that_skips_a_check_is_caught() {
    let lax = [
        Rigour { hashes: false, ..ALL },
        Rigour { numbers: false, ..ALL },
        Rigour { checkpoints: false, ..ALL },
    ];
    for rigour in lax {
        let blind = |(_, seq, tamper): &&Tamper| {
            let mut bad = chain();
            tamper(&mut bad);
            !matches!(judge(&bad, &against(), rigour), Err(found) if found.seq == *seq)
        };
        assert!(TAMPERS.iter().any(|t| blind(&t)), "{rigour:?}: nothing shows that a check is missing");
    }
}

#[test]
fn a_pruned_chain_begins_where_its_record_says() {
    let mut c = chain();
    let mut record = sample("n", 21);
    record.event = PRUNED.into();
    record.detail = format!("{{\"up_to\":10,\"hash\":\"{}\"}}", hex64(&c.rows[9].hash));
    c.rows.push(record);
    relink(&mut c.rows, 20);
    // Written and not yet carried out, then carried out.
    assert!(judge(&c, &against(), ALL).is_ok());
    c.rows.drain(..10);
    let intact = judge(&c, &against(), ALL).unwrap();
    assert_eq!((intact.first, intact.last, intact.sealed), (11, 21, 16));
    // One row more than it says.
    c.rows.remove(0);
    assert_eq!(judge(&c, &against(), ALL).unwrap_err().seq, 1);
}

#[test]
fn an_anchor_sees_what_the_store_alone_cannot_show() {
    let c = chain();
    let last = Anchor { seq: 20, hash: c.rows[19].hash };
    let known = Against { anchors: vec![last], ..against() };
    assert_eq!(judge(&c, &known, ALL).unwrap().sealed, 20);
    // Cut behind the last checkpoint: only the anchor knows.
    let mut cut = c.clone();
    cut.rows.truncate(18);
    assert!(judge(&cut, &against(), ALL).is_ok());
    assert_eq!(judge(&cut, &known, ALL).unwrap_err().seq, 19);
    let text = format!("20:{}", hex64(&last.hash));
    assert_eq!(text.parse(), Ok(last));
    for bad in ["", "20", "0:00", "x:y", &text[..text.len() - 1], &format!("-{text}")] {
        assert!(bad.parse::<Anchor>().is_err(), "{bad}");
    }
}

#[test]
fn without_a_key_the_links_are_still_judged() {
    let none = Against::default();
    let intact = judge(&chain(), &none, ALL).unwrap();
    assert_eq!((intact.rows, intact.checkpoints, intact.sealed), (20, 0, 0));
    let mut bad = chain();
    bad.rows[4].reason = None;
    assert_eq!(judge(&bad, &none, ALL).unwrap_err().seq, 5);
}
