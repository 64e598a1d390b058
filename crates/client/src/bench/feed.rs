//! `fanfare bench feed`: subscribers of a feed channel, whose records the server reads from any source.
//!
//! Nothing is published here: the records carry their own time and offset. Latency is from the record's timestamp to
//! the read, in whole milliseconds of the same machine's clock. Each connection receives one type, hence the offsets of
//! one partition: received records and those reported as dropped must add up to the records published.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::FeedArgs;
use super::clock::nanos;
use super::frame::Masker;
use super::histogram::Histogram;
use super::link::Link;
use super::modes::begin;
use super::peer::{Dialect, Role, Script};
use super::process::Memory;
use super::report::{Report, Span};
use super::swarm::{Receive, Swarm};

const DAY_MS: u64 = 86_400_000;

/// The counts of one connection.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// The offset before the first record, and the last one's.
    before: Option<u64>,
    last: u64,
    received: u64,
    reported: u64,
}

#[derive(Debug)]
struct FeedTally {
    latencies: Histogram,
    counts: Vec<Counts>,
    disordered: u64,
    last_at: u64,
}

impl FeedTally {
    fn new(connections: usize) -> Self {
        let counts = vec![Counts::default(); connections];
        Self { latencies: Histogram::new(), counts, disordered: 0, last_at: 0 }
    }

    /// Restarts counting at each connection's current offset.
    fn reset(&mut self) {
        for counts in &mut self.counts {
            *counts =
                Counts { before: counts.before.map(|_| counts.last), last: counts.last, ..Counts::default() };
        }
        self.latencies = Histogram::new();
        self.disordered = 0;
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.counts.iter().map(of).sum()
    }

    /// Records published on the channel that the connection neither received nor was reported as dropped.
    fn unaccounted(&self) -> u64 {
        self.sum(|h| (h.last - h.before.unwrap_or(h.last)).saturating_sub(h.received + h.reported))
    }
}

impl Receive for FeedTally {
    fn frame(&mut self, link: &mut Link, _: &Script, frame: &[u8], now: u64, _: &mut Masker) {
        let Ok(text) = std::str::from_utf8(frame) else { return };
        let counts = &mut self.counts[link.topic as usize];
        if let Some(at) = text.find(r#""code":"MESSAGES_DROPPED","count":"#) {
            counts.reported += number(&text[at + 34..]);
            return;
        }
        let Some(source) = text.rfind(r#""source":{"#) else { return };
        let Some(at) = text[source..].find(r#""offset":"#) else { return };
        let offset = number(&text[source + at + 9..]);
        let before = *counts.before.get_or_insert(offset.saturating_sub(1));
        self.disordered += u64::from(counts.received > 0 && offset <= counts.last || offset <= before);
        counts.last = offset;
        counts.received += 1;
        self.last_at = now;
        if let Some(time) =
            text[..source].rfind(r#""timestamp":""#).and_then(|at| time_of_day(&text[at + 13..]))
        {
            self.latencies.record(((now_of_day() + DAY_MS - time) % DAY_MS) * 1_000_000);
        }
    }
}

/// The digits at the start of a text.
fn number(text: &str) -> u64 {
    text.bytes().take_while(u8::is_ascii_digit).fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))
}

/// Milliseconds since midnight of `2026-11-21T11:21:00.123Z`.
fn time_of_day(text: &str) -> Option<u64> {
    let part = |from: usize| text.get(from..).map(number);
    Some(((part(11)? * 60 + part(14)?) * 60 + part(17)?) * 1000 + part(20)?)
}

fn now_of_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64 % DAY_MS)
}

fn listen(swarm: &mut Swarm, tally: &mut FeedTally, seconds: f64) -> Result<(), String> {
    let end = swarm.clock.now() + nanos(seconds);
    while swarm.clock.now() < end && swarm.failed == 0 {
        swarm.turn(end, tally)?;
    }
    Ok(())
}

/// Subscribes to a channel: a warm-up, then the measurement.
pub(super) fn run(args: &FeedArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let connections = args.subscribers as usize;
    let (server, mut swarm) = begin(&args.server, Dialect::Feed, connections, connections, stop)?;
    // The connection's number takes the place of the topic's in other modes; the requested subscription that of the
    // names.
    swarm.topics.fill(format!(r#""channel":"{}","types":["{}"]"#, args.channel, args.kind));
    let wanted: Vec<_> = (0..args.subscribers).map(|i| (Role::Subscriber, i)).collect();
    let connect_s = swarm.open(&wanted)?;
    let mut tally = FeedTally::new(connections);
    listen(&mut swarm, &mut tally, args.phases.warm)?;
    tally.reset();
    (swarm.bytes_read, swarm.reads) = (0, 0);
    let before = Memory::of(server.pid);
    let span = Span::begin(server.pid, swarm.clock.now());
    listen(&mut swarm, &mut tally, args.phases.seconds)?;
    let mut report = Report::of("feed", &args.server, &server);
    let (received, reported) = (tally.sum(|h| h.received), tally.sum(|h| h.reported));
    let (wall, cpu) = span.end(&mut report, received, swarm.clock.now());
    let (rate, produced) = (received as f64 / wall, tally.sum(|h| h.last - h.before.unwrap_or(h.last)));
    let after = Memory::of(server.pid);
    report.set("subscribers", connections);
    report.measure("connect_s", connect_s);
    report.set("received", received);
    report.set("told_dropped", reported);
    report.set("produced", produced);
    report.fault("unaccounted", tally.unaccounted());
    report.fault("reordered", tally.disordered);
    report.failures(&swarm);
    report.measure("deliveries_per_s", rate.round());
    report.measure("records_per_s", (produced as f64 / connections as f64 / wall).round());
    report.measure("wire_bytes_per_delivery", swarm.bytes_read as f64 / received.max(1) as f64);
    report.latencies(&tally.latencies);
    report.set("rss", after.rss);
    report.set("rss_before", before.rss);
    report.summary = format!(
        "{} feed: {connections} subscribers, {:.0} records/s each, {rate:.0} deliveries/s, {cpu:.3} CPU s/M, p50 {:.0} ms, \
         p99 {:.0} ms, reported dropped {reported}, unaccounted {}, reordered {}, failed {}, memory {:.0} to {:.0} MiB",
        args.server.label,
        produced as f64 / connections as f64 / wall,
        tally.latencies.quantile_us(0.5) / 1e3,
        tally.latencies.quantile_us(0.99) / 1e3,
        tally.unaccounted(),
        tally.disordered,
        swarm.failed,
        before.rss as f64 / 1048576.0,
        after.rss as f64 / 1048576.0,
    );
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::{number, time_of_day};

    #[test]
    fn a_deliverys_figures_are_read() {
        assert_eq!(number("17}"), 17);
        assert_eq!(time_of_day("2026-11-21T11:21:00.123Z"), Some(((11 * 60 + 21) * 60) * 1000 + 123));
    }
}
