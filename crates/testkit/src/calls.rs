//! JSON-RPC calls on a registry of methods, without a connection.

use fanfare_rpc::{Caller, Outcome, Registry, dispatch};
use serde_json::Value;

/// The answer's text; None for silence. Calls that wait are an error here.
///
/// # Panics
/// As said, and when what is answered is not appended UTF-8.
pub fn ask(caller: &mut dyn Caller, registry: &Registry, text: &str) -> Option<String> {
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

/// The answer as a value.
///
/// # Panics
/// As [`ask`], and when there is none or it is no JSON.
pub fn value(caller: &mut dyn Caller, registry: &Registry, text: &str) -> Value {
    let answer = ask(caller, registry, text).expect("an answer");
    serde_json::from_str(&answer).expect(&answer)
}

/// A request with the id 1; `params` is JSON.
pub fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// The error of a call.
///
/// # Panics
/// As [`value`], and when the call has a result.
pub fn error(caller: &mut dyn Caller, registry: &Registry, method: &str, params: &str) -> Value {
    let answer = value(caller, registry, &request(method, params));
    assert!(answer.get("result").is_none(), "{method} {params}: {answer}");
    answer["error"].clone()
}
