//! The fields of an info beside its code and its time, the same in every dialect.

use crate::json::{write_str, write_u64};
use fanfare_core::ports::Info;
use fanfare_core::time::write_rfc3339_ms;

/// Appends `,"name":value` for each field of the info, then its message.
pub(crate) fn write_members(info: &Info<'_>, out: &mut Vec<u8>) {
    match info {
        Info::TopicDeleted { topic } | Info::SubscriptionExpired { topic } => text(out, "topic", topic),
        Info::MessagesDropped { count, channel } => {
            out.extend_from_slice(b",\"count\":");
            write_u64(out, *count);
            if let Some(channel) = channel {
                text(out, "channel", channel);
            }
        }
        Info::PositionLost { topic, epoch, offset } => {
            text(out, "topic", topic);
            text(out, "epoch", &epoch.to_string());
            out.extend_from_slice(b",\"offset\":");
            write_u64(out, *offset);
        }
        Info::TokenExpiring { expires_at_ms } => {
            out.extend_from_slice(b",\"expires_at\":\"");
            write_rfc3339_ms(out, *expires_at_ms);
            out.push(b'"');
        }
        Info::FeedLag { topic, partition, lag, raised } => {
            text(out, "topic", topic);
            out.extend_from_slice(b",\"partition\":");
            write_u64(out, u64::from(partition.unsigned_abs()));
            out.extend_from_slice(b",\"lag\":");
            write_u64(out, *lag);
            text(out, "state", if *raised { "raised" } else { "cleared" });
        }
        Info::Notice { severity, .. } => text(out, "severity", severity),
        Info::ServerShutdown => {}
    }
    text(out, "message", info.message());
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_str(out, value);
}
