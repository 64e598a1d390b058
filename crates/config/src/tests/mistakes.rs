//! What is refused, and with which words.

use super::*;

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    for (setting, near) in [
        ("limits.queue_mesages=5", Some("limits.queue_messages")),
        ("server.prot=1", Some("server.port")),
        ("topics.histroy_size=5", Some("topics.history_size")),
        ("limit.queue_messages=5", Some("limits.queue_messages")),
        ("ws.max_subscriptions=5", Some("limits.max_subscriptions")),
        ("data-dir=x", Some("data_dir")),
        ("nonsense.key=1", None),
        ("limits={}", None),
    ] {
        let key = setting.split('=').next().unwrap();
        let text = line(set(&[setting]));
        assert!(text.starts_with(&format!("--set {key}: unknown key")), "{text}");
        assert_eq!(text.contains("did you mean"), near.is_some(), "{text}");
        assert!(near.is_none_or(|near| text.contains(&format!("`{near}`"))), "{text}");
    }
    let text = line(env(&[("FANFARE__LIMITS__QUEUE_MESAGES", "5")]));
    let want = "FANFARE__LIMITS__QUEUE_MESAGES (limits.queue_mesages): unknown key, did you mean `FANFARE__LIMITS__QUEUE_MESSAGES`?";
    assert_eq!(text, want);
}

#[test]
fn an_error_of_a_file_names_file_line_and_key() {
    for (text, wants) in [
        (
            "[server]\nport = 0\n\n[limits]\nqueue_mesages = 5\n",
            &["my.toml line 5: limits.queue_mesages: unknown", "limits.queue_messages"][..],
        ),
        ("[server\nport = 0\n", &["my.toml line 1: is no valid TOML"]),
        ("data_dir = 'x'\nserver = 5\n", &["my.toml line 2: server: is a section"]),
        ("[limit]\nqueue_messages = 5\n", &["my.toml line 1: limit: unknown section", "`[limits]`"]),
        ("dta_dir = 'x'\n", &["my.toml line 1: dta_dir: unknown key", "data_dir"]),
        ("[server]\nport = '8080'\n", &["my.toml line 2: server.port", "\"8080\" is not a whole number"]),
        ("[ws]\nread_timeout = 60\n", &["line 2: ws.read_timeout", "`60s`"]),
        ("[server]\nport = 1.5\n", &["line 2: server.port", "a fraction"]),
        (
            "[[topics.rules]]\npattern = 'a'\n\n[[topics.rules]]\npatern = 'b'\n",
            &["line 5: topics.rules[1].patern: unknown", "`pattern`"],
        ),
        (
            "[[topics.rules]]\npattern = 'a'\npublish = 'all'\n",
            &["line 3: topics.rules[0].publish", "`anyone`"],
        ),
        (
            "[[topics.rules]]\npattern = 'inbox-{user}-*'\n",
            &["line 2: topics.rules[0].pattern", "matches names of other users"],
        ),
        (
            "[[topics.rules]]\npattern = 'a'\ndurable = 'yes'\n",
            &["line 3: topics.rules[0].durable", "neither true nor false"],
        ),
        (
            "[[topics.rules]]\npattern = 'a'\nhistory_topic_bytes = '10MB'\n",
            &["line 3: topics.rules[0].history_topic_bytes", "`10MiB`"],
        ),
        (
            "[[topics.rules]]\npattern = 'a'\nhistory_ttl = 0\n",
            &["line 3: topics.rules[0].history_ttl", "`0s`"],
        ),
        (
            "[[topics.rules]]\npattern = 'a'\nhistory_size = -1\n",
            &["line 3: topics.rules[0].history_size", "must not be negative"],
        ),
        ("[[topics.rules]]\npublish = 'user'\n", &["line 1: topics.rules[0].pattern: is missing"]),
        ("[topics]\nrules = 5\n", &["line 2: topics.rules", "not a list"]),
    ] {
        let error = line(file("lines", text));
        for want in wants {
            assert!(error.contains(want), "{want} in {error}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = Sources { file: Some("/nonexistent/none.toml".into()), ..sources(&[], &[]) };
    let text = Config::load(&missing).unwrap_err().to_string();
    assert!(text.starts_with("/nonexistent/none.toml: cannot be read"), "{text}");
}

#[test]
fn a_bad_value_is_refused_in_one_line_that_names_the_key() {
    for setting in [
        "server.port=abc",
        "server.port=70000",
        "server.port=",
        "limits.queue_messages=-1",
        "limits.queue_messages=lots",
        "limits.queue_messages=0",
        "ws.ping_interval=54",
        "ws.ping_interval=soon",
        "ws.ping_interval=0s",
        "ws.ping_interval=60s",
        "topics.backpressure=sometimes",
        "store.durability=hopeful",
        "auth.require=perhaps",
        "log.format=xml",
        "limits.upload_bytes=10XB",
        "server.shutdown_timeout=-1s",
        "store.url=oracle://x",
        "environment=moon",
        "server.host=a b",
        "server.cors_origins=*",
        "server.cors_origins=localhost",
        "server.trusted_proxies=here",
        "server.ops_listen=9090x",
        "cluster.redis_url=http://x",
        "auth.min_password_length=0",
        "auth.jwt_secret=short",
        "kafka.topics=t",
        "kafka.topics=\"t\"",
        "kafka.topics=[{\"topic\": \"t\"}]",
        "kafka.topics=[{\"topic\": \"t\", \"channel\": \"c\", \"type\": \"x\", \"on_bad_record\": \"explode\"}]",
        "kafka.topics=[{\"topic\": \"t\", \"chanel\": \"c\", \"type\": \"x\"}]",
        "kafka.topics=[{\"topic\": \"t\", \"channel\": \"c-{kay}\", \"type\": \"x\"}]",
        "topics.rules=[{\"pattern\": \"a*b\"}]",
        "auth.api_keys=[{\"name\": \"a\", \"hash\": \"00\", \"scopes\": [\"topics\"]}]",
        "limits.queue_messages=1\n2",
    ] {
        let key = setting.split('=').next().unwrap();
        let text = line(set(&[setting]));
        assert!(text.contains(key), "{key} in {text}");
    }
    for (name, value, key) in [
        ("PORT", "abc", "server.port"),
        ("MESSAGE_BUFFER_SIZE", "-3", "limits.queue_messages"),
        ("ENV", "moon", "environment"),
        ("DATABASE_URL", "oracle://x", "store.url"),
    ] {
        let text = line(env(&[(name, value)]));
        assert!(text.starts_with(&format!("{name} ({key}): ")), "{text}");
    }
    assert!(line(set(&["server.port"])).contains("--set key=value"));
}

#[test]
fn a_bad_value_is_refused_even_where_a_higher_source_wins() {
    let both = sources(&[("PORT", "abc")], &["server.port=1"]);
    assert!(Config::load(&both).unwrap_err().to_string().starts_with("PORT (server.port)"));
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_the_remedy() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let issuer =
        |name: &str, key: &str| format!("{{\"name\":\"{name}\",\"issuer\":\"i\",\"audience\":\"a\",{key}}}");
    let hmac = format!("\"hmac_secret\":\"{SECRET}\"");
    let twice = format!("auth.issuers=[{0},{0}]", issuer("a", &hmac));
    let none = format!("auth.issuers=[{}]", issuer("a", "\"user_claim\":\"uid\""));
    let plain = format!("auth.issuers=[{}]", issuer("a", "\"jwks_url\":\"http://x/keys\""));
    let key = "{\"name\":\"a\",\"hash\":\"HASH\",\"scopes\":[\"topics\"]}".replace("HASH", &"0a".repeat(32));
    let keys = format!("auth.api_keys=[{key},{key}]");
    for (settings, wants) in [
        (
            &["ws.ping_interval=2s", "ws.read_timeout=2s"][..],
            &["ws.ping_interval", "ws.read_timeout", "lower it"][..],
        ),
        (&["tls.cert=c.pem"], &["tls.key: is missing"]),
        (&["tls.key=k.pem"], &["tls.cert: is missing"]),
        (&["server.ops_listen=0.0.0.0:8080"], &["server.ops_listen", "another port"]),
        (&[&twice], &["auth.issuers[1].name", "twice"]),
        (&[&none], &["auth.issuers[0]", "exactly one"]),
        (&[&plain, "environment=production"], &["auth.issuers[0].jwks_url", "https://"]),
        (&[&keys], &["auth.api_keys[1].name", "twice"]),
    ] {
        let text = line(set(settings));
        for want in wants {
            assert!(text.contains(want), "{want} in {text}");
        }
    }
    assert!(set(&[&plain]).is_ok());
}

#[test]
fn production_is_not_put_plain_where_others_reach_it() {
    for (settings, safe) in [
        (&[][..], true),
        (&["environment=production"][..], false),
        (&["environment=production", "server.host=::"], false),
        (&["environment=production", "server.host=live.example"], false),
        (&["environment=production", "server.host=127.0.0.1"], true),
        (&["environment=production", "server.host=localhost"], true),
        (&["environment=production", "server.behind_proxy=true"], true),
        // A certificate that nothing serves yet makes nothing safe.
        (&["environment=production", "tls.cert=c", "tls.key=k"], Feature::Tls.released()),
    ] {
        let verdict = set(settings).unwrap().check_exposure();
        assert_eq!(verdict.is_ok(), safe, "{settings:?}");
        let text =
            verdict.err().map(|e| e.to_string()).unwrap_or("server.host --insecure-behind-proxy".into());
        assert!(text.contains("server.host") && text.contains("--insecure-behind-proxy"), "{text}");
    }
    let flag = Sources { behind_proxy: true, ..sources(&[("ENV", "production")], &[]) };
    let loaded = Config::load(&flag).unwrap();
    assert!(loaded.config.check_exposure().is_ok());
    assert_eq!(loaded.source("server.behind_proxy"), Some(&Source::Flag("--insecure-behind-proxy")));
}
