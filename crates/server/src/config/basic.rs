//! Settings of the basic types: flags, numbers, texts, paths, durations, sizes, options and lists.

use super::error::Fault;
use super::node::{Data, Node};
use super::table::{Form, KeyInfo, Setting};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// The value in quotes for a message, cut when long; line breaks are shown escaped.
pub(super) fn quote(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// The text of a value.
pub(super) fn text_of<'a>(node: &'a Node, shape: &str) -> Result<&'a str, Fault> {
    match &node.data {
        Data::Text(text) => Ok(text),
        _ => Err(Fault::new(format!("is {}, not {shape}", node.name()))),
    }
}

impl Setting for bool {
    const FORM: Form = Form::Plain;

    fn shape() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.data {
            Data::Bool(value) => Ok(*value),
            Data::Text(text) => Err(Fault::new(format!("{} is neither true nor false", quote(text)))),
            _ => Err(Fault::new(format!("is {}, not true or false", node.name()))),
        }
    }

    fn show(&self) -> Option<Node> {
        Some(Node::new(Data::Bool(*self)))
    }
}

/// A whole number within `0..=max`.
fn whole(node: &Node, max: u64) -> Result<u64, Fault> {
    let wanted = if max >= i64::MAX as u64 {
        "a whole number".into()
    } else {
        format!("a whole number from 0 to {max}")
    };
    match &node.data {
        Data::Int(value) => match u64::try_from(*value) {
            Ok(value) if value <= max => Ok(value),
            _ if *value < 0 => Err(Fault::new(format!("{value} must not be negative"))),
            _ => Err(Fault::new(format!("{value} is not {wanted}"))),
        },
        Data::Text(text) => Err(Fault::new(format!("{} is not {wanted}", quote(text)))),
        _ => Err(Fault::new(format!("is {}, not {wanted}", node.name()))),
    }
}

macro_rules! whole_number {
    ($($ty:ty),+) => { $(
        impl Setting for $ty {
            const FORM: Form = Form::Plain;

            fn shape() -> Cow<'static, str> {
                "whole number".into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let value = whole(node, <$ty>::MAX as u64)?;
                <$ty>::try_from(value).map_err(|_| Fault::new(format!("{value} is too large")))
            }

            fn show(&self) -> Option<Node> {
                Some(Node::int(*self))
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )+ };
}
whole_number!(u16, u32, u64, usize);

impl Setting for String {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "text".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = text_of(node, "a text")?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Fault::new("must be a text that is not empty and has no control characters"));
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self))
    }
}

impl Setting for PathBuf {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "path".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        String::read(node).map(Self::from)
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self.display().to_string()))
    }
}

/// Longest duration taken: ten years, far below where adding it to the clock could overflow.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units of a duration and their milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `250ms`, `30s`, `5m`, `24h`, `7d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let duration = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*factor)?);
    (duration <= MAX_DURATION).then_some(duration)
}

/// A duration the way it would be written: `60s`, `5m`, `24h`.
pub(crate) fn duration_text(duration: Duration) -> String {
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

/// Unset when the text is empty, so that a flag can take back what the file sets.
impl<T: Setting> Setting for Option<T> {
    const FORM: Form = T::FORM;

    fn shape() -> Cow<'static, str> {
        T::shape()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.data {
            Data::Text(text) if text.is_empty() => Ok(None),
            _ => T::read(node).map(Some),
        }
    }

    fn show(&self) -> Option<Node> {
        self.as_ref().and_then(T::show)
    }

    fn is_zero(&self) -> bool {
        self.as_ref().is_some_and(T::is_zero)
    }

    fn fields() -> &'static [KeyInfo] {
        T::fields()
    }
}

impl<T: Setting> Setting for Vec<T> {
    const FORM: Form = if matches!(T::FORM, Form::Json) { Form::Json } else { Form::List };

    fn shape() -> Cow<'static, str> {
        format!("list of {}", T::shape()).into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let Data::List(items) = &node.data else {
            return Err(Fault::new(format!("is {}, not a {}", node.name(), Self::shape())));
        };
        let item =
            |(i, item): (usize, &Node)| T::read(item).map_err(|f| f.inside(&format!("[{i}]"), item.line));
        items.iter().enumerate().map(item).collect()
    }

    fn show(&self) -> Option<Node> {
        Some(Node::new(Data::List(self.iter().filter_map(T::show).collect())))
    }

    fn fields() -> &'static [KeyInfo] {
        T::fields()
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

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(u16::read(&Node::int(65535)).unwrap(), 65535);
        for (node, word) in [
            (Node::int(70000), "0 to 65535"),
            (Node::int(-1), "negative"),
            (Node::text("abc"), "\"abc\""),
            (Node::new(Data::Bool(true)), "true or false"),
            (Node::new(Data::Other("a fraction")), "a fraction"),
        ] {
            let fault = u16::read(&node).unwrap_err();
            assert!(fault.what.contains(word), "{word}: {}", fault.what);
        }
    }

    #[test]
    fn a_fault_in_a_list_names_the_item() {
        let list = Node::new(Data::List(vec![Node::text("a"), Node::int(5)]));
        assert_eq!(Vec::<String>::read(&list).unwrap_err().at, "[1]");
        assert!(Vec::<String>::read(&Node::int(5)).is_err());
    }
}
