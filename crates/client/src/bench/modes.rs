//! The measuring modes: each obtains the server, opens its connections, runs its load and returns its report.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::args::{EchoArgs, FanoutArgs, IdleArgs, MaxrateArgs, Phases, ServerArgs, ShapeArgs};
use super::clock::nanos;
use super::echo::Echo;
use super::limits;
use super::peer::{Dialect, Role};
use super::process::Memory;
use super::report::{Report, Span};
use super::server::Server;
use super::stamp::STAMP_BYTES;
use super::swarm::{Ignore, Swarm};
use super::traffic::{Shape, Traffic};

/// Seconds after a load's end in which its last deliveries may still arrive; tests that lose some on purpose wait less.
const GRACE: f64 = if cfg!(test) { 2.0 } else { 10.0 };

/// How a load is paced.
enum Drive {
    Rate(f64),
    Window(u32),
}

/// The server, and a client for it with `topics` topics and room for `connections`.
pub(super) fn begin(
    args: &ServerArgs,
    dialect: Dialect,
    connections: usize,
    topics: usize,
    stop: &Arc<AtomicBool>,
) -> Result<(Server, Swarm), String> {
    limits::raise_files(connections as u64)?;
    let server = Server::obtain(args, stop)?;
    limits::pin(args.client_cpu)?;
    let names = (0..topics).map(|i| format!("bench{i}")).collect();
    let (path, tls) = (args.path.clone(), args.tls()?);
    let swarm = Swarm::new(args.address, dialect, path, tls, names, Arc::clone(stop))?;
    Ok((server, swarm))
}

/// Memory of idle connections.
pub(super) fn idle(args: &IdleArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let (connections, topics) = (args.connections as usize, args.topics as usize);
    let (server, mut swarm) = begin(&args.server, args.server.dialect, connections, topics, stop)?;
    let mut report = Report::of("idle", &args.server, &server);
    let before = Memory::of(server.pid);
    let span = Span::begin(server.pid, swarm.clock.now());
    let wanted: Vec<_> = (0..args.connections).map(|i| (Role::Subscriber, i % args.topics)).collect();
    let connect_s = swarm.open(&wanted)?;
    span.end(&mut report, u64::from(args.connections), swarm.clock.now());
    let until = swarm.clock.now() + nanos(args.hold);
    while swarm.clock.now() < until {
        swarm.turn(until, &mut Ignore)?;
    }
    let after = Memory::of(server.pid);
    let each = |after: u64, before: u64| ((after as f64 - before as f64) / connections as f64).round();
    let bytes = each(after.rss, before.rss);
    report.set("connections", connections);
    report.set("topics", topics);
    report.measure("connect_s", connect_s);
    report.set("rss", after.rss);
    report.set("rss_before", before.rss);
    report.measure("bytes_per_connection", bytes);
    report.measure("pss_per_connection", each(after.pss, before.pss));
    report.measure("machine_bytes_per_connection", each(before.available, after.available));
    report.failures(&swarm);
    report.summary = format!(
        "{} idle: {connections} connections over {topics} topics, {bytes:.0} bytes each, connected in {connect_s:.2} s, {} failed",
        args.server.label, swarm.failed
    );
    Ok(report)
}

pub(super) fn fanout(args: &FanoutArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let shape = shape(&args.shape, (1, 1000, 1));
    deliver("fanout", &args.server, shape, args.shape.phases, &Drive::Rate(args.rate.unwrap_or(100.0)), stop)
}

pub(super) fn topics(args: &FanoutArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let shape = shape(&args.shape, (1000, 10, 100));
    deliver("topics", &args.server, shape, args.shape.phases, &Drive::Rate(args.rate.unwrap_or(5000.0)), stop)
}

pub(super) fn maxrate(args: &MaxrateArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let shape = shape(&args.shape, (1, 1000, 1));
    deliver("maxrate", &args.server, shape, args.shape.phases, &Drive::Window(args.window), stop)
}

fn shape(args: &ShapeArgs, (topics, subscribers, publishers): (u32, u32, u32)) -> Shape {
    Shape {
        topics: args.topics.unwrap_or(topics) as usize,
        subscribers: args.subscribers.unwrap_or(subscribers) as usize,
        publishers: args.publishers.unwrap_or(publishers) as usize,
        size: args.size.max(STAMP_BYTES),
    }
}

/// Publishes and counts deliveries: a warm-up, then the measured load.
fn deliver(
    mode: &str,
    args: &ServerArgs,
    shape: Shape,
    phases: Phases,
    drive: &Drive,
    stop: &Arc<AtomicBool>,
) -> Result<Report, String> {
    let wanted = shape.connections();
    let (server, mut swarm) = begin(args, args.dialect, wanted.len(), shape.topics, stop)?;
    let connect_s = swarm.open(&wanted)?;
    let mut traffic = Traffic::new(shape, args.dialect.script(Role::Publisher, args.path.as_deref()));
    let load = |traffic: &mut Traffic, swarm: &mut Swarm, seconds: f64| match drive {
        Drive::Rate(rate) => traffic.paced(swarm, *rate, seconds, GRACE),
        Drive::Window(window) => traffic.windowed(swarm, u64::from(*window), seconds, GRACE),
    };
    load(&mut traffic, &mut swarm, phases.warm)?;
    let lost_warming = traffic.outstanding();
    traffic.reset();
    (swarm.bytes_read, swarm.reads) = (0, 0);

    let span = Span::begin(server.pid, swarm.clock.now());
    load(&mut traffic, &mut swarm, phases.seconds)?;
    let mut report = Report::of(mode, args, &server);
    match drive {
        Drive::Rate(rate) => report.measure("rate", *rate),
        Drive::Window(window) => report.set("window", *window),
    }
    let tally = &traffic.tally;
    let (wall, cpu) = span.end(&mut report, tally.received, tally.last_at);
    let of_each = |total: u64| total as f64 / tally.received.max(1) as f64;
    let rate = tally.received as f64 / wall;
    report.set("topics", shape.topics);
    report.set("subscribers", shape.subscribers);
    report.set("publishers", shape.publishers);
    report.set("size", shape.size);
    report.measure("connect_s", connect_s);
    report.set("expected", traffic.expected());
    report.set("received", tally.received);
    report.fault("lost", traffic.outstanding());
    report.fault("lost_warming", lost_warming);
    report.fault("repeated", tally.repeated);
    report.fault("reordered", tally.reordered);
    report.fault("misrouted", tally.misrouted);
    report.fault("refused", tally.refused);
    report.failures(&swarm);
    report.measure("deliveries_per_s", rate.round());
    report.measure("wire_bytes_per_delivery", of_each(swarm.bytes_read));
    report.measure("reads_per_delivery", of_each(swarm.reads));
    report.measure("publish_late_max_us", traffic.late_max as f64 / 1e3);
    report.latencies(&tally.latencies);
    report.set("rss", Memory::of(server.pid).rss);
    report.summary = format!(
        "{} {mode}: {} x {} subscribers, {rate:.0} deliveries/s, {cpu:.3} CPU s/M, p50 {:.0} us, p99 {:.0} us, max {:.0} us, \
         lost {}, repeated {}, reordered {}, refused {}, failed {}",
        args.label,
        shape.topics,
        shape.subscribers,
        tally.latencies.quantile_us(0.5),
        tally.latencies.quantile_us(0.99),
        tally.latencies.max_us(),
        traffic.outstanding(),
        tally.repeated,
        tally.reordered,
        tally.refused,
        swarm.failed
    );
    Ok(report)
}

/// Requests and responses.
pub(super) fn echo(args: &EchoArgs, stop: &Arc<AtomicBool>) -> Result<Report, String> {
    let dialect = if args.rpc { Dialect::Rpc } else { args.server.dialect };
    let connections = args.connections as usize;
    let (server, mut swarm) = begin(&args.server, dialect, connections, connections, stop)?;
    let wanted: Vec<_> = (0..args.connections).map(|i| (Role::Echo, i)).collect();
    let connect_s = swarm.open(&wanted)?;
    let mut echo = Echo::new(args.size, swarm.topics.clone(), swarm.clock);
    let script = dialect.script(Role::Echo, args.server.path.as_deref());
    echo.begin(&mut swarm, &script, args.depth)?;
    echo.run(&mut swarm, args.phases.warm)?;
    echo.reset();
    (swarm.bytes_read, swarm.reads) = (0, 0);
    let span = Span::begin(server.pid, swarm.clock.now());
    echo.run(&mut swarm, args.phases.seconds)?;
    let mut report = Report::of(if args.rpc { "rpc" } else { "echo" }, &args.server, &server);
    let (wall, cpu) = span.end(&mut report, echo.answered, swarm.clock.now());
    let rate = echo.answered as f64 / wall;
    report.set("connections", connections);
    report.set("depth", args.depth);
    report.set("size", args.size);
    report.measure("connect_s", connect_s);
    report.set("received", echo.answered);
    report.fault("reordered", echo.reordered);
    report.fault("refused", echo.refused);
    report.failures(&swarm);
    report.measure("requests_per_s", rate.round());
    report.measure("wire_bytes_per_delivery", swarm.bytes_read as f64 / echo.answered.max(1) as f64);
    report.latencies(&echo.latencies);
    report.summary = format!(
        "{} {}: {connections} connections x {}, {rate:.0} requests/s, {cpu:.3} CPU s/M, p50 {:.0} us, p99 {:.0} us, \
         refused {}, failed {}",
        args.server.label,
        if args.rpc { "rpc" } else { "echo" },
        args.depth,
        echo.latencies.quantile_us(0.5),
        echo.latencies.quantile_us(0.99),
        echo.refused,
        swarm.failed
    );
    Ok(report)
}
