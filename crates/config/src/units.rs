//! Quantities with a unit: durations and sizes.

use super::basic::{quote, text_of, whole};
use super::error::Fault;
use super::node::{Data, Node};
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::time::Duration;

/// Longest duration taken: ten years, far below where adding it to the clock could overflow.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units of a duration and their milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `250ms`, `30s`, `5m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let duration = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*factor)?);
    (duration <= MAX_DURATION).then_some(duration)
}

/// A duration the way it would be written: `60s`, `5m`, `24h`.
pub fn duration_text(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms if ms < 120_000 || ms % 60_000 != 0 => format!("{}s", ms / 1000),
        ms if ms % 3_600_000 != 0 => format!("{}m", ms / 60_000),
        ms => format!("{}h", ms / 3_600_000),
    }
}

impl Setting for Duration {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "duration".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = match &node.data {
            Data::Int(number) => {
                return Err(Fault::new(format!("{number} has no unit: write `{number}s` or `{number}ms`")));
            }
            _ => text_of(node, "a duration such as `30s`")?,
        };
        let why = || {
            Fault::new(format!("{} is no duration: write `250ms`, `30s`, `5m`, `24h` or `7d`", quote(text)))
        };
        parse_duration(text.trim()).ok_or_else(why)
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(duration_text(*self)))
    }

    fn is_zero(&self) -> bool {
        Self::is_zero(self)
    }
}

/// A size in bytes: a number, or `64KiB`, `10MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// Units of a size; decimal ones are not taken, for they are read both ways.
const BINARY: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

impl ByteSize {
    /// That many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many times 1048576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, as a length in memory.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether it is zero bytes.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" | "B" => 1,
            unit => 1u64 << BINARY.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
        // TOML's numbers end there.
        i64::try_from(bytes).ok().map(|_| Self(bytes))
    }
}

/// The size the way it would be said: `64KiB`, `1MiB`, `1000B`.
impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = BINARY.iter().rev().find(|(_, bits)| self.0 != 0 && self.0.trailing_zeros() >= *bits);
        match unit {
            Some((name, bits)) => write!(f, "{}{name}", self.0 >> bits),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Setting for ByteSize {
    const FORM: Form = Form::Plain;

    fn shape() -> Cow<'static, str> {
        "size in bytes".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.data {
            Data::Text(text) => Self::parse(text).ok_or_else(|| {
                Fault::new(format!("{} is no size: write bytes, `64KiB`, `10MiB` or `1GiB`", quote(text)))
            }),
            _ => whole(node, i64::MAX as u64).map(Self),
        }
    }

    fn show(&self) -> Option<Node> {
        Some(Node::int(self.0))
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn remark(&self) -> Option<String> {
        (self.0 >= 1024).then(|| self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_show_as_written() {
        for (text, ms, shown) in [
            ("250ms", 250, "250ms"),
            ("1500ms", 1500, "1500ms"),
            ("54s", 54_000, "54s"),
            ("60s", 60_000, "60s"),
            ("1m", 60_000, "60s"),
            ("120s", 120_000, "2m"),
            ("5m", 300_000, "5m"),
            ("90m", 5_400_000, "90m"),
            ("24h", 86_400_000, "24h"),
            ("7d", 604_800_000, "168h"),
            ("0s", 0, "0s"),
        ] {
            let read = Duration::read(&Node::text(text)).unwrap();
            assert_eq!((read.as_millis(), duration_text(read).as_str()), (ms, shown), "{text}");
        }
        for bad in
            ["", "54", "-1s", "soon", "1.5s", "5 minutes", "s", "4000d", "99999999999999999999s", "１s"]
        {
            let fault = Duration::read(&Node::text(bad)).unwrap_err();
            assert!(fault.what.contains("is no duration"), "{bad}: {}", fault.what);
        }
        assert!(Duration::read(&Node::int(54)).unwrap_err().what.contains("`54s`"));
    }

    #[test]
    fn sizes_are_numbers_or_binary_units() {
        for (text, bytes) in [
            ("10", 10),
            ("10B", 10),
            ("64KiB", 65536),
            ("10MiB", 10 << 20),
            ("2gib", 2 << 30),
            ("1 KiB", 1024),
        ] {
            assert_eq!(ByteSize::read(&Node::text(text)).unwrap().get(), bytes, "{text}");
        }
        for bad in ["", "10XB", "10KB", "-1", "1.5MiB", "KiB", "99999999999GiB"] {
            assert!(ByteSize::read(&Node::text(bad)).is_err(), "{bad}");
        }
        assert_eq!(ByteSize::read(&Node::int(5)).unwrap().get(), 5);
        assert!(ByteSize::read(&Node::int(-5)).is_err());
        for (size, text) in
            [(ByteSize::kib(64), "64KiB"), (ByteSize::mib(256), "256MiB"), (ByteSize::bytes(1000), "1000B")]
        {
            assert_eq!(size.to_string(), text);
        }
    }
}
