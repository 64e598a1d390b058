//! Defaults and where values come from.

use super::*;

#[test]
fn the_defaults_are_the_contracts() {
    let config = Config::default();
    let seconds = Duration::from_secs;
    assert_eq!(config.server.port, 8080);
    assert_eq!(config.server.host.to_string(), "0.0.0.0");
    assert_eq!(config.server.cors_origins.list[0].as_str(), "http://localhost:3000");
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Pretty));
    assert_eq!((config.ws.ping_interval, config.ws.read_timeout), (seconds(54), seconds(60)));
    assert_eq!((config.limits.max_connections, config.limits.queue_messages), (10_000, 256));
    assert_eq!((config.limits.max_message_bytes.get(), config.limits.queue_bytes.get()), (65_536, 1_048_576));
    assert_eq!(config.topics.history_ttl, seconds(300));
    assert_eq!(config.session.ttl, seconds(86_400));
    assert_eq!(config.store.url.0.expose(), "sqlite://data/fanfare.db");
    assert!(config.auth.allow_query_token && config.feeds.demo && config.webhooks.allow_private);
    let feeds: Vec<_> = config.kafka.topics.iter().map(|t| (t.topic.as_str(), t.kind.as_str())).collect();
    assert_eq!(
        feeds,
        [("token-info", "token_info"), ("trade-info", "trade_data"), ("aggregate-info", "aggregate_data")]
    );
}

#[test]
fn production_changes_its_defaults_only() {
    let config = set(&["environment=production"]).unwrap();
    assert!(config.server.cors_origins.list.is_empty());
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.auth.allow_query_token && !config.feeds.demo && !config.webhooks.allow_private);
    let own = [
        "environment=production",
        "log.format=pretty",
        "auth.allow_query_token=true",
        "server.cors_origins=http://localhost:3000",
    ];
    let config = set(&own).unwrap();
    assert_eq!(config.log.format, LogFormat::Pretty);
    assert!(config.auth.allow_query_token);
    assert_eq!(config.server.cors_origins.list[0].as_str(), "http://localhost:3000");
}

#[test]
fn defaults_follow_what_they_depend_on() {
    let config = set(&["data_dir=/srv/x"]).unwrap();
    assert_eq!(config.store.url.0.expose(), "sqlite:///srv/x/fanfare.db");
    assert_eq!(config.files.url.0.expose(), "file:/srv/x/files");
    assert!(!set(&["kafka.brokers=a:1"]).unwrap().feeds.demo);
    assert!(set(&["kafka.brokers="]).unwrap().feeds.demo);
    assert_eq!(set(&["ws.read_timeout=10s"]).unwrap().ws.ping_interval, Duration::from_secs(9));
}

#[test]
fn each_source_wins_over_the_ones_before() {
    let folder = Folder::new("precedence");
    let path = folder.write("fanfare.toml", "[limits]\nqueue_messages = 11\nmax_subscriptions = 2\n");
    let named = folder.write("named.toml", "[limits]\nqueue_messages = 12\n");
    let bare = ("MESSAGE_BUFFER_SIZE", "22");
    let long = ("FANFARE__LIMITS__QUEUE_MESSAGES", "33");
    for (file, env, set, want) in [
        (None, &[][..], &[][..], 11),
        (Some(&named), &[], &[], 12),
        (None, &[bare], &[], 22),
        (None, &[long, bare], &[], 33),
        (None, &[bare, long], &["limits.queue_messages=44"], 44),
        (None, &[], &["limits.queue_messages=44", "limits.queue_messages=55"], 55),
        (None, &[("MESSAGE_BUFFER_SIZE", "")], &[], 11),
    ] {
        let sources = Sources { folder: folder.0.clone(), file: file.cloned(), ..sources(env, set) };
        assert_eq!(Config::load(&sources).unwrap().config.limits.queue_messages, want, "{env:?} {set:?}");
    }
    let loaded = Config::load(&Sources { folder: folder.0.clone(), ..sources(&[bare], &[]) }).unwrap();
    assert_eq!(loaded.source("limits.queue_messages"), Some(&Source::Variable("MESSAGE_BUFFER_SIZE".into())));
    assert_eq!(loaded.source("limits.max_subscriptions"), Some(&Source::File(path, Some(3))));
    assert_eq!(loaded.source("limits.max_topics"), None);
}

#[test]
fn the_seeds_variables_set_their_keys() {
    for (name, value, key) in [
        ("PORT", "1234", "server.port"),
        ("HOST", "127.0.0.1", "server.host"),
        ("CORS_ORIGIN", "http://a.example,https://b.example", "server.cors_origins"),
        ("LOG_LEVEL", "info", "log.level"),
        ("ENV", "production", "environment"),
        ("WS_READ_BUFFER_SIZE", "2048", "ws.read_buffer_bytes"),
        ("WS_WRITE_BUFFER_SIZE", "2048", "ws.write_buffer_bytes"),
        ("MAX_CLIENTS", "1000", "limits.max_connections"),
        ("MESSAGE_BUFFER_SIZE", "100", "limits.queue_messages"),
        ("REDIS_ADDR", "cache:6379", "cluster.redis_url"),
        ("DATABASE_URL", "postgres://db/x", "store.url"),
        ("KAFKA_BROKERS", "a:9092,b:9092", "kafka.brokers"),
        ("KAFKA_CONSUMER_GROUP", "own", "kafka.group"),
        ("KAFKA_BATCH_SIZE", "7", "kafka.batch_size"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef", "auth.jwt_secret"),
    ] {
        let loaded = Config::load(&sources(&[(name, value)], &[])).unwrap();
        assert_eq!(loaded.source(key), Some(&Source::Variable(name.into())), "{name}");
        let info = keys().find(|k| k.path() == key).unwrap();
        assert_eq!(info.bare, Some(name));
    }
    let tls = env(&[("TLS_CERT", "c.pem"), ("TLS_KEY", "k.pem")]).unwrap().tls;
    assert_eq!((tls.cert, tls.key), (Some("c.pem".into()), Some("k.pem".into())));
    let config = env(&[("REDIS_ADDR", "cache:6379"), ("KAFKA_BROKERS", "a,b:1")]).unwrap();
    assert_eq!(config.cluster.redis_url.unwrap().0.expose(), "redis://cache:6379");
    assert_eq!(config.kafka.brokers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:9092", "b:1"]);
}

#[test]
fn a_list_may_begin_with_an_ipv6_address() {
    for (text, want) in [
        ("[::1]:9092", &["[::1]:9092"][..]),
        ("[::1]:9092,b:1", &["[::1]:9092", "b:1"]),
        (" [2001:db8::7], [::2]:3", &["[2001:db8::7]:9092", "[::2]:3"]),
        ("[\"[::1]:9092\", \"b\"]", &["[::1]:9092", "b:9092"]),
        ("[]", &[]),
    ] {
        let brokers = env(&[("KAFKA_BROKERS", text)]).unwrap().kafka.brokers;
        assert_eq!(brokers.iter().map(ToString::to_string).collect::<Vec<_>>(), want, "{text}");
    }
    for broken in ["[", "[a", "[a]:1", "[\"a\", ]"] {
        let error = env(&[("KAFKA_BROKERS", broken)]).unwrap_err().to_string();
        assert!(error.starts_with("KAFKA_BROKERS") && error.contains("JSON"), "{error}");
    }
}

#[test]
fn every_key_has_its_variable() {
    for key in keys() {
        let name = key.variable();
        let error = env(&[(&name, "\u{1}")]);
        // Only texts without rules take that; all others name the variable and the key.
        if let Err(error) = error {
            let text = error.to_string();
            assert!(text.starts_with(&format!("{name} ({}", key.path())), "{text}");
        }
    }
    assert_eq!(env(&[("FANFARE__DATA_DIR", "/x")]).unwrap().data_dir, Path::new("/x"));
}

#[test]
fn flags_take_what_callers_write() {
    let config = set(&[
        "server.cors_origins=[\"https://good.test\", \"https://other.test\"]",
        "limits.queue_bytes=32MiB",
        "session.ttl=1h",
        "kafka.brokers=[\"127.0.0.1:9\"]",
        "server.host=\"127.0.0.1\"",
        "feeds.demo=false",
        "limits.max_message_bytes=4096",
        "kafka.properties={\"security.protocol\": \"SSL\"}",
        "server.public_origin=",
    ])
    .unwrap();
    assert_eq!(config.server.cors_origins.list.len(), 2);
    assert_eq!(config.limits.queue_bytes, ByteSize::mib(32));
    assert_eq!(config.server.host.to_string(), "127.0.0.1");
    assert!(!config.feeds.demo && config.server.public_origin.is_none());
    assert_eq!(config.kafka.properties.0["security.protocol"], "SSL");
}
