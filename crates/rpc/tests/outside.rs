//! A method added by another crate, as `docs/adding-a-method.md` shows it: the page's code is this file's.

mod support;

// begin of the page's example
use fanfare_core::model::Refusal;
use fanfare_rpc::reexport::{schemars, serde, serde_json};
use fanfare_rpc::{Caller, Example, Method, Registry};

/// Greets someone.
struct Greet;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Whom to greet.
    #[schemars(length(min = 1, max = 50))]
    name: String,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Greeting {
    text: String,
}

impl Method for Greet {
    const NAME: &'static str = "demo.greet";
    const SUMMARY: &'static str = "Greets someone";
    type Params<'a> = Params;
    type Result = Greeting;

    fn example() -> Example {
        Example::new(serde_json::json!({ "name": "Ann" }), serde_json::json!({ "text": "Hello, Ann" }))
    }

    fn call(&self, _caller: &mut dyn Caller, params: Params) -> Result<Greeting, Refusal> {
        Ok(Greeting { text: format!("Hello, {}", params.name) })
    }
}
// end of the page's example

#[test]
fn a_method_from_outside_is_like_any_other() {
    let registry = Registry::builder("0").basic_test_methods().method(Greet).build().unwrap();
    let ask = |params: &str| support::ask(&registry, &support::request("demo.greet", params)).unwrap();
    assert_eq!(ask(r#"["Ann"]"#), r#"{"jsonrpc":"2.0","id":1,"result":{"text":"Hello, Ann"}}"#);
    assert!(
        ask(r#"{"name":""}"#)
            .contains(r#""data":{"field":"name","constraint":"min=1","value":"","message":"#)
    );
    assert!(ask(r#"{"name":"Ann","more":1}"#).contains(r#""constraint":"unknown""#));
    assert!(registry.openrpc_document().contains(r#""name":"demo.greet","summary":"Greets someone""#));
}

#[test]
fn the_page_shows_this_code() {
    let source = include_str!("outside.rs");
    let (_, rest) = source.split_once("// begin of the page's example\n").unwrap();
    let (code, _) = rest.split_once("// end of the page's example").unwrap();
    let page = include_str!("../../../docs/adding-a-method.md");
    assert!(page.contains(code.trim()), "docs/adding-a-method.md shows other code");
}
