//! A registered method: its description, compiled schemas, and its type-erased handler.

use crate::access::Access;
use crate::caller::Caller;
use crate::failure::{Failure, internal};
use crate::method::{AsyncMethod, EitherMethod, Example, Method, Order, Positional};
use crate::panics::{Caught, guard};
use crate::params::{Bound, ParamSpec};
use crate::registry::Meter;
use crate::schema::{STRICT, SchemaError, Scope, Shape, Violation, published, schema_of};
use fanfare_core::model::{Either, ErrorCode, Refusal, TokenUse, Touch};
use serde::Serialize;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// The future of a result.
pub(crate) type Later = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>> + Send>>;

/// A call whose result comes later.
pub(crate) struct Work {
    pub future: Later,
    /// It does its work when it is polled, so the number of those that run at a time is bounded; else it only waits.
    pub gated: bool,
}

/// The outcome of running a call.
pub(crate) enum Ran {
    /// The result's JSON was appended.
    Done,
    /// It runs elsewhere.
    Later(Work),
}

/// Why a handler returned no result.
pub(crate) enum Error {
    Refused(Refusal),
    Params(Box<Violation>),
    /// The schema accepted a value that the type rejects, or the result cannot be serialized.
    Types(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Params(Box::new(violation))
    }
}

impl From<fanfare_json::Error> for Error {
    fn from(error: fanfare_json::Error) -> Self {
        Self::Types(error.into())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Types(error.into())
    }
}

trait Handler: Send + Sync {
    fn run(&self, caller: &mut dyn Caller, params: &Bound<'_>, out: &mut Vec<u8>) -> Result<Ran, Error>;
}

struct Ready<M>(M);

impl<M: Method> Handler for Ready<M> {
    fn run(&self, caller: &mut dyn Caller, params: &Bound<'_>, out: &mut Vec<u8>) -> Result<Ran, Error> {
        let params = params.read()?;
        M::validate(&params)?;
        let result = self.0.call(caller, params)?;
        write(out, &result)?;
        Ok(Ran::Done)
    }
}

struct Waiting<M>(Arc<M>);

impl<M: AsyncMethod> Handler for Waiting<M> {
    fn run(&self, caller: &mut dyn Caller, params: &Bound<'_>, _: &mut Vec<u8>) -> Result<Ran, Error> {
        let params = params.read()?;
        M::validate(&params)?;
        let call = self.0.clone().call(caller.actor().caller.clone(), params);
        let future = Box::pin(async move {
            let result = call.await?;
            let mut out = Vec::new();
            write(&mut out, &result)?;
            Ok(out)
        });
        Ok(Ran::Later(Work { future, gated: true }))
    }
}

struct EitherWay<M>(M);

impl<M: EitherMethod> Handler for EitherWay<M> {
    fn run(&self, caller: &mut dyn Caller, params: &Bound<'_>, out: &mut Vec<u8>) -> Result<Ran, Error> {
        let params = params.read()?;
        M::validate(&params)?;
        match self.0.call(caller, params)? {
            Either::Now(result) => {
                write(out, &result)?;
                Ok(Ran::Done)
            }
            Either::Later(wait) => {
                let future = Box::pin(async move {
                    let result = wait.await?;
                    let mut out = Vec::new();
                    write(&mut out, &result)?;
                    Ok(out)
                });
                Ok(Ran::Later(Work { future, gated: false }))
            }
        }
    }
}

fn write(out: &mut Vec<u8>, result: &impl Serialize) -> Result<(), Error> {
    Ok(fanfare_json::to_writer(out, result)?)
}

/// A registered method.
pub(crate) struct Entry {
    pub name: &'static str,
    pub summary: &'static str,
    pub access: Access,
    pub positional: Positional,
    /// As it is published.
    pub params_schema: Value,
    /// As it is published.
    pub result_schema: Value,
    pub example: Example,
    /// Measures its calls, if an observer is configured.
    pub meter: Option<Box<dyn Meter>>,
    order: Order,
    token_use: Option<TokenUse>,
    params: ParamSpec,
    result: Shape,
    handler: Box<dyn Handler>,
}

impl Entry {
    pub(crate) fn ready<M: Method>(method: M) -> Result<Self, SchemaError> {
        let described = Described {
            name: M::NAME,
            summary: M::SUMMARY,
            access: M::ACCESS,
            order: M::ORDER,
            token_use: M::TOKEN,
            positional: M::POSITIONAL,
            params_schema: schema_of::<M::Params<'static>>(false),
            result_schema: schema_of::<M::Result>(true),
            example: M::example(),
        };
        described.with(Box::new(Ready(method)))
    }

    pub(crate) fn waiting<M: AsyncMethod>(method: M) -> Result<Self, SchemaError> {
        let described = Described {
            name: M::NAME,
            summary: M::SUMMARY,
            access: M::ACCESS,
            order: Order::Free,
            token_use: None,
            positional: Positional::InOrder,
            params_schema: schema_of::<M::Params>(false),
            result_schema: schema_of::<M::Result>(true),
            example: M::example(),
        };
        described.with(Box::new(Waiting(Arc::new(method))))
    }

    pub(crate) fn either<M: EitherMethod>(method: M) -> Result<Self, SchemaError> {
        let described = Described {
            name: M::NAME,
            summary: M::SUMMARY,
            access: M::ACCESS,
            order: M::ORDER,
            token_use: M::TOKEN,
            positional: Positional::InOrder,
            params_schema: schema_of::<M::Params<'static>>(false),
            result_schema: schema_of::<M::Result>(true),
            example: M::example(),
        };
        described.with(Box::new(EitherWay(method)))
    }

    /// Checks the params, which needs no caller.
    pub(crate) fn bind<'a>(&'a self, params: Option<&'a str>) -> Result<Bound<'a>, Failure> {
        self.params.bind(params)
    }

    /// The effects of a call with these params.
    pub(crate) fn touches<'a>(&self, params: &'a Bound<'_>) -> Touch<'a> {
        let named = |name: &str| params.text(name).unwrap_or_default();
        match self.order {
            Order::Free => Touch::Nothing,
            Order::Topic => Touch::Topic(named("topic")),
            Order::Log => Touch::Log(named("topic")),
            Order::Channel => Touch::Channel(named("channel")),
            Order::Login => Touch::Login,
        }
    }

    /// The use of the param `token`, if it is verified before the call.
    pub(crate) fn token_use(&self) -> Option<TokenUse> {
        self.token_use
    }

    /// Checks the caller, runs the method, checks the result; on failure everything appended is removed.
    pub(crate) fn run(
        &self,
        caller: &mut dyn Caller,
        params: Result<Bound<'_>, Failure>,
        out: &mut Vec<u8>,
    ) -> Result<Ran, Failure> {
        self.access.check(caller)?;
        caller.begin(self.name)?;
        let ran = self.run_admitted(caller, params, out);
        caller.ended(self.name, ran.is_ok());
        ran
    }

    fn run_admitted(
        &self,
        caller: &mut dyn Caller,
        params: Result<Bound<'_>, Failure>,
        out: &mut Vec<u8>,
    ) -> Result<Ran, Failure> {
        let params = params?;
        let mark = out.len();
        let ran = self.settle(guard(|| self.handler.run(caller, &params, out)));
        let ran = ran.and_then(|ran| match ran {
            Ran::Done => self.check_result(&out[mark..]).map(|()| Ran::Done),
            later => Ok(later),
        });
        if ran.is_err() {
            out.truncate(mark);
        }
        ran
    }

    /// Awaits a call that runs elsewhere.
    pub(crate) async fn finish(&self, mut call: Later) -> Result<Vec<u8>, Failure> {
        let outcome = std::future::poll_fn(|cx| match guard(|| call.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            Err(caught) => Poll::Ready(Err(caught)),
        });
        let json = self.settle(outcome.await)?;
        self.check_result(&json).map(|()| json)
    }

    fn settle<T>(&self, outcome: Result<Result<T, Error>, Caught>) -> Result<T, Failure> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::Refused(r))) if r.code == ErrorCode::Internal => {
                Err(internal(self.name, &r.message, None))
            }
            Ok(Err(Error::Refused(refusal))) => Err(refusal.into()),
            Ok(Err(Error::Params(violation))) => Err(Failure::Params(violation)),
            Ok(Err(Error::Types(error))) => {
                Err(internal(self.name, &format_args!("type and schema differ: {error}"), None))
            }
            Err(caught) => Err(internal(self.name, &caught.message, Some(&caught.stack))),
        }
    }

    /// A result that breaks its own schema is a server error and is not sent to the client.
    fn check_result(&self, json: &[u8]) -> Result<(), Failure> {
        let text = std::str::from_utf8(json).unwrap_or_default();
        self.result.check(text, &Scope::Root).map_err(|violation| {
            internal(self.name, &format_args!("the result breaks its schema: {}", violation.message), None)
        })
    }
}

struct Described {
    name: &'static str,
    summary: &'static str,
    access: Access,
    order: Order,
    token_use: Option<TokenUse>,
    positional: Positional,
    params_schema: Value,
    result_schema: Value,
    example: Example,
}

impl Described {
    fn with(self, handler: Box<dyn Handler>) -> Result<Entry, SchemaError> {
        let Self {
            name,
            summary,
            access,
            order,
            token_use,
            positional,
            params_schema,
            result_schema,
            example,
        } = self;
        let shape = Shape::compile(&params_schema, &format!("{name} params"))?;
        let params =
            ParamSpec::new(shape, positional, params_schema.get(STRICT).is_some(), token_use.is_some());
        let params = params.map_err(|why| SchemaError { at: name.into(), why: why.into() })?;
        let result = Shape::compile(&result_schema, &format!("{name} result"))?;
        Ok(Entry {
            name,
            summary,
            access,
            order,
            positional,
            params_schema: published(&params_schema),
            result_schema: published(&result_schema),
            example,
            meter: None,
            token_use,
            params,
            result,
            handler,
        })
    }
}
