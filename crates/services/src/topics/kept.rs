//! Topics as the store keeps them.

use super::options::Asked;
use fanfare_core::hub::Backpressure;
use fanfare_core::topics::TopicOptions;
use fanfare_store::KeptTopic;

/// What a kept topic has beside what the configuration says of it.
pub(super) fn asked(kept: &KeptTopic) -> Asked {
    let backpressure = match kept.backpressure.as_deref() {
        Some("drop_oldest") => Some(Backpressure::DropOldest),
        Some("disconnect") => Some(Backpressure::Disconnect),
        _ => None,
    };
    Asked {
        backpressure,
        durable: kept.durable,
        history_size: kept.history_size,
        history_ttl_ms: kept.history_ttl_ms,
        history_topic_bytes: kept.history_topic_bytes,
    }
}

/// A topic as it is kept. A durable one is kept with all its options, so that a changed configuration does not change what its log
/// keeps; an ephemeral one with those in which it differs from `plain`, the options of an ephemeral topic by the configuration.
/// `by_rule`: whether the configuration makes it durable.
pub(super) fn kept_topic(
    name: &str,
    (plain, by_rule): (TopicOptions, bool),
    is: TopicOptions,
    now_ms: u64,
) -> KeptTopic {
    let all = is.durable.is_some();
    let differing = |is: u64, was: u64| (is != was).then_some(is);
    let (has, was) = (is.retention, plain.retention);
    let (history_size, history_ttl_ms, history_topic_bytes) = match is.durable {
        Some(keep) => (Some(keep.size), Some(keep.ttl_ms), Some(keep.bytes)),
        None => (
            differing(has.size as u64, was.size as u64),
            differing(has.ttl_ms, was.ttl_ms),
            differing(has.bytes as u64, was.bytes as u64),
        ),
    };
    KeptTopic {
        name: name.to_owned(),
        backpressure: (all || is.backpressure != plain.backpressure).then(|| match is.backpressure {
            Backpressure::Disconnect => "disconnect".to_owned(),
            Backpressure::DropOldest => "drop_oldest".to_owned(),
        }),
        durable: (all || by_rule).then_some(all),
        history_size,
        history_ttl_ms,
        history_topic_bytes,
        created_at: now_ms as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::TopicDefaults;
    use super::*;
    use fanfare_config::{Config, Topics as TopicSettings};
    use fanfare_core::topics::rules::{Rights, Rule};

    fn rule(durable: Option<bool>, history_size: Option<u64>) -> Rule {
        Rule { durable, history_size, ..Rule::from(Rights::OPEN) }
    }

    /// What a topic is after a restart with these settings and this rule, when it was created with the default settings and `by`.
    fn after(asked_for: Asked, by: &Rule, settings: &TopicSettings, rule: &Rule) -> TopicOptions {
        let before = TopicDefaults::from(&Config::default().topics);
        let ephemeral = before.options(by, &Asked { durable: Some(false), ..Asked::default() });
        let is = before.options(by, &asked_for);
        let kept = kept_topic("t", (ephemeral, by.durable == Some(true)), is, 1);
        TopicDefaults::from(settings).options(rule, &asked(&kept))
    }

    #[test]
    fn a_durable_topic_stays_as_it_was_created_whatever_the_configuration_becomes() {
        let settings = TopicSettings {
            history_size: 7,
            backpressure: Backpressure::DropOldest,
            ..Config::default().topics
        };
        for asked_for in [
            Asked { durable: Some(true), ..Asked::default() },
            Asked { history_size: Some(u64::MAX), history_ttl_ms: Some(0), ..Asked::default() },
            Asked { history_topic_bytes: Some(1 << 40), ..Asked::default() },
        ] {
            let by = rule(Some(true), Some(50_000));
            let was = TopicDefaults::from(&Config::default().topics).options(&by, &asked_for);
            for changed in [rule(None, None), rule(Some(true), Some(3)), rule(Some(false), Some(3))] {
                let is = after(asked_for, &by, &settings, &changed);
                assert_eq!((is.durable, is.backpressure), (was.durable, was.backpressure), "{asked_for:?}");
                assert_eq!(is.retention.size, 7, "what is in memory follows the settings");
            }
        }
    }

    #[test]
    fn an_ephemeral_topic_keeps_what_differs_from_the_configuration() {
        let asked_for = Asked { history_topic_bytes: Some(9), ..Asked::default() };
        let settings = TopicSettings { history_size: 7, ..Config::default().topics };
        let is = after(asked_for, &rule(None, None), &settings, &rule(None, None));
        assert_eq!((is.retention.bytes, is.retention.size, is.durable), (9, 7, None));
        let is = after(asked_for, &rule(None, None), &settings, &rule(Some(true), None));
        assert_eq!(
            is.durable.map(|keep| (keep.size, keep.bytes)),
            Some((100_000, 9)),
            "as the rule says now"
        );
    }

    #[test]
    fn a_topic_that_is_not_durable_against_its_rule_stays_so() {
        let by = rule(Some(true), Some(3));
        let asked_for = Asked { durable: Some(false), ..Asked::default() };
        let is = after(asked_for, &by, &Config::default().topics, &by);
        assert_eq!((is.durable, is.retention.size), (None, 100));
    }
}
