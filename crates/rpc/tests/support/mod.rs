//! A caller, and shorthands.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

use fanfare_core::model::{self, Actor, Grants, Origin};
use fanfare_rpc::*;
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

/// The answer's text; None for silence. Calls that wait are an error here.
pub fn ask_as(caller: &mut Fake, registry: &Registry, text: &str) -> Option<String> {
    let mut out = b"before".to_vec();
    let outcome = dispatch(registry, caller, text, 100, &mut out);
    let text = String::from_utf8(out).expect("answers are UTF-8");
    let text = text.strip_prefix("before").expect("only appended").to_owned();
    match outcome {
        Outcome::Answered => Some(text),
        Outcome::Silent => {
            assert_eq!(text, "");
            None
        }
        Outcome::Pending(_) => panic!("a call waits"),
    }
}

pub fn ask(registry: &Registry, text: &str) -> Option<String> {
    ask_as(&mut Fake::default(), registry, text)
}

pub fn value(registry: &Registry, text: &str) -> Value {
    let answer = ask(registry, text).expect("an answer");
    serde_json::from_str(&answer).expect(&answer)
}

pub fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// The error of a call.
pub fn error(registry: &Registry, method: &str, params: &str) -> Value {
    let answer = value(registry, &request(method, params));
    assert!(answer.get("result").is_none(), "{method} {params}: {answer}");
    answer["error"].clone()
}
