//! Topics as the store keeps them.

use fanfare_core::hub::Backpressure;
use fanfare_core::topics::TopicOptions;
use fanfare_store::KeptTopic;

/// How a kept topic differs from what the configuration says of it; `None` when it does not.
pub(super) fn topic_options(plain: TopicOptions, kept: &KeptTopic) -> Option<TopicOptions> {
    let mut options = plain;
    match kept.backpressure.as_deref() {
        Some("drop_oldest") => options.backpressure = Backpressure::DropOldest,
        Some("disconnect") => options.backpressure = Backpressure::Disconnect,
        _ => {}
    }
    if let Some(size) = kept.history_size {
        options.retention.size = usize::try_from(size).unwrap_or_default();
    }
    if let Some(ttl) = kept.history_ttl_ms {
        options.retention.ttl_ms = ttl.max(0).unsigned_abs();
    }
    (options != plain).then_some(options)
}

/// A topic as it is kept: with what differs from what the configuration says of it.
pub(super) fn kept_topic(name: &str, plain: TopicOptions, is: TopicOptions, now_ms: u64) -> KeptTopic {
    let (was, has) = (plain.retention, is.retention);
    KeptTopic {
        name: name.to_owned(),
        backpressure: (is.backpressure != plain.backpressure).then(|| match is.backpressure {
            Backpressure::Disconnect => "disconnect".to_owned(),
            Backpressure::DropOldest => "drop_oldest".to_owned(),
        }),
        history_size: (has.size != was.size).then_some(has.size as i64),
        history_ttl_ms: (has.ttl_ms != was.ttl_ms).then_some(has.ttl_ms as i64),
        created_at: now_ms as i64,
    }
}
