//! Checks that the documents match the registry.

use super::{Fake, ask_as, node, registry, request, user, value};
use fanfare_rpc::{BuildError, Caller, Example, Method, NoParams, Registry};
use serde_json::{Value, json};

#[test]
fn discover_is_the_registry() {
    let registry = registry();
    let document: Value = serde_json::from_str(registry.openrpc_document()).unwrap();
    assert_eq!(value(registry, &request("rpc.discover", "[]"))["result"], document);
    assert_eq!(document["openrpc"], "1.4.0");
    assert_eq!(
        (&document["info"]["title"], &document["info"]["version"]),
        (&json!("Fanfare"), &json!("0.1.0"))
    );
    let methods = document["methods"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, registry.names());
    for method in methods {
        assert!(method["summary"].as_str().is_some_and(|s| !s.is_empty()), "{method}");
        assert!(method["params"].is_array() && !method["result"]["schema"].is_null(), "{method}");
    }
}

#[test]
fn test_methods_are_off_by_default() {
    let (plain, _) = crate::testing::node(|_| {});
    let plain = &plain.registry;
    for name in
        ["subtract", "sum", "update", "get_data", "notify_hello", "notify_sum", "test.panic", "test.sleep"]
    {
        assert!(!plain.names().contains(&name) && registry().names().contains(&name), "{name}");
    }
    assert!(plain.names().contains(&"test.echo") && plain.names().contains(&"test.example"));
}

#[test]
fn params_stand_in_the_order_of_positions() {
    let document: Value = serde_json::from_str(registry().openrpc_document()).unwrap();
    let find = |name: &str| {
        document["methods"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap().clone()
    };
    let example = find("test.example");
    let shown: Vec<_> = example["params"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["name"].clone(), p["required"].clone()))
        .collect();
    assert_eq!(
        shown,
        [(json!("field1"), json!(true)), (json!("field2"), json!(true)), (json!("field3"), json!(false))]
    );
    assert_eq!(example["params"][0]["schema"]["minLength"], 3);
    assert_eq!(example["params"][1]["schema"]["maximum"], 1000);
    assert_eq!(example["params"][2]["schema"]["enum"], json!(["option1", "option2", null]));
    assert_eq!(find("topic.subscribe")["x-needs-connection"], true);
    assert_eq!(find("session.resume")["params"][0]["schema"]["pattern"], "^[A-Za-z]+-[A-Za-z]+-[0-9]{1,2}$");
    assert!(!document["methods"].to_string().contains("\"format\""), "formats that tools do not know");
}

#[test]
fn every_example_is_a_call_that_works() {
    let registry = registry();
    let _there = node().topics.make("news", None, fanfare_core::model::Requester::Backend, 1);
    let document: Value = serde_json::from_str(registry.openrpc_document()).unwrap();
    for method in document["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        if ["test.panic", "test.sleep"].contains(&name) {
            continue;
        }
        let example = &method["examples"][0];
        let params: serde_json::Map<_, _> = example["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["name"].as_str().unwrap().into(), p["value"].clone()))
            .collect();
        let mut caller = Fake { caller: user("01j5x", "ann"), ..Fake::default() };
        let answer = ask_as(&mut caller, registry, &request(name, &Value::from(params).to_string())).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let refused =
            ["CHANNEL_NOT_FOUND", "UNAUTHORIZED"].iter().any(|c| answer["error"]["data"]["code"] == *c);
        assert!(answer.get("result").is_some() || refused, "{name}: {answer}");
        if let (Some(got), Some(shown)) =
            (answer["result"].as_object(), example["result"]["value"].as_object())
        {
            for key in shown.keys() {
                assert!(
                    got.contains_key(key) || key == "client_id",
                    "{name}: the example shows {key}, the result is {answer}"
                );
            }
        }
    }
}

macro_rules! method {
    ($type:ident, $name:literal, $params:ty) => {
        struct $type;

        impl Method for $type {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "For a test";
            type Params<'a> = $params;
            type Result = Value;

            fn example() -> Example {
                Example::new(json!({}), json!(null))
            }

            fn call(&self, _: &mut dyn Caller, _: $params) -> Result<Value, fanfare_core::model::Refusal> {
                Ok(json!(null))
            }
        }
    };
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Lax {
    #[allow(dead_code, reason = "only its schema is looked at")]
    a: Option<u8>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unenforced {
    #[allow(dead_code, reason = "only its schema is looked at")]
    #[schemars(regex(pattern = "^a$"))]
    a: String,
}

method!(Twice, "test.echo", NoParams);
method!(Reserved, "rpc.more", NoParams);
method!(TakesAnything, "lax", Lax);
method!(Unchecked, "unchecked", Unenforced);
method!(NoObject, "no_object", u8);

#[test]
fn methods_with_unenforceable_schemas_are_not_registered() {
    let standard = || Registry::builder("0").basic_test_methods();
    assert_eq!(standard().method(Twice).build().err(), Some(BuildError::Twice("test.echo")));
    assert_eq!(standard().method(Reserved).build().err(), Some(BuildError::Reserved("rpc.more")));
    for (error, word) in [
        (standard().method(TakesAnything).build().err(), "deny_unknown_fields"),
        (standard().method(Unchecked).build().err(), "pattern"),
        (standard().method(NoObject).build().err(), "must be an object"),
    ] {
        let text = error.unwrap().to_string();
        assert!(text.contains(word), "{text}");
    }
}
