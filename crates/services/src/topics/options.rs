//! How a topic is kept and sent: from the server's settings, the rule of its name, and what its creator asked for
//! (`configuration.md` "Who may use a topic", `protocol.md` 3.2 "Durable topics").

use fanfare_config::Topics as TopicSettings;
use fanfare_core::hub::Backpressure;
use fanfare_core::ports::Retention;
use fanfare_core::topics::rules::Rule;
use fanfare_core::topics::{LogRetention, TopicOptions};

/// What the log of a durable topic keeps unless its rule or its creator says otherwise.
const DURABLE: LogRetention = LogRetention { size: 100_000, ttl_ms: 30 * 24 * 3_600_000, bytes: 256 << 20 };

/// Options that the creator of a topic asks for; `None` is as the topic's rule and the server's settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What happens to a subscriber that reads too slowly.
    pub backpressure: Option<Backpressure>,
    /// Whether the topic is durable.
    pub durable: Option<bool>,
    /// Events kept; 0 is none of an ephemeral topic, and all of a durable one. The same below.
    pub history_size: Option<u64>,
    /// How long they are kept, in milliseconds.
    pub history_ttl_ms: Option<u64>,
    /// Bytes of events kept.
    pub history_topic_bytes: Option<u64>,
}

/// The settings that hold where neither a rule nor the creator of a topic says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    backpressure: Backpressure,
    retention: Retention,
}

impl From<&TopicSettings> for TopicDefaults {
    fn from(settings: &TopicSettings) -> Self {
        let retention = Retention {
            size: settings.history_size,
            ttl_ms: settings.history_ttl.as_millis() as u64,
            bytes: settings.history_topic_bytes.len(),
        };
        Self { backpressure: settings.backpressure, retention }
    }
}

impl TopicDefaults {
    /// The options of a topic. The bounds of a rule count for the kind of topic that the rule makes, durable or not: 0 has another
    /// meaning for each.
    pub fn options(&self, rule: &Rule, asked: &Asked) -> TopicOptions {
        let by_rule = rule.durable.unwrap_or(false);
        let durable = asked.durable.unwrap_or(by_rule);
        let bounds = if durable == by_rule { asked.or(rule) } else { *asked };
        let backpressure = asked.backpressure.or(rule.backpressure).unwrap_or(self.backpressure);
        if durable {
            let keep = bounds.within_log(DURABLE);
            return TopicOptions {
                backpressure,
                retention: within(self.retention, keep),
                durable: Some(keep),
            };
        }
        TopicOptions { backpressure, retention: bounds.within_memory(self.retention), durable: None }
    }
}

impl Asked {
    /// The bounds, those that are not given from a rule.
    fn or(&self, rule: &Rule) -> Self {
        Self {
            history_size: self.history_size.or(rule.history_size),
            history_ttl_ms: self.history_ttl_ms.or(rule.history_ttl.map(|ttl| ttl.as_millis() as u64)),
            history_topic_bytes: self.history_topic_bytes.or(rule.history_topic_bytes),
            ..*self
        }
    }

    fn within_log(&self, default: LogRetention) -> LogRetention {
        LogRetention {
            size: self.history_size.unwrap_or(default.size),
            ttl_ms: self.history_ttl_ms.unwrap_or(default.ttl_ms),
            bytes: self.history_topic_bytes.unwrap_or(default.bytes),
        }
    }

    fn within_memory(&self, default: Retention) -> Retention {
        Retention {
            size: self.history_size.map_or(default.size, length),
            ttl_ms: self.history_ttl_ms.unwrap_or(default.ttl_ms),
            bytes: self.history_topic_bytes.map_or(default.bytes, length),
        }
    }
}

/// What a durable topic holds in memory: no more than its log keeps, so that both show the same history.
fn within(memory: Retention, log: LogRetention) -> Retention {
    let most = |bound: u64| if bound == 0 { u64::MAX } else { bound };
    Retention {
        size: memory.size.min(length(most(log.size))),
        ttl_ms: memory.ttl_ms.min(most(log.ttl_ms)),
        bytes: memory.bytes.min(length(most(log.bytes))),
    }
}

fn length(bound: u64) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_config::Config;
    use fanfare_core::topics::rules::Rights;
    use std::time::Duration;

    const DAY_MS: u64 = 24 * 3_600_000;
    /// As the server is set without configuration.
    const MEMORY: (usize, u64, usize) = (100, 300_000, 1 << 20);

    fn rule(durable: Option<bool>, size: Option<u64>, ttl_ms: Option<u64>, bytes: Option<u64>) -> Rule {
        Rule {
            durable,
            history_size: size,
            history_ttl: ttl_ms.map(Duration::from_millis),
            history_topic_bytes: bytes,
            ..Rule::from(Rights::OPEN)
        }
    }

    fn asked(durable: Option<bool>, size: Option<u64>, ttl_ms: Option<u64>, bytes: Option<u64>) -> Asked {
        let (history_size, history_ttl_ms, history_topic_bytes) = (size, ttl_ms, bytes);
        Asked { backpressure: None, durable, history_size, history_ttl_ms, history_topic_bytes }
    }

    /// Events, milliseconds and bytes: in memory, and in the store of a durable topic.
    type Bounds = ((usize, u64, usize), Option<(u64, u64, u64)>);

    fn bounds(rule: &Rule, asked: &Asked) -> Bounds {
        let defaults = TopicDefaults::from(&Config::default().topics);
        let TopicOptions { retention: r, durable, .. } = defaults.options(rule, asked);
        ((r.size, r.ttl_ms, r.bytes), durable.map(|keep| (keep.size, keep.ttl_ms, keep.bytes)))
    }

    #[test]
    fn an_ephemeral_topic_takes_what_is_asked_then_its_rule_then_the_settings() {
        let none = Asked::default();
        assert_eq!(bounds(&rule(None, None, None, None), &none), (MEMORY, None));
        let ruled = rule(Some(false), Some(5), Some(6), Some(7));
        assert_eq!(bounds(&ruled, &none), ((5, 6, 7), None));
        assert_eq!(bounds(&ruled, &asked(None, Some(0), None, Some(9))), ((0, 6, 9), None));
        assert_eq!(bounds(&ruled, &asked(Some(false), None, Some(1), None)), ((5, 1, 7), None));
    }

    #[test]
    fn a_durable_topic_has_bounds_of_its_own_and_the_settings_bound_its_memory() {
        let default = Some((100_000, 30 * DAY_MS, 256 << 20));
        let none = Asked::default();
        assert_eq!(bounds(&rule(Some(true), None, None, None), &none), (MEMORY, default));
        assert_eq!(
            bounds(&rule(None, None, None, None), &asked(Some(true), None, None, None)),
            (MEMORY, default)
        );
        let large = rule(Some(true), Some(u64::MAX), Some(400 * DAY_MS), Some(1 << 40));
        assert_eq!(bounds(&large, &none), (MEMORY, Some((u64::MAX, 400 * DAY_MS, 1 << 40))));
        let without = rule(Some(true), Some(0), Some(0), Some(0));
        assert_eq!(bounds(&without, &none), (MEMORY, Some((0, 0, 0))));
        let mixed = asked(None, Some(3), None, None);
        assert_eq!(bounds(&without, &mixed), ((3, MEMORY.1, MEMORY.2), Some((3, 0, 0))));
    }

    #[test]
    fn a_durable_topic_holds_no_more_in_memory_than_its_log_keeps() {
        let small = rule(Some(true), Some(10), Some(1000), Some(4096));
        assert_eq!(bounds(&small, &Asked::default()), ((10, 1000, 4096), Some((10, 1000, 4096))));
    }

    #[test]
    fn the_bounds_of_a_rule_are_not_those_of_topics_of_the_other_kind() {
        let all = rule(Some(true), Some(0), Some(0), Some(1 << 40));
        assert_eq!(bounds(&all, &asked(Some(false), None, None, None)), (MEMORY, None));
        let none = rule(None, Some(0), Some(1), Some(2));
        let default = Some((7, 30 * DAY_MS, 256 << 20));
        assert_eq!(
            bounds(&none, &asked(Some(true), Some(7), None, None)),
            ((7, MEMORY.1, MEMORY.2), default)
        );
    }

    #[test]
    fn backpressure_does_not_depend_on_the_kind() {
        let defaults = TopicDefaults::from(&Config::default().topics);
        let drops = Some(Backpressure::DropOldest);
        for durable in [None, Some(false), Some(true)] {
            let ruled = Rule { backpressure: drops, ..rule(Some(true), None, None, None) };
            let ask = asked(durable, None, None, None);
            assert_eq!(defaults.options(&ruled, &ask).backpressure, Backpressure::DropOldest);
            let ask = Asked { backpressure: Some(Backpressure::Disconnect), ..ask };
            assert_eq!(defaults.options(&ruled, &ask).backpressure, Backpressure::Disconnect);
            let ask = Asked { backpressure: drops, ..ask };
            let plain = rule(None, None, None, None);
            assert_eq!(defaults.options(&plain, &ask).backpressure, Backpressure::DropOldest);
        }
    }
}
