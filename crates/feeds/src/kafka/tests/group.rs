//! Several nodes of a group.

use super::*;

#[test]
fn two_members_share_the_partitions_and_lose_nothing_when_one_stops() {
    let mock = mock("t", 4);
    let sink = Arc::new(RecordingSink::default());
    let setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    let source = Source::new(&mock.bootstrap_servers(), "t");
    let one = setup.start(&sink);
    source.numbers(0..1000, 4);
    sink.wait(1000);
    let two = setup.start(&sink);
    let owned = |feeds: &Feeds| feeds.status().feeds[0].partitions.len();
    let mut next = 1000;
    until("shared", || {
        source.numbers(next..next + 40, 4);
        next += 40;
        if owned(&one) == 2 && owned(&two) == 2 { Ok(()) } else { Err((owned(&one), owned(&two))) }
    });
    source.numbers(next..next + 1000, 4);
    stop(one);
    source.numbers(next + 1000..next + 2000, 4);
    sink.wait(usize::try_from(next + 2000).unwrap());
    complete(&sink, next + 2000, 4).unwrap();
    stop(two);
}

#[test]
fn members_without_a_cluster_broker_are_an_error() {
    let mock = mock("t", 2);
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    setup.kafka.relayed = false;
    let (one, two) = (setup.start(&Arc::default()), setup.start(&Arc::default()));
    for feeds in [&one, &two] {
        until("reported", || {
            let why = wrong(&feeds.status());
            if why.contains("other members of the group") { Ok(()) } else { Err(why) }
        });
    }
    stop(two);
    until(
        "well again",
        || if one.status().health == Health::Ok { Ok(()) } else { Err(wrong(&one.status())) },
    );
    stop(one);
}

#[test]
fn broadcast_gives_each_node_everything() {
    let mock = mock("t", 3);
    let mut setup = Setup::new(&mock.bootstrap_servers(), vec![row("t", "c")]);
    setup.kafka.mode = Mode::Broadcast;
    setup.kafka.relayed = false;
    let sinks = [Arc::new(RecordingSink::default()), Arc::new(RecordingSink::default())];
    let nodes = sinks.each_ref().map(|sink| setup.start(sink));
    Source::new(&mock.bootstrap_servers(), "t").numbers(0..900, 3);
    for sink in &sinks {
        sink.wait(900);
        complete(sink, 900, 3).unwrap();
    }
    for node in nodes {
        until(
            "well",
            || if node.status().health == Health::Ok { Ok(()) } else { Err(wrong(&node.status())) },
        );
        stop(node);
    }
}
