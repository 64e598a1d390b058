//! Dispatch: from a request text to its response.

use crate::caller::Caller;
use crate::entry::{Entry, Ran};
use crate::failure::Failure;
use crate::params::Bound;
use crate::pending::{Pending, PendingCall};
use crate::registry::Registry;
use crate::room::{REFUSAL_BYTES, Room};
use fanfare_core::model::{TokenUse, Touch};
use fanfare_dialects::jsonrpc::{self, Fault, Request};
use fanfare_json::Raw;
use std::sync::Arc;
use std::time::Instant;

/// The outcome of dispatching a text.
#[must_use = "a pending call must be run"]
pub enum Outcome {
    /// The response was appended.
    Answered,
    /// There is no response: notifications only.
    Silent,
    /// Some calls run elsewhere; nothing was appended. Run them and send their response.
    Pending(Pending),
}

/// The calls of a text: decoded, their params checked, none executed.
#[derive(Debug)]
pub struct Calls<'a>(Incoming<Element<'a>>);

#[derive(Debug)]
enum Incoming<T> {
    One(T),
    Batch(Vec<T>),
}

type Element<'a> = Result<Call<'a>, Fault<'a>>;

/// One call.
struct Call<'a> {
    id: Option<Raw<'a>>,
    /// `None` if the method does not exist.
    method: Option<(&'a Arc<Entry>, Result<Bound<'a>, Failure>)>,
}

impl<'a> Call<'a> {
    fn read(registry: &'a Registry, request: &Request<'a>) -> Self {
        let method = registry.entry(&request.method);
        let params = request.params.map(Raw::get);
        Self { id: request.id, method: method.map(|entry| (entry, entry.bind(params))) }
    }

    fn touches(&self) -> Touch<'_> {
        match &self.method {
            Some((entry, Ok(params))) => entry.touches(params),
            _ => Touch::Nothing,
        }
    }

    fn token(&self) -> Option<(TokenUse, String)> {
        let (entry, Ok(params)) = self.method.as_ref()? else { return None };
        Some((entry.token_use()?, params.token()?.into_owned()))
    }
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not derived: params may hold a token.
        f.debug_struct("Call").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a> Calls<'a> {
    /// Parses a text: a request, a notification or a batch of at most `max_batch` of them.
    pub fn read(registry: &'a Registry, text: &'a str, max_batch: usize) -> Self {
        let call = |one: Result<Request<'a>, Fault<'a>>| one.map(|request| Call::read(registry, &request));
        Self(match jsonrpc::parse(text, max_batch) {
            jsonrpc::Incoming::One(one) => Incoming::One(call(one)),
            jsonrpc::Incoming::Batch(all) => Incoming::Batch(all.into_iter().map(call).collect()),
        })
    }

    /// The effects of the calls. Calls that will be refused have none.
    pub fn touches(&self) -> impl Iterator<Item = Touch<'_>> {
        self.elements().iter().flatten().map(Call::touches)
    }

    fn elements(&self) -> &[Element<'a>] {
        match &self.0 {
            Incoming::One(one) => std::slice::from_ref(one),
            Incoming::Batch(all) => all,
        }
    }

    /// The different tokens that must be verified before the calls run; no more than there are calls.
    pub fn tokens(&self) -> Vec<(TokenUse, String)> {
        let mut tokens = Vec::new();
        for token in self.elements().iter().flatten().filter_map(Call::token) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// Runs the calls. The response, one JSON text of at most about `max_bytes`, is appended to `out`: a result that
    /// does not fit is refused, and the later calls of the batch are refused without being executed. Methods that wait
    /// do not block others: they are returned as [`Outcome::Pending`].
    pub fn run(self, caller: &mut dyn Caller, max_bytes: usize, out: &mut Vec<u8>) -> Outcome {
        match self.0 {
            Incoming::One(one) => {
                let mut room = Room::new(max_bytes);
                match element(caller, one, &mut room, out) {
                    Part::Answered => Outcome::Answered,
                    Part::Silent => Outcome::Silent,
                    Part::Later(call) => Outcome::Pending(Pending::one(call, room)),
                }
            }
            Incoming::Batch(calls) => {
                let refusals = calls.iter().map(refusal_bytes).sum();
                batch(caller, calls, Room::for_batch(max_bytes, refusals), out)
            }
        }
    }
}

/// Parses a text and runs its calls, for callers that verify no tokens.
pub fn dispatch(
    registry: &Registry,
    caller: &mut dyn Caller,
    text: &str,
    max_batch: usize,
    out: &mut Vec<u8>,
) -> Outcome {
    Calls::read(registry, text, max_batch).run(caller, usize::MAX, out)
}

/// The maximum bytes that the refusal of an element takes in the response.
fn refusal_bytes(element: &Element<'_>) -> usize {
    let id = match element {
        Ok(call) => call.id,
        Err(fault) => fault.id,
    };
    REFUSAL_BYTES + id.map_or(0, |id| id.get().len())
}

fn batch(caller: &mut dyn Caller, requests: Vec<Element<'_>>, mut room: Room, out: &mut Vec<u8>) -> Outcome {
    let mark = out.len();
    let mut calls = vec![];
    out.push(b'[');
    for (at, request) in requests.into_iter().enumerate() {
        let admitted =
            if at == 0 { Ok(()) } else { caller.admit().map_err(Failure::from).and_then(|()| room.check()) };
        let part = match admitted {
            Ok(()) => element(caller, request, &mut room, out),
            Err(failure) => refuse_element(out, request, &failure),
        };
        match part {
            Part::Answered => out.push(b','),
            Part::Silent => {}
            Part::Later(call) => calls.push(call),
        }
    }
    if !calls.is_empty() {
        return Outcome::Pending(Pending::batch(out.split_off(mark), calls, room));
    }
    if out.len() == mark + 1 {
        out.truncate(mark);
        return Outcome::Silent;
    }
    close_batch(out);
    Outcome::Answered
}

/// Replaces the last comma by the closing bracket.
pub(crate) fn close_batch(out: &mut Vec<u8>) {
    out.pop();
    out.push(b']');
}

enum Part {
    Answered,
    Silent,
    Later(PendingCall),
}

fn element(caller: &mut dyn Caller, element: Element<'_>, room: &mut Room, out: &mut Vec<u8>) -> Part {
    match element {
        Err(fault) => {
            jsonrpc::fault(out, fault);
            Part::Answered
        }
        Ok(call) => run(caller, call, room, out),
    }
}

fn run(caller: &mut dyn Caller, call: Call<'_>, room: &mut Room, out: &mut Vec<u8>) -> Part {
    let (mark, id) = (out.len(), call.id);
    let Some((entry, params)) = call.method else {
        return refuse(out, mark, id, &Failure::UnknownMethod);
    };
    let started = entry.meter.as_ref().map(|_| Instant::now());
    jsonrpc::open_result(out, id);
    let ran = entry.run(caller, params, out);
    if let (Some(meter), Some(started), false) = (&entry.meter, started, matches!(ran, Ok(Ran::Later(_)))) {
        meter.ended(started.elapsed(), ran.as_ref().err().map(Failure::number));
    }
    match ran {
        Ok(Ran::Done) if id.is_some() => {
            jsonrpc::close_result(out);
            match room.take(out.len() - mark) {
                Ok(()) => Part::Answered,
                Err(failure) => refuse(out, mark, id, &failure),
            }
        }
        Ok(Ran::Done) => {
            out.truncate(mark);
            Part::Silent
        }
        Ok(Ran::Later(call)) => {
            out.truncate(mark);
            Part::Later(PendingCall { id: id.map(Raw::to_buf), entry: entry.clone(), call })
        }
        Err(failure) => refuse(out, mark, id, &failure),
    }
}

/// Refuses an element of a batch without checking it further.
fn refuse_element(out: &mut Vec<u8>, element: Element<'_>, failure: &Failure) -> Part {
    match element {
        Ok(call) => refuse(out, out.len(), call.id, failure),
        Err(fault) => {
            failure.encode(out, fault.id);
            Part::Answered
        }
    }
}

/// A notification gets no response, not even an error.
fn refuse(out: &mut Vec<u8>, mark: usize, id: Option<Raw<'_>>, failure: &Failure) -> Part {
    out.truncate(mark);
    if id.is_none() {
        return Part::Silent;
    }
    failure.encode(out, id);
    Part::Answered
}
