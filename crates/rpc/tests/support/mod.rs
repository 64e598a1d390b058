//! A test caller and shorthands.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

use fanfare_core::model::{self, Actor, Grants, Origin};
use fanfare_rpc::*;
pub use fanfare_testkit::calls::{self, request};
use serde_json::Value;

/// A caller without a connection.
#[derive(Default)]
pub struct Fake {
    caller: model::Caller,
    origin: Origin,
    grants: Grants,
}

impl Caller for Fake {
    fn actor(&self) -> Actor<'_> {
        Actor { caller: &self.caller, origin: &self.origin, grants: &self.grants }
    }
    fn connection(&mut self) -> Option<&mut dyn Connection> {
        None
    }
    fn must_authenticate(&self) -> bool {
        false
    }
}

pub fn registry() -> Registry {
    let builder = Registry::builder("0.1.0").basic_test_methods().test_methods();
    builder.build().expect("all schemas can be enforced")
}

/// As [`calls::ask`], with a new caller; so are the next two.
pub fn ask(registry: &Registry, text: &str) -> Option<String> {
    calls::ask(&mut Fake::default(), registry, text)
}

pub fn value(registry: &Registry, text: &str) -> Value {
    calls::value(&mut Fake::default(), registry, text)
}

pub fn error(registry: &Registry, method: &str, params: &str) -> Value {
    calls::error(&mut Fake::default(), registry, method, params)
}
