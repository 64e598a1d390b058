//! Texts out: replies, errors, events, infos and the welcome.

use super::RequestId;
use crate::json::{write_str, write_u64};
use crate::{Dialect, Welcome};
use fanfare_core::model::{Body, EventView, FrameType, Refusal, Reply};
use fanfare_core::ports::Info;
use fanfare_core::time::write_rfc3339_ms;

/// `{"type":"<name>"` as it is written, put together from the list of types when this is compiled.
macro_rules! opening {
    ($kind:ident) => {{
        const OPENING: [u8; 10 + FrameType::$kind.name().len()] = opening(FrameType::$kind);
        &OPENING
    }};
}

const fn opening<const N: usize>(kind: FrameType) -> [u8; N] {
    let (before, name) = (b"{\"type\":\"", kind.name().as_bytes());
    let mut text = [b'"'; N];
    let mut at = 0;
    while at < N - 1 {
        text[at] = if at < before.len() { before[at] } else { name[at - before.len()] };
        at += 1;
    }
    text
}

/// The typed dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed;

impl Dialect for Typed {
    fn event(&self, event: &EventView<'_>, out: &mut Vec<u8>) {
        out.reserve(160 + event.topic.len() + event.payload.len() + event.client_id.len());
        out.extend_from_slice(opening!(Event));
        out.extend_from_slice(b",\"topic\":");
        write_str(out, event.topic);
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(&event.meta.id.text());
        out.extend_from_slice(b"\",\"offset\":");
        write_u64(out, event.meta.offset);
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(event.payload.as_bytes());
        out.extend_from_slice(b",\"client_id\":");
        write_str(out, event.client_id);
        if let Some(user) = event.user {
            out.extend_from_slice(b",\"user\":");
            write_str(out, user);
        }
        end_with_time(event.meta.at_ms, out);
    }

    fn body(&self, body: &Body<'_>, out: &mut Vec<u8>) {
        out.reserve(body.members.len() + 2);
        out.push(b'{');
        out.extend_from_slice(body.members.as_bytes());
        out.push(b'}');
    }

    fn info(&self, info: &Info<'_>, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(opening!(Info));
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(info.code().as_bytes());
        out.push(b'"');
        crate::info::write_members(info, out);
        end_with_time(now_ms, out);
    }

    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>) {
        write_error(refusal, None, now_ms, out);
    }

    fn session_message(&self, payload: &str, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(opening!(SessionMessage));
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(payload.as_bytes());
        end_with_time(now_ms, out);
    }

    fn welcome(&self, welcome: &Welcome<'_>, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(opening!(Welcome));
        out.extend_from_slice(b",");
        welcome.write_members(now_ms, out);
        out.push(b'}');
    }
}

/// Appends the reply to a command.
pub fn write_reply(reply: &Reply<'_>, id: Option<RequestId<'_>>, now_ms: u64, out: &mut Vec<u8>) {
    match reply {
        Reply::Authenticated { user_id, username, session_code, resume_token } => {
            out.extend_from_slice(opening!(Ack));
            out.extend_from_slice(b",\"for\":\"auth\",\"user\":{\"id\":");
            write_str(out, user_id);
            out.extend_from_slice(b",\"username\":");
            write_str(out, username);
            out.extend_from_slice(b"},\"session_code\":");
            write_str(out, session_code);
            out.extend_from_slice(b",\"resume_token\":");
            write_str(out, resume_token);
            end_ack(false, id, out);
        }
        Reply::Server { command, result } => {
            out.extend_from_slice(opening!(ServerResponse));
            out.extend_from_slice(b",\"command\":");
            write_str(out, command);
            out.extend_from_slice(b",\"result\":");
            out.extend_from_slice(result.as_bytes());
            end_ack(false, id, out);
        }
        Reply::Pong => {
            out.extend_from_slice(opening!(Pong));
            write_id(id, out);
            end_with_time(now_ms, out);
        }
        Reply::Subscribed(s) => {
            begin_ack("subscribe", "topic", &s.topic, out);
            out.extend_from_slice(b",\"epoch\":\"");
            out.extend_from_slice(s.epoch.to_string().as_bytes());
            out.extend_from_slice(b"\",\"offset\":");
            write_u64(out, s.offset);
            write_recovered(s.recovered, out);
            if let Some(count) = s.history {
                out.extend_from_slice(b",\"history\":");
                write_u64(out, count.into());
            }
            write_durable(s.durable, out);
            end_ack(s.already, id, out);
        }
        Reply::Unsubscribed { topic, already } => {
            begin_ack("unsubscribe", "topic", topic, out);
            end_ack(*already, id, out);
        }
        Reply::FeedSubscribed(s) => {
            begin_ack("subscribe", "channel", &s.channel, out);
            write_recovered(s.recovered, out);
            for (at, lost) in s.lost.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b",\"lost\":[" } else { b"," });
                write_str(out, lost);
            }
            if !s.lost.is_empty() {
                out.push(b']');
            }
            end_ack(s.already, id, out);
        }
        Reply::FeedUnsubscribed { channel, already } => {
            begin_ack("unsubscribe", "channel", channel, out);
            end_ack(*already, id, out);
        }
        Reply::Published { topic, event, delivered, durable } => {
            begin_ack("publish", "topic", topic, out);
            out.extend_from_slice(b",\"id\":\"");
            out.extend_from_slice(&event.id.text());
            out.extend_from_slice(b"\",\"offset\":");
            write_u64(out, event.offset);
            out.extend_from_slice(b",\"delivered\":");
            write_u64(out, *delivered);
            write_durable(*durable, out);
            end_ack(false, id, out);
        }
    }
}

/// Appends the error that answers a frame.
pub fn write_error(refusal: &Refusal, id: Option<RequestId<'_>>, now_ms: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(opening!(Error));
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(refusal.code.name().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    write_str(out, &refusal.message);
    write_id(id, out);
    if let Some(field) = refusal.field {
        out.extend_from_slice(b",\"field\":");
        write_str(out, field);
    }
    if let Some(ms) = refusal.retry_after_ms {
        out.extend_from_slice(b",\"retry_after_ms\":");
        write_u64(out, ms);
    }
    end_with_time(now_ms, out);
}

fn begin_ack(what: &str, of: &str, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(opening!(Ack));
    out.extend_from_slice(b",\"for\":\"");
    out.extend_from_slice(what.as_bytes());
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(of.as_bytes());
    out.extend_from_slice(b"\":");
    write_str(out, name);
}

fn write_recovered(recovered: Option<bool>, out: &mut Vec<u8>) {
    if let Some(recovered) = recovered {
        let member: &[u8] = if recovered { b",\"recovered\":true" } else { b",\"recovered\":false" };
        out.extend_from_slice(member);
    }
}

fn write_durable(durable: bool, out: &mut Vec<u8>) {
    if durable {
        out.extend_from_slice(b",\"durable\":true");
    }
}

fn end_ack(already: bool, id: Option<RequestId<'_>>, out: &mut Vec<u8>) {
    if already {
        out.extend_from_slice(b",\"already\":true");
    }
    write_id(id, out);
    out.push(b'}');
}

fn write_id(id: Option<RequestId<'_>>, out: &mut Vec<u8>) {
    if let Some(RequestId(raw)) = id {
        out.extend_from_slice(b",\"request_id\":");
        out.extend_from_slice(raw.as_bytes());
    }
}

fn end_with_time(at_ms: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"timestamp\":\"");
    write_rfc3339_ms(out, at_ms);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::model::{Epoch, ErrorCode, EventId, EventMeta, FeedSubscribed, Subscribed};

    const AT: u64 = 1_795_260_060_123;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text
    }

    #[test]
    fn golden_frames() {
        let meta = EventMeta { id: EventId { time: 1 << 20, node: 1 }, offset: 18, at_ms: AT };
        let event = EventView { topic: "a\"b", meta, payload: "{ \"x\":1.0}", client_id: "c", user: None };
        assert_eq!(
            text(|o| Typed.event(&event, o)),
            r#"{"type":"event","topic":"a\"b","id":"00000000100000000001","offset":18,"payload":{ "x":1.0},"client_id":"c","timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
        assert_eq!(
            text(|o| Typed.event(&EventView { topic: "t", user: Some("za\"hra"), ..event }, o)),
            r#"{"type":"event","topic":"t","id":"00000000100000000001","offset":18,"payload":{ "x":1.0},"client_id":"c","user":"za\"hra","timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
        let subscribed = Subscribed {
            topic: "t".into(),
            epoch: Epoch(10),
            offset: 17,
            recovered: Some(true),
            history: None,
            already: false,
            durable: false,
        };
        let last = Subscribed { recovered: None, history: Some(5), ..subscribed.clone() };
        assert_eq!(
            text(|o| write_reply(&Reply::Subscribed(last), None, AT, o)),
            r#"{"type":"ack","for":"subscribe","topic":"t","epoch":"000000000000000a","offset":17,"history":5}"#
        );
        assert_eq!(
            text(|o| write_reply(&Reply::Subscribed(subscribed), Some(RequestId("7")), AT, o)),
            r#"{"type":"ack","for":"subscribe","topic":"t","epoch":"000000000000000a","offset":17,"recovered":true,"request_id":7}"#
        );
        assert_eq!(
            text(|o| write_reply(&Reply::Unsubscribed { topic: "t".into(), already: true }, None, AT, o)),
            r#"{"type":"ack","for":"unsubscribe","topic":"t","already":true}"#
        );
        assert_eq!(
            text(|o| write_reply(
                &Reply::Published { topic: "t".into(), event: meta, delivered: 3, durable: false },
                None,
                AT,
                o
            )),
            r#"{"type":"ack","for":"publish","topic":"t","id":"00000000100000000001","offset":18,"delivered":3}"#
        );
        assert_eq!(
            text(|o| write_reply(&Reply::Pong, Some(RequestId("\"x\"")), AT, o)),
            r#"{"type":"pong","request_id":"x","timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
        let refusal = Refusal::new(ErrorCode::RateLimited, "slower").retry_after(40).field("type");
        assert_eq!(
            text(|o| write_error(&refusal, Some(RequestId("1")), AT, o)),
            r#"{"type":"error","code":"RATE_LIMITED","message":"slower","request_id":1,"field":"type","retry_after_ms":40,"timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
        assert_eq!(
            text(|o| Typed.session_message("[1, 2]", AT, o)),
            r#"{"type":"session_message","payload":[1, 2],"timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
        assert_eq!(
            text(|o| write_reply(
                &Reply::FeedSubscribed(FeedSubscribed {
                    channel: "d".into(),
                    recovered: Some(false),
                    lost: vec!["t/0".into(), "t/1".into()],
                    already: false
                }),
                None,
                AT,
                o
            )),
            r#"{"type":"ack","for":"subscribe","channel":"d","recovered":false,"lost":["t/0","t/1"]}"#
        );
        assert_eq!(
            text(|o| write_reply(
                &Reply::FeedUnsubscribed { channel: "d".into(), already: true },
                Some(RequestId("1")),
                AT,
                o
            )),
            r#"{"type":"ack","for":"unsubscribe","channel":"d","already":true,"request_id":1}"#
        );
        assert_eq!(text(|o| Typed.body(&Body::feed(r#""type":"x""#), o)), r#"{"type":"x"}"#);
        let moved = Info::PositionLost { topic: "t", epoch: Epoch(0xabc), offset: 7 };
        assert!(
            text(|o| Typed.info(&moved, AT, o)).starts_with(
                r#"{"type":"info","code":"POSITION_LOST","topic":"t","epoch":"0000000000000abc","offset":7,"message":"#
            )
        );
        let dropped = Info::MessagesDropped { count: 4, channel: Some("d") };
        assert!(text(|o| Typed.info(&dropped, AT, o)).contains(r#""count":4,"channel":"d","#));
        assert_eq!(
            text(|o| Typed.info(&Info::MessagesDropped { count: 4, channel: None }, AT, o)),
            r#"{"type":"info","code":"MESSAGES_DROPPED","count":4,"message":"events were dropped because the client reads too slowly","timestamp":"2026-11-21T11:21:00.123Z"}"#
        );
    }
}
