//! From a text to its answer.

use crate::caller::Caller;
use crate::entry::{Later, Ran};
use crate::failure::Failure;
use crate::pending::{Pending, PendingCall};
use crate::registry::Registry;
use fanfare_dialects::jsonrpc::{self, Fault, Incoming, Request};
use fanfare_json::Raw;
use std::time::Instant;

/// What became of a text.
#[must_use = "a pending call must be run"]
pub enum Outcome {
    /// The answer was appended.
    Answered,
    /// There is no answer: notifications only.
    Silent,
    /// Some of it runs elsewhere; nothing was appended. Run it, and send what it answers.
    Pending(Pending),
}

/// Runs a text: a request, a notification or a batch of at most `max_batch` of them. The answer, one JSON text, is appended to
/// `out`. Methods that wait do not hold up others: they come back as [`Outcome::Pending`].
pub fn dispatch(
    registry: &Registry,
    caller: &mut dyn Caller,
    text: &str,
    max_batch: usize,
    out: &mut Vec<u8>,
) -> Outcome {
    match jsonrpc::parse(text, max_batch) {
        Incoming::One(one) => match element(registry, caller, one, out) {
            Part::Answered => Outcome::Answered,
            Part::Silent => Outcome::Silent,
            Part::Later(call) => Outcome::Pending(Pending::one(call)),
        },
        Incoming::Batch(requests) => batch(registry, caller, requests, out),
    }
}

type Element<'a> = Result<Request<'a>, Fault<'a>>;

fn batch(
    registry: &Registry,
    caller: &mut dyn Caller,
    requests: Vec<Element<'_>>,
    out: &mut Vec<u8>,
) -> Outcome {
    let mark = out.len();
    let mut calls = vec![];
    out.push(b'[');
    for request in requests {
        match element(registry, caller, request, out) {
            Part::Answered => out.push(b','),
            Part::Silent => {}
            Part::Later(call) => calls.push(call),
        }
    }
    if !calls.is_empty() {
        return Outcome::Pending(Pending::batch(out.split_off(mark), calls));
    }
    if out.len() == mark + 1 {
        out.truncate(mark);
        return Outcome::Silent;
    }
    close_batch(out);
    Outcome::Answered
}

/// Puts the bracket in the last comma's place.
pub(crate) fn close_batch(out: &mut Vec<u8>) {
    out.pop();
    out.push(b']');
}

enum Part {
    Answered,
    Silent,
    Later(PendingCall),
}

fn element(registry: &Registry, caller: &mut dyn Caller, element: Element<'_>, out: &mut Vec<u8>) -> Part {
    match element {
        Err(fault) => {
            jsonrpc::fault(out, fault);
            Part::Answered
        }
        Ok(request) => run(registry, caller, &request, out),
    }
}

fn run(registry: &Registry, caller: &mut dyn Caller, request: &Request<'_>, out: &mut Vec<u8>) -> Part {
    let mark = out.len();
    let Some(entry) = registry.entry(&request.method) else {
        return refuse(out, mark, request.id, &Failure::UnknownMethod);
    };
    let started = registry.observer().map(|_| Instant::now());
    jsonrpc::open_result(out, request.id);
    let ran = entry.run(caller, request.params.map(Raw::get), out);
    if let (Some(observer), Some(started), false) =
        (registry.observer(), started, matches!(ran, Ok(Ran::Later(_))))
    {
        observer.ended(entry.name, started.elapsed(), ran.as_ref().err().map(Failure::number));
    }
    match ran {
        Ok(Ran::Done) if request.id.is_some() => {
            jsonrpc::close_result(out);
            Part::Answered
        }
        Ok(Ran::Done) => {
            out.truncate(mark);
            Part::Silent
        }
        Ok(Ran::Later(call)) => {
            out.truncate(mark);
            Part::Later(pending(registry, request, entry, call))
        }
        Err(failure) => refuse(out, mark, request.id, &failure),
    }
}

fn pending(
    registry: &Registry,
    request: &Request<'_>,
    entry: &std::sync::Arc<crate::entry::Entry>,
    call: Later,
) -> PendingCall {
    PendingCall {
        id: request.id.map(Raw::to_buf),
        entry: entry.clone(),
        observer: registry.observer().cloned(),
        call,
    }
}

/// A notification gets no answer, whatever is wrong with it.
fn refuse(out: &mut Vec<u8>, mark: usize, id: Option<Raw<'_>>, failure: &Failure) -> Part {
    out.truncate(mark);
    if id.is_none() {
        return Part::Silent;
    }
    failure.encode(out, id);
    Part::Answered
}
