//! From a text to its answer.

use crate::caller::Caller;
use crate::entry::{Entry, Later, Ran};
use crate::failure::Failure;
use crate::params::Bound;
use crate::pending::{Pending, PendingCall};
use crate::registry::Registry;
use fanfare_core::model::TokenUse;
use fanfare_dialects::jsonrpc::{self, Fault, Request};
use fanfare_json::Raw;
use std::sync::Arc;
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

/// The calls of a text: decoded, their params checked, nothing carried out.
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
    /// `None`: there is no such method.
    method: Option<(&'a Arc<Entry>, Result<Bound<'a>, Failure>)>,
}

impl<'a> Call<'a> {
    fn read(registry: &'a Registry, request: &Request<'a>) -> Self {
        let method = registry.entry(&request.method);
        let params = request.params.map(Raw::get);
        Self { id: request.id, method: method.map(|entry| (entry, entry.bind(params))) }
    }

    fn token(&self) -> Option<(TokenUse, String)> {
        let (entry, Ok(params)) = self.method.as_ref()? else { return None };
        Some((entry.token_use()?, params.token()?.into_owned()))
    }
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Params may hold a token.
        f.debug_struct("Call").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a> Calls<'a> {
    /// Reads a text: a request, a notification or a batch of at most `max_batch` of them.
    pub fn read(registry: &'a Registry, text: &'a str, max_batch: usize) -> Self {
        let call = |one: Result<Request<'a>, Fault<'a>>| one.map(|request| Call::read(registry, &request));
        Self(match jsonrpc::parse(text, max_batch) {
            jsonrpc::Incoming::One(one) => Incoming::One(call(one)),
            jsonrpc::Incoming::Batch(all) => Incoming::Batch(all.into_iter().map(call).collect()),
        })
    }

    /// The different tokens that must be verified before the calls run; no more than there are calls.
    pub fn tokens(&self) -> Vec<(TokenUse, String)> {
        let calls = match &self.0 {
            Incoming::One(one) => std::slice::from_ref(one),
            Incoming::Batch(all) => all,
        };
        let mut tokens = Vec::new();
        for token in calls.iter().flatten().filter_map(Call::token) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        tokens
    }

    /// Runs them. The answer, one JSON text, is appended to `out`. Methods that wait do not hold up others: they come back as
    /// [`Outcome::Pending`].
    pub fn run(self, registry: &Registry, caller: &mut dyn Caller, out: &mut Vec<u8>) -> Outcome {
        match self.0 {
            Incoming::One(one) => match element(registry, caller, one, out) {
                Part::Answered => Outcome::Answered,
                Part::Silent => Outcome::Silent,
                Part::Later(call) => Outcome::Pending(Pending::one(call)),
            },
            Incoming::Batch(calls) => batch(registry, caller, calls, out),
        }
    }
}

/// Reads a text and runs its calls, for callers that verify no tokens.
pub fn dispatch(
    registry: &Registry,
    caller: &mut dyn Caller,
    text: &str,
    max_batch: usize,
    out: &mut Vec<u8>,
) -> Outcome {
    Calls::read(registry, text, max_batch).run(registry, caller, out)
}

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
        Ok(call) => run(registry, caller, call, out),
    }
}

fn run(registry: &Registry, caller: &mut dyn Caller, call: Call<'_>, out: &mut Vec<u8>) -> Part {
    let (mark, id) = (out.len(), call.id);
    let Some((entry, params)) = call.method else {
        return refuse(out, mark, id, &Failure::UnknownMethod);
    };
    let started = registry.observer().map(|_| Instant::now());
    jsonrpc::open_result(out, id);
    let ran = entry.run(caller, params, out);
    if let (Some(observer), Some(started), false) =
        (registry.observer(), started, matches!(ran, Ok(Ran::Later(_))))
    {
        observer.ended(entry.name, started.elapsed(), ran.as_ref().err().map(Failure::number));
    }
    match ran {
        Ok(Ran::Done) if id.is_some() => {
            jsonrpc::close_result(out);
            Part::Answered
        }
        Ok(Ran::Done) => {
            out.truncate(mark);
            Part::Silent
        }
        Ok(Ran::Later(call)) => {
            out.truncate(mark);
            Part::Later(pending(registry, id, entry, call))
        }
        Err(failure) => refuse(out, mark, id, &failure),
    }
}

fn pending(registry: &Registry, id: Option<Raw<'_>>, entry: &Arc<Entry>, call: Later) -> PendingCall {
    PendingCall {
        id: id.map(Raw::to_buf),
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
