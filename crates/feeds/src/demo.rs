//! The demo market: generated tokens, trades and aggregates on the channel `dashboard`, which show live data without
//! Kafka. The same seed generates the same records in the same order.
//!
//! [`Market`] generates records without a clock; [`DemoSource`] paces it, keeps the last records for replays, and
//! passes them to the sink as the Kafka source does. Names are invented; the three kinds are those of seed 002.

use crate::config::DemoConfig;
use crate::counters::Counters;
use crate::mapping::{Mapped, Mappings, Raw, RowSet};
use crate::model::{Delivery, Record};
use crate::replay::{Chunks, Position, Pulling, Replay};
use crate::sink::FeedSink;
use crate::status::{FeedsStatus, Health, PartitionStatus, TopicStatus};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Records kept of each topic for replays.
const KEPT: usize = 1000;

/// Longest pause between two batches: at high rates a batch has several records.
const TURN: Duration = Duration::from_millis(20);

/// The market's tokens: symbol, name, first price in millionths of a dollar, supply.
const TOKENS: [(&str, &str, u64, u64); 6] = [
    ("FANF", "Fanfare", 1_250_000, 100_000_000),
    ("TRMP", "Trumpet", 48_300_000, 2_000_000),
    ("BUGL", "Bugle", 310_000, 750_000_000),
    ("CORN", "Cornet", 7_915_000, 12_500_000),
    ("TUBA", "Tuba", 95_400_000, 900_000),
    ("DRUM", "Snare Drum", 42_000, 4_000_000_000),
];

/// The topics in the order of their weights below.
const TOPICS: [&str; 3] = ["trade-info", "token-info", "aggregate-info"];

/// One generated record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    topic: usize,
    key: &'static str,
    value: String,
}

/// The state of a token's price and volume.
#[derive(Clone, Copy)]
struct Quote {
    price: u64,
    open: u64,
    high: u64,
    low: u64,
    volume: u64,
    trades: u64,
}

/// Generates records, one after the other. `SplitMix64` (Steele, Lea, Flood 2014) is its random source.
struct Market {
    state: u64,
    trade_id: u64,
    quotes: [Quote; TOKENS.len()],
}

impl Market {
    fn new(seed: u64) -> Self {
        let quotes = TOKENS.map(|(_, _, price, _)| Quote {
            price,
            open: price,
            high: price,
            low: price,
            volume: 0,
            trades: 0,
        });
        Self { state: seed, trade_id: 0, quotes }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    /// The next record: of ten, seven are trades, two tokens, one aggregate; the first three show each kind once.
    fn next(&mut self, count: u64) -> Made {
        let which = usize::try_from(self.random(TOKENS.len() as u64)).unwrap_or(0);
        let kind = match count {
            0..=2 => count,
            _ => match self.random(10) {
                0..=6 => 0,
                7..=8 => 1,
                _ => 2,
            },
        };
        let value = match kind {
            0 => self.trade(which),
            1 => self.token(which),
            _ => self.aggregate(which),
        };
        Made { topic: usize::try_from(kind).unwrap_or(0), key: TOKENS[which].0, value }
    }

    fn trade(&mut self, which: usize) -> String {
        let (step, up) = (self.random(80), self.random(2) == 1);
        let amount = 1 + self.random(50_000);
        self.trade_id += 1;
        let quote = &mut self.quotes[which];
        // At most 0.8 % a trade, never down to zero.
        let change = (quote.price * step / 10_000).max(1);
        quote.price =
            if up { quote.price + change } else { (quote.price - change.min(quote.price / 2)).max(1) };
        quote.high = quote.high.max(quote.price);
        quote.low = quote.low.min(quote.price);
        quote.volume += amount;
        quote.trades += 1;
        let (symbol, price, side) = (TOKENS[which].0, dollars(quote.price), if up { "buy" } else { "sell" });
        format!(
            r#"{{"trade_id":{},"symbol":"{symbol}","side":"{side}","price":{price},"amount":{amount},"demo":true}}"#,
            self.trade_id
        )
    }

    fn token(&mut self, which: usize) -> String {
        let (symbol, name, _, supply) = TOKENS[which];
        let quote = self.quotes[which];
        let cap = u128::from(quote.price) * u128::from(supply) / 1_000_000;
        let holders = 1000 + self.random(500);
        format!(
            r#"{{"symbol":"{symbol}","name":"{name}","price":{},"supply":{supply},"market_cap":{cap},"holders":{holders},"demo":true}}"#,
            dollars(quote.price)
        )
    }

    fn aggregate(&mut self, which: usize) -> String {
        let quote = self.quotes[which];
        let [open, high, low, close] = [quote.open, quote.high, quote.low, quote.price].map(dollars);
        self.quotes[which] =
            Quote { open: quote.price, high: quote.price, low: quote.price, volume: 0, trades: 0, ..quote };
        format!(
            r#"{{"symbol":"{}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{},"trades":{},"demo":true}}"#,
            TOKENS[which].0, quote.volume, quote.trades
        )
    }
}

fn dollars(millionths: u64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

/// The state shared by the thread and the handle.
struct State {
    stop: bool,
    /// Next offset of each topic.
    offsets: [i64; 3],
    kept: [VecDeque<Record>; 3],
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    counters: Counters,
    mappings: Arc<Mappings>,
    topics: [(Arc<str>, RowSet); 3],
}

/// The running demo market.
pub(crate) struct DemoSource(Arc<Shared>);

impl DemoSource {
    pub(crate) fn start(
        config: &DemoConfig,
        mappings: Arc<Mappings>,
        sink: Arc<dyn FeedSink>,
    ) -> std::io::Result<Self> {
        let topics = TOPICS.map(|topic| (Arc::from(topic), mappings.rows_of(topic)));
        let state = State { stop: false, offsets: [0; 3], kept: Default::default() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            counters: Counters::default(),
            mappings,
            topics,
        });
        let (thread, market, rate) = (Arc::clone(&shared), Market::new(config.seed), config.rate.max(1));
        let reported = Arc::clone(&sink);
        crate::sink::spawn("feeds-demo", reported, move || thread.run(market, rate, sink.as_ref()))?;
        Ok(Self(shared))
    }

    pub(crate) fn status(&self) -> FeedsStatus {
        let offsets = self.0.state.lock().offsets;
        let at: BTreeMap<&str, i64> = TOPICS.into_iter().zip(offsets).collect();
        let feeds = self.0.mappings.table().map(|(topic, _, channel, kind)| TopicStatus {
            topic: Arc::clone(topic),
            channel: Arc::clone(channel),
            kind: Arc::clone(kind),
            partitions: at
                .get(&**topic)
                .map(|&offset| PartitionStatus {
                    partition: 0,
                    offset,
                    end: offset,
                    lag: 0,
                    lag_seconds: 0.0,
                    alert: false,
                    halted: None,
                })
                .into_iter()
                .collect(),
        });
        let mut status =
            FeedsStatus { demo: true, health: Health::Ok, up: Some(true), ..FeedsStatus::default() };
        status.feeds = feeds.collect();
        self.0.counters.fill(&mut status);
        status
    }

    /// Replays from the records that are kept.
    pub(crate) fn replay(&self, channel: &str, from: Vec<Position>, to: &[Position]) -> Replay {
        let state = self.0.state.lock();
        let (mut lost, mut records) = (Vec::new(), Vec::new());
        for (topic, partition, seen) in from {
            let known = self.0.topics.iter().position(|(name, _)| *name == topic).filter(|_| partition == 0);
            let kept = known.map(|index| (&state.kept[index], state.offsets[index]));
            let first =
                kept.and_then(|(kept, end)| kept.front().map_or(Some(end), |first| Some(first.offset)));
            let next = seen.saturating_add(1);
            match (kept, first) {
                (Some((kept, end)), Some(first)) if (first..=end).contains(&next) => {
                    let until = to.iter().find(|(name, number, _)| *name == topic && *number == 0);
                    let until = until.map_or(-1, |until| until.2);
                    let wanted = kept.iter().filter(|record| {
                        (next..=until).contains(&record.offset) && *record.channel == *channel
                    });
                    records.extend(wanted.cloned());
                }
                _ => lost.push(format!("{topic}/{partition}")),
            }
        }
        Replay { lost, chunks: Box::new(Kept(records)), ended: false }
    }

    pub(crate) fn stop(&self) {
        self.0.state.lock().stop = true;
        self.0.wake.notify_all();
    }
}

impl Drop for DemoSource {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All records at once: at most three times [`KEPT`].
struct Kept(Vec<Record>);

impl Chunks for Kept {
    fn pull(&mut self) -> Pulling<'_> {
        let rest = self.0.split_off(self.0.len().min(500));
        let chunk = std::mem::replace(&mut self.0, rest);
        Box::pin(std::future::ready(Ok((!chunk.is_empty()).then_some(chunk))))
    }
}

impl Shared {
    /// The thread's main loop: sends as many records as are due, together when the rate is high.
    fn run(&self, mut market: Market, rate: u32, sink: &dyn FeedSink) {
        let start = Instant::now();
        let mut count: u64 = 0;
        loop {
            let due = Duration::from_secs_f64((count + 1) as f64 / f64::from(rate));
            let wait = due.saturating_sub(start.elapsed());
            {
                let mut state = self.state.lock();
                if !state.stop && !wait.is_zero() {
                    self.wake.wait_for(&mut state, wait.max(TURN.min(due)));
                }
                if state.stop {
                    return;
                }
            }
            let elapsed = start.elapsed().as_secs_f64() * f64::from(rate);
            while (count as f64) + 1.0 <= elapsed {
                let made = market.next(count);
                count += 1;
                self.hand_over(&made, sink);
            }
        }
    }

    fn hand_over(&self, made: &Made, sink: &dyn FeedSink) {
        let (topic, rows) = &self.topics[made.topic];
        if rows.is_empty() {
            return;
        }
        let offset = self.state.lock().offsets[made.topic];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let raw = Raw {
            topic,
            partition: 0,
            offset,
            key: Some(made.key.as_bytes()),
            value: Some(made.value.as_bytes()),
            headers: &Vec::new(),
            timestamp_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        };
        let mapped = self.mappings.map(rows, &raw);
        let records = mapped.into_iter().filter_map(|mapped| match mapped {
            Mapped::Record(record) => Some(record),
            _ => None,
        });
        let records: Vec<Record> = records.collect();
        sink.deliver(&records.iter().map(Delivery::Record).collect::<Vec<_>>());
        self.counters.read(topic, 1);
        let mut state = self.state.lock();
        state.offsets[made.topic] = offset + 1;
        let kept = &mut state.kept[made.topic];
        kept.extend(records);
        while kept.len() > KEPT {
            kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
