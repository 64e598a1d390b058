//! The constraints of params, and the exact messages of their violations.
//!
//! Longer than most: a constraint is a case.

use super::{Fake, ask, ask_as, error, registry, request, value};
use serde_json::{Value, json};

fn data(field: &str, constraint: &str, value: Value, message: &str) -> Value {
    json!({ "field": field, "constraint": constraint, "value": value, "message": message })
}

#[test]
fn the_seeds_error_to_the_letter() {
    let answer = ask(registry(), &request("test.example", r#"{"field1":"ab","field2":5}"#)).unwrap();
    assert_eq!(
        answer,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params","data":{"field":"field1","constraint":"min=3","value":"ab","message":"field1 must be at least 3 characters"}}}"#
    );
}

#[test]
fn every_constraint_has_its_words() {
    let registry = registry();
    let long = "x".repeat(101);
    let name = "é".repeat(128);
    for (method, params, want) in [
        (
            "test.example",
            r#"{"field2":5}"#.into(),
            data("field1", "required", Value::Null, "field1 is required"),
        ),
        (
            "test.example",
            format!(r#"{{"field1":"{long}","field2":5}}"#),
            data("field1", "max=100", json!(long), "field1 must be at most 100 characters"),
        ),
        (
            "test.example",
            r#"{"field1":5,"field2":5}"#.into(),
            data("field1", "type=string", json!(5), "field1 must be a string"),
        ),
        (
            "test.example",
            r#"{"field1":null,"field2":5}"#.into(),
            data("field1", "type=string", Value::Null, "field1 must be a string"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":-1}"#.into(),
            data("field2", "min=0", json!(-1), "field2 must be at least 0"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":1001}"#.into(),
            data("field2", "max=1000", json!(1001), "field2 must be at most 1000"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":1.5}"#.into(),
            data("field2", "type=integer", json!(1.5), "field2 must be an integer"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":"5"}"#.into(),
            data("field2", "type=integer", json!("5"), "field2 must be an integer"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":5,"field3":"option3"}"#.into(),
            data(
                "field3",
                "oneof=option1 option2",
                json!("option3"),
                "field3 must be one of option1, option2",
            ),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":5,"field3":["option1"]}"#.into(),
            data("field3", "type=string", json!(["option1"]), "field3 must be a string"),
        ),
        (
            "test.example",
            r#"{"field1":"abc","field2":5,"Field1":"abc"}"#.into(),
            data("Field1", "unknown", json!("abc"), "Field1 is not known"),
        ),
        (
            "test.example",
            r#"["abc",5,"option1",{"a":1}]"#.into(),
            data("[3]", "unknown", json!({"a":1}), "[3] is one too many: there are 3 params"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":""}"#.into(),
            data("topic", "min=1", json!(""), "topic must be at least 1 character"),
        ),
        (
            "topic.subscribe",
            format!(r#"{{"topic":"{name}"}}"#),
            data("topic", "max=255", json!(name), "topic must be at most 255 bytes"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":"t","since":{"epoch":"e"}}"#.into(),
            data("since.offset", "required", Value::Null, "since.offset is required"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":"t","history":0}"#.into(),
            data("history", "min=1", json!(0), "history must be at least 1"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":"t","history":101}"#.into(),
            data("history", "max=100", json!(101), "history must be at most 100"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":"t","history":"3"}"#.into(),
            data("history", "type=integer", json!("3"), "history must be an integer"),
        ),
        (
            "topic.subscribe",
            r#"{"topic":"t","since":3}"#.into(),
            data("since", "type=object", json!(3), "since must be an object"),
        ),
        (
            "topic.publish",
            r#"{"topic":"t"}"#.into(),
            data("payload", "required", Value::Null, "payload is required"),
        ),
        (
            "topic.publish",
            r#"{"topic":"t","payload":1,"exclude_self":"yes"}"#.into(),
            data("exclude_self", "type=boolean", json!("yes"), "exclude_self must be true or false"),
        ),
        (
            "session.resume",
            r#"{"code":"panda","token":"t"}"#.into(),
            data(
                "code",
                "session_code",
                json!("panda"),
                "code must be a session code such as happy-panda-42",
            ),
        ),
        (
            "sum",
            r#"[1,"2"]"#.into(),
            data("numbers[1]", "type=integer", json!("2"), "numbers[1] must be an integer"),
        ),
        ("rpc.discover", r#"{"x":1}"#.into(), data("x", "unknown", json!(1), "x is not known")),
    ] {
        let error = error(registry, method, &params);
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(-32602), &json!("Invalid params")),
            "{method} {params}: {error}"
        );
        assert_eq!(error["data"], want, "{method} {params}");
    }
}

#[test]
fn params_come_by_name_or_position() {
    let registry = registry();
    for (params, field3) in [
        (r#"{"field2":0,"field1":"äöü"}"#, Value::Null),
        (r#"["äöü",0]"#, Value::Null),
        (r#"["äöü",0,null]"#, Value::Null),
        (r#" [ "äöü" , 0 , "option1" ] "#, json!("option1")),
        (r#"["\u00e4öü",0,"option2"]"#, json!("option2")),
    ] {
        let result = &value(registry, &request("test.example", params))["result"];
        assert_eq!(
            (&result["field1"], &result["field2"], &result["field3"]),
            (&json!("äöü"), &json!(0), &field3),
            "{params}"
        );
    }
    assert_eq!(
        value(registry, r#"{"jsonrpc":"2.0","id":1,"method":"server.user_count"}"#)["result"],
        json!({ "count": 0 })
    );
    assert_eq!(value(registry, &request("server.user_count", "[]"))["result"], json!({ "count": 0 }));
    assert_eq!(value(registry, &request("sum", r#"{"numbers":[1,2,4]}"#))["result"], json!(7));
}

#[test]
fn the_last_of_two_counts_but_not_on_security_methods() {
    let registry = registry();
    let mut caller = Fake::default();
    ask_as(
        &mut caller,
        registry,
        &request("topic.publish", r#"{"payload":1,"topic":"t","payload":{"b" :2.0}}"#),
    )
    .unwrap();
    assert_eq!(caller.published, [r#"{"b" :2.0}"#]);
    let echo = value(registry, &request("test.echo", r#"{"msg":"a","msg":"b"}"#));
    assert_eq!(echo["result"], json!({ "msg": "b" }));
    // Only the last one: earlier values are neither checked nor read.
    let deep = "[".repeat(40) + &"]".repeat(40);
    for before in ["5", "null", r#""\ud83d""#, deep.as_str()] {
        let echo = value(registry, &request("test.echo", &format!(r#"{{"msg":{before},"msg":"b"}}"#)));
        assert_eq!(echo["result"], json!({ "msg": "b" }), "{before}");
    }
    let params = r#"{"field1":"a","field2":5000,"field3":"x","field1":"abc","field3":null,"field2":1}"#;
    assert_eq!(value(registry, &request("test.example", params))["result"]["field2"], json!(1));
    let wrong = error(registry, "test.echo", r#"{"msg":"a","msg":5}"#);
    assert_eq!((&wrong["code"], &wrong["data"]["value"]), (&json!(-32602), &json!(5)));
    let unknown = error(registry, "test.echo", r#"{"msg":5,"msg":"a","other":1}"#);
    assert_eq!(unknown["data"]["field"], "other");
    let half = error(registry, "test.echo", r#"{"msg":"a","msg":"b","\ud83d":1}"#);
    assert_eq!(half["code"], -32700);
    let twice = error(registry, "session.authenticate", r#"{"token":"good","token":"good"}"#);
    assert_eq!(twice["code"], -32700);
    let twice = error(registry, "session.authenticate", r#"{"token":5,"token":"good"}"#);
    assert!([-32700, -32602].contains(&twice["code"].as_i64().unwrap()), "{twice}");
}

#[test]
fn payloads_keep_bytes_depth_and_escapes() {
    let registry = registry();
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    for payload in
        [r#"{"b" :1.0,"a":1e2,"big":123456789012345678901234567890}"#, r#""\ud83d""#, "null", &deep(128)]
    {
        for params in [
            format!(r#"{{"topic":"t","payload":{payload}}}"#),
            format!(r#"["t",{payload}]"#),
            format!(r#"{{"topic":"t","message":{payload}}}"#),
        ] {
            let mut caller = Fake::default();
            let answer = ask_as(&mut caller, registry, &request("topic.publish", &params)).unwrap();
            assert_eq!(caller.published, [payload], "{params}: {answer}");
        }
    }
    for params in [
        format!(r#"{{"topic":"t","payload":{}}}"#, deep(129)),
        r#"{"topic":"\ud83d","payload":1}"#.into(),
        r#"{"topic":"t","payload":1,"\ud83d":1}"#.into(),
        r#"{"topic":"t","payload":"\ud83d","\ud83d":1}"#.into(),
        r#"{"topic":"t","payload":1,"client_id":"\ude00"}"#.into(),
        format!(r#"{{"topic":{},"payload":1}}"#, deep(31)),
    ] {
        let answer = value(registry, &request("topic.publish", &params));
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null), "{params}");
    }
}

#[test]
fn interpreted_params_nest_to_32() {
    let registry = registry();
    let deep = |n: usize| format!(r#"{{"message":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    // The request object and the params are the first two levels.
    assert!(value(registry, &request("server.echo", &deep(30))).get("result").is_some());
    for n in [31, 30_000] {
        assert_eq!(error(registry, "server.echo", &deep(n))["code"], -32700);
    }
}

/// JSONTestSuite's `y_` files that fit a line, as params' content; `n_` files are refused by the parser, for any method
/// (see the dialect's tests).
#[test]
fn all_valid_json_is_accepted_as_a_value() {
    let registry = registry();
    for json in [
        "[[]   ]",
        r#"[""]"#,
        "[]",
        r#"["a"]"#,
        "[false]",
        r#"[null, 1, "1", {}]"#,
        "[null]",
        "[1\n]",
        " [1]",
        "[1,null,null,null,2]",
        "[2] ",
        "[0e+1]",
        "[0e1]",
        "[ 4]",
        "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
        "[20e1]",
        "[-0]",
        "[-123]",
        "[-1]",
        "[1E22]",
        "[1E-2]",
        "[1E+2]",
        "[123e45]",
        "[123.456e78]",
        "[123]",
        r#"{"asd":"sdf", "dfg":"fgh"}"#,
        r#"{"asd":"sdf"}"#,
        r#"{"a":"b","a":"c"}"#,
        r#"{"a":"b","a":"b"}"#,
        "{}",
        r#"{"":0}"#,
        r#"{"foo\u0000bar": 42}"#,
        r#"{ "min": -1.0e+28, "max": 1.0e+28 }"#,
        r#"{"title":"\u041f\u043e\u043b\u0442\u043e\u0440\u0430"}"#,
        "{\n\"a\": \"b\"\n}",
        r#"["\u0060\u012a\u12AB"]"#,
        r#"["\uD801\udc37"]"#,
        r#"["\"\\\/\b\f\n\r\t"]"#,
        r#"["\\u0000"]"#,
        r#"["\""]"#,
        r#"["a/*b*/c/*d//e"]"#,
        r#"["\\a"]"#,
        r#"["\u0012"]"#,
        r#"["\uFFFF"]"#,
        r#"["\uDBFF\uDFFF"]"#,
        "[\"\u{2028} \u{2029}\"]",
        "[\"\u{7f}\"]",
        "[\"€𝄞\"]",
        r#"["\u0000"]"#,
        "[\"\u{10ffff}\"]",
        "false",
        "42",
        "-0.1",
        "null",
        r#""asd""#,
        "true",
        r#""""#,
        "\t[]\r\n",
    ] {
        let answer = ask(registry, &request("server.echo", &format!(r#"{{"message":{json}}}"#))).unwrap();
        let kept = format!(r#""result":{{"message":{}}}"#, json.trim_matches([' ', '\t', '\r', '\n']));
        assert!(answer.contains(&kept), "{json}: {answer}");
        let whole = ask(registry, &request("update", json));
        let is_structure = json.trim_start().starts_with('[');
        let code = whole.map(|w| serde_json::from_str::<Value>(&w).unwrap()["error"]["code"].clone());
        assert!(
            code != Some(json!(-32700)) && (!is_structure || code == Some(Value::Null)),
            "{json}: {code:?}"
        );
    }
}

#[test]
fn numbers_at_the_edges() {
    let registry = registry();
    for (n, constraint) in [
        ("9007199254740993", "max=9007199254740992"),
        ("-9007199254740993", "min=-9007199254740992"),
        ("1e30", "max=9007199254740992"),
        ("0.5", "type=integer"),
        ("1e-1", "type=integer"),
        ("123456789012345678901234567890123456789012345678901234567890", "max=9007199254740992"),
        ("-123456789012345678901234567890123456789012345678901234567890", "min=-9007199254740992"),
    ] {
        assert_eq!(error(registry, "subtract", &format!("[{n},0]"))["data"]["constraint"], constraint, "{n}");
    }
    for (n, difference) in [("1e3", 1000), ("-0", 0), ("5.0", 5), ("50e-1", 5), ("-2.50e1", -25)] {
        assert_eq!(value(registry, &request("subtract", &format!("[{n},0]")))["result"], difference, "{n}");
    }
    let limit = error(registry, "topic.history", r#"{"topic":"t","after":18446744073709551616}"#);
    assert_eq!(limit["data"]["constraint"], "max=18446744073709551615");
}

/// The params of every method with their published schemas, and the example of the method.
fn all_params(registry: &fanfare_rpc::Registry) -> Vec<(String, Value, serde_json::Map<String, Value>)> {
    let document: Value = serde_json::from_str(registry.openrpc_document()).unwrap_or_default();
    let mut all = vec![];
    for method in document["methods"].as_array().into_iter().flatten() {
        let given = method["examples"][0]["params"].as_array().into_iter().flatten();
        let given =
            given.map(|p| (p["name"].as_str().unwrap_or_default().to_owned(), p["value"].clone())).collect();
        for param in method["params"].as_array().into_iter().flatten() {
            all.push((
                method["name"].as_str().unwrap_or_default().to_owned(),
                param.clone(),
                serde_json::Map::clone(&given),
            ));
        }
    }
    all
}

/// `protocol.md` 3: `null` for an optional param means absent, by name and by position, as documented.
#[test]
fn null_for_an_optional_param_is_absent_in_every_method() {
    let registry = registry();
    let mut seen = 0;
    for (method, param, mut params) in all_params(registry) {
        let name = param["name"].as_str().unwrap();
        let is_payload = method == "topic.publish" && ["payload", "message"].contains(&name);
        if param["required"] == true || is_payload || method == "test.sleep" {
            continue;
        }
        let schema = &param["schema"];
        let is_null = |v: &Value| v == "null" || v["type"] == "null";
        let allows = |list: &Value| list.as_array().is_some_and(|all| all.iter().any(is_null));
        assert!(allows(&schema["type"]) || allows(&schema["anyOf"]), "{method} {name}: {schema}");
        params.remove(name);
        let mut caller = Fake::default();
        let mut ask = |params: &serde_json::Map<String, Value>| {
            let text = ask_as(&mut caller, registry, &request(&method, &json!(params).to_string())).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let without = ask(&params);
        params.insert(name.into(), Value::Null);
        let with = ask(&params);
        assert_eq!(with, without, "{method} {name}");
        seen += 1;
    }
    assert!(seen > 12, "{seen}");
}

/// `protocol.md` 3: a number without a fraction is an integer in any notation.
#[test]
fn integers_are_accepted_in_any_notation_in_every_method() {
    let registry = registry();
    let mut seen = 0;
    for (method, param, mut params) in all_params(registry) {
        let name = param["name"].as_str().unwrap();
        let kind = &param["schema"]["type"];
        if !(kind == "integer" || kind.as_array().is_some_and(|all| all.contains(&json!("integer"))))
            || method == "test.sleep"
        {
            continue;
        }
        params.insert(name.into(), json!("PLACE"));
        let with =
            |n: &str| value(registry, &request(&method, &json!(params).to_string().replace("\"PLACE\"", n)));
        for other in ["10.0", "1e1", "100e-1", "1.0E+1"] {
            assert_eq!(with(other), with("10"), "{method} {name} {other}");
        }
        assert_eq!(with("10.5")["error"]["data"]["constraint"], "type=integer", "{method} {name}");
        seen += 1;
    }
    assert!(seen >= 6, "{seen}");
    let since =
        |offset: &str| format!(r#"{{"topic":"t","since":{{"epoch":"00000000000003e8","offset":{offset}}}}}"#);
    let subscribe = |offset: &str| value(registry, &request("topic.subscribe", &since(offset)));
    assert_eq!(subscribe("1e1"), subscribe("10"));
    assert!(subscribe("1e1")["result"].is_object());
}

/// Issue 10, entry 1: no member name has a special meaning.
#[test]
fn no_member_has_a_magic_name() {
    let registry = registry();
    let magic = r#"{"$serde_json::private::RawValue":"\"inj\""}"#;
    for (method, params, field) in [
        ("topic.subscribe", format!(r#"{{"topic":{magic}}}"#), "topic"),
        ("topic.publish", format!(r#"{{"topic":{magic},"payload":1}}"#), "topic"),
        ("session.authenticate", format!(r#"{{"token":{magic}}}"#), "token"),
        ("feed.subscribe", format!(r#"{{"channel":{magic}}}"#), "channel"),
    ] {
        assert_eq!(error(registry, method, &params)["data"]["field"], field, "{params}");
    }
    let echo = value(registry, &request("server.echo", &format!(r#"{{"message":{magic}}}"#)));
    assert_eq!(echo["result"]["message"]["$serde_json::private::RawValue"], "\"inj\"");
    let payload = format!(r#"{{"topic":"t","payload":{magic}}}"#);
    let mut caller = Fake::default();
    ask_as(&mut caller, registry, &request("topic.publish", &payload)).unwrap();
    assert_eq!(caller.published, [magic]);
}

#[test]
fn no_method_fails_on_junk_with_an_internal_error() {
    let registry = registry();
    for name in registry.names() {
        if name == "test.panic" || name == "test.sleep" {
            continue;
        }
        for params in [
            r#"{"no_such_param":1}"#,
            "[null,null,null,null,null,null,null,null]",
            r#"{"":""}"#,
            r#"{"topic":{"a":[]},"payload":null}"#,
        ] {
            let answer = value(registry, &request(name, params));
            assert_ne!(answer["error"]["code"], -32603, "{name} {params}");
            assert!(!name.contains('.') || answer.get("error").is_some(), "{name} took {params}: {answer}");
        }
    }
}

/// For any text the response is JSON, and an internal error is never the client's fault.
#[test]
fn any_text_gets_a_valid_response() {
    use proptest::prelude::*;
    let registry = registry();
    let left_out = ["test.panic", "test.sleep", "rpc.discover"];
    let names = registry.names().into_iter().filter(|n| !left_out.contains(n));
    let method = proptest::sample::select(names.collect::<Vec<_>>());
    let scalar =
        r#"(null|true|-?[0-9]{1,20}(\.[0-9])?(e[0-9])?|"[a-z ]{0,4}(\\(n|u00e9|ud83d|ude00|"))?[a-z]{0,2}")"#;
    let key = proptest::sample::select(vec![
        "topic", "payload", "message", "since", "epoch", "offset", "key", "value", "x", "\\ud800",
    ]);
    let value = proptest::string::string_regex(scalar).unwrap().prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|m| format!(
                "{{{}}}",
                m.iter().map(|(k, v)| format!(r#""{k}":{v}"#)).collect::<Vec<_>>().join(",")
            )),
        ]
    });
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(method in method, params in value, id in "(1|\"a\"|null|true)", cut in 0..400usize)| {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":{id}}}"#);
        let cut = text.char_indices().map(|(i, _)| i).nth(cut).unwrap_or(text.len());
        for text in [&text[..], &text[..cut], &format!("[{text},{text}]")] {
            let answer = ask(registry, text).expect("not a notification");
            prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{} -> {}", text, answer);
            prop_assert!(!answer.contains("-32603"), "{} -> {}", text, answer);
        }
    });
}
