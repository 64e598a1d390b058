use super::*;
use proptest::prelude::*;

/// What a single text is: its request, or the error's kind and id.
fn one(text: &str) -> Result<Request<'_>, (FaultKind, Option<&str>)> {
    match parse(text, 100) {
        Incoming::One(one) => one.map_err(|f| (f.kind, f.id.map(Raw::get))),
        Incoming::Batch(_) => panic!("{text} is a batch"),
    }
}

fn kind(text: &str) -> FaultKind {
    one(text).expect_err(text).0
}

#[test]
fn a_request_keeps_its_bytes() {
    let r =
        one(r#" {"params" : {"a" : 1.0} ,"id":1e3,"method":"m\u0041","jsonrpc":"2.0","more":[1]} "#).unwrap();
    assert_eq!(r.id.unwrap().get(), "1e3");
    assert_eq!(r.method, "mA");
    assert_eq!(r.params.unwrap().get(), r#"{"a" : 1.0}"#);
    let n = one(r#"{"jsonrpc":"2.0","method":""}"#).unwrap();
    assert!(n.id.is_none() && n.params.is_none());
}

#[test]
fn ids_are_verbatim() {
    for id in [
        "1",
        "0",
        "-1",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1.0",
        "-0.0",
        "1e3",
        "null",
        r#""""#,
        r#""a b""#,
        r#""\u0041\n""#,
        r#""\ud83d\ude00""#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","id":{id}}}"#);
        assert_eq!(one(&text).unwrap().id.unwrap().get(), id);
    }
    for id in ["true", "false", "[]", "[1]", "{}"] {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","id":{id}}}"#);
        assert_eq!(one(&text).unwrap_err(), (FaultKind::Invalid, None), "{id}");
    }
}

#[test]
fn what_is_no_request_is_invalid_with_the_id_that_could_be_read() {
    for text in [
        r#"{"method":"m","id":1}"#,
        r#"{"jsonrpc":"1.0","method":"m","id":1}"#,
        r#"{"jsonrpc":2.0,"method":"m","id":1}"#,
        r#"{"jsonrpc":"2.0 ","method":"m","id":1}"#,
        r#"{"jsonrpc":null,"method":"m","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","method":null,"id":1}"#,
        r#"{"jsonrpc":"2.0","method":["m"],"id":1}"#,
        r#"{"jsonrpc":"2.0","result":1,"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"m","params":"x","id":1}"#,
        r#"{"jsonrpc":"2.0","method":"m","params":null,"id":1}"#,
        r#"{"id":1}"#,
    ] {
        assert_eq!(one(text).unwrap_err(), (FaultKind::Invalid, Some("1")), "{text}");
    }
    for text in [
        "{}",
        "1",
        "-0",
        "null",
        r#""x""#,
        r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#,
        r#"{"jsonrpc":"2.0","method":"m","id":1,"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"m","\u006dethod":"n","id":1}"#,
        "[]",
    ] {
        assert_eq!(one(text).unwrap_err(), (FaultKind::Invalid, None), "{text}");
    }
    assert!(one(r#"{"jsonrpc":"\u0032.0","method":"m"}"#).is_ok(), "another spelling of the same string");
}

/// The cases of JSONTestSuite's `n_` files that fit a line, as a whole text and inside params.
#[test]
fn what_is_no_json_is_a_parse_error() {
    let texts = [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1",
        r#"[""#,
        r#"["a"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        "{:1}",
        r#"{"a" 1}"#,
        r#"{"a":1,}"#,
        r#"{"a":1,,"b":2}"#,
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        r##"{"a":"b"}#"##,
        r#"{"a":1}}"#,
        "[1]]",
        "[]x",
        "[01]",
        "[-01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[-]",
        "[1e]",
        "[1e+]",
        "[1.e1]",
        "[0x1]",
        "[1_000]",
        "[NaN]",
        "[Infinity]",
        "[nul]",
        "[True]",
        r#"["\x"]"#,
        r#"["\u00"]"#,
        r#"["\uZZZZ"]"#,
        r#"["\"]"#,
        "[\"\t\"]",
        "[\"\n\"]",
        "[\"\0\"]",
        "['a']",
        "[a]",
        "[1]/**/",
        "//x\n[1]",
        "\x0c[1]",
        "[1]\u{a0}",
        "\u{2060}[1]",
        "\u{feff}{}",
        "<xml/>",
        "{}{}",
        "1 2",
        r#""a"#,
        "tru",
        "-",
        "1.",
        "*",
        "[\u{30a2}]",
        r#"{"jsonrpc":"2.0","method":"m","id":"\ud800"}"#,
        r#"{"jsonrpc":"2.0","method":"\udc00"}"#,
    ];
    for text in texts {
        assert_eq!(one(text).unwrap_err(), (FaultKind::Parse, None), "{text:?}");
    }
    for text in
        texts.into_iter().filter(|t| t.trim_start().starts_with(['[', '{']) && *t != "{}{}" && t.len() < 20)
    {
        let inside = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{text},"id":1}}"#);
        assert_eq!(kind(&inside), FaultKind::Parse, "{inside}");
    }
}

#[test]
fn depth_does_not_harm_the_parser() {
    for deep in ["[".repeat(30_000) + &"]".repeat(30_000), r#"{"a":"#.repeat(9000) + "1" + &"}".repeat(9000)]
    {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{deep},"id":1}}"#);
        assert!(scan::facts(one(&text).unwrap().params.unwrap().get()).depth >= 9000);
    }
    assert_eq!(kind(&"[".repeat(30_000)), FaultKind::Parse);
    assert!(
        matches!(parse(&("[".repeat(30_000) + &"]".repeat(30_000)), 9), Incoming::Batch(b) if b.len() == 1 && b[0].is_err())
    );
}

#[test]
fn a_batch_is_each_of_its_elements() {
    let text = r#"[1, {"jsonrpc":"2.0","method":"m","id":7} ,[],{"foo":"boo"}]"#;
    let Incoming::Batch(batch) = parse(text, 4) else { panic!("no batch") };
    let ids: Vec<_> =
        batch.iter().map(|r| r.as_ref().map(|r| r.id.unwrap().get()).map_err(|f| f.kind)).collect();
    assert_eq!(ids, [Err(FaultKind::Invalid), Ok("7"), Err(FaultKind::Invalid), Err(FaultKind::Invalid)]);
    assert!(
        matches!(parse(text, 3), Incoming::One(Err(Fault { kind: FaultKind::Invalid, id: None }))),
        "over the limit"
    );
    assert!(matches!(parse("[1,2", 1), Incoming::One(Err(Fault { kind: FaultKind::Parse, .. }))));
}

proptest! {
    /// Any text gets an answer, and it is a parse error exactly when serde_json finds no JSON in it.
    #[test]
    fn parse_errors_are_exactly_what_is_no_json(text in r#"[\[\]{}",:0-9a-z \\ud8]{0,24}"#) {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let is_parse_error = matches!(parse(&text, 100), Incoming::One(Err(Fault { kind: FaultKind::Parse, .. })));
        prop_assert_eq!(is_parse_error, !is_json);
    }
}
