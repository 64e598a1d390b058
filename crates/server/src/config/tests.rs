//! The rules of configuration, one table each.

use super::*;
use crate::config::{print, reference};
use std::ffi::OsString;
use std::path::Path;

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fanfare-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// No file, nothing but these variables and flags.
fn sources(env: &[(&str, &str)], set: &[&str]) -> Sources {
    Sources {
        folder: Path::new("/nonexistent").into(),
        env: env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect(),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Sources::default()
    }
}

fn set(set: &[&str]) -> Result<Config, ConfigError> {
    Config::load(&sources(&[], set)).map(|loaded| loaded.config)
}

fn env(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&sources(env, &[])).map(|loaded| loaded.config)
}

fn line(result: Result<Config, ConfigError>) -> String {
    let text = result.unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

fn file(name: &str, text: &str) -> Result<Config, ConfigError> {
    let folder = Folder::new(name);
    let file = Some(folder.write("my.toml", text));
    Config::load(&Sources { file, ..sources(&[], &[]) }).map(|loaded| loaded.config)
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = Config::default();
    let seconds = Duration::from_secs;
    assert_eq!(config.server.port, 8080);
    assert_eq!(config.server.host.to_string(), "0.0.0.0");
    assert_eq!(config.server.cors_origins[0].as_str(), "http://localhost:3000");
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
    assert!(config.server.cors_origins.is_empty());
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
    assert_eq!(config.server.cors_origins[0].as_str(), "http://localhost:3000");
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
    assert_eq!(config.server.cors_origins.len(), 2);
    assert_eq!(config.limits.queue_bytes, ByteSize::mib(32));
    assert_eq!(config.server.host.to_string(), "127.0.0.1");
    assert!(!config.feeds.demo && config.server.public_origin.is_none());
    assert_eq!(config.kafka.properties.0["security.protocol"], "SSL");
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

#[test]
fn topic_rules_fill_in_what_is_left_out() {
    use fanfare_core::topics::rules::{Backpressure, Right};
    let rules = "topics.rules=[{\"pattern\":\"a*\",\"publish\":\"user\",\"history_size\":3,\"history_ttl\":\"1s\",\"backpressure\":\"drop_oldest\"}]";
    for (environment, left_out, restricted) in
        [("development", Right::Anyone, false), ("production", Right::Server, true)]
    {
        let mode = format!("environment={environment}");
        let config = set(&[&mode, rules]).unwrap();
        let rule = config.topic_rules().find("abc", None).clone();
        assert_eq!((rule.subscribe, rule.publish, rule.history), (Right::Anyone, Right::User, Right::Anyone));
        assert_eq!((rule.history_size, rule.history_ttl), (Some(3), Some(Duration::from_secs(1))));
        assert_eq!(rule.backpressure, Some(Backpressure::DropOldest));
        assert_eq!(config.topic_rules().find("other", None).publish, left_out);
        assert!(config.topics_restricted());
        assert_eq!(set(&[&mode]).unwrap().topics_restricted(), restricted);
    }
}

#[test]
fn the_public_origin_follows_the_listener() {
    for (settings, bound, want) in [
        (&[][..], "0.0.0.0:8080", "http://localhost:8080"),
        (&["server.host=::"], "[::]:80", "http://localhost"),
        (&["server.host=127.0.0.1"], "127.0.0.1:5000", "http://127.0.0.1:5000"),
        (&["server.host=::1"], "[::1]:5000", "http://[::1]:5000"),
        (&["server.host=localhost"], "127.0.0.1:5000", "http://localhost:5000"),
        (&["server.public_origin=https://Live.example:443"], "0.0.0.0:8080", "https://live.example"),
    ] {
        let config = set(settings).unwrap();
        let bound = bound.parse().unwrap();
        assert_eq!(config.public_origin(bound).as_str(), want);
        assert!(config.origins(bound).contains(&config.public_origin(bound)));
    }
}

#[test]
fn a_rate_of_zero_is_off_and_a_burst_of_zero_is_one_second() {
    let limits =
        set(&["limits.messages_per_second=0", "limits.messages_per_second_per_ip=7"]).unwrap().limits;
    assert_eq!(limits.messages(), None);
    let rate = limits.messages_per_ip().unwrap();
    assert_eq!((rate.per_second.get(), rate.burst.get()), (7, 7));
    let rate = Config::default().limits.messages().unwrap();
    assert_eq!((rate.per_second.get(), rate.burst.get()), (1000, 2000));
}

#[test]
fn proxies_are_trusted_by_network() {
    let config = set(&["server.trusted_proxies=10.0.0.0/8, ::1"]).unwrap();
    for (peer, trusted) in [("10.9.8.7", true), ("::ffff:10.9.8.7", true), ("::1", true), ("11.0.0.1", false)]
    {
        assert_eq!(config.trusts_proxy(peer.parse().unwrap()), trusted, "{peer}");
    }
}

#[test]
fn notices_tell_what_does_not_act_and_what_is_open() {
    let inbox = "topics.rules=[{\"pattern\":\"inbox-{user}\"}]";
    let quiet = Config::load(&sources(&[], &["limits.queue_messages=5"])).unwrap();
    assert_eq!(quiet.notices(), Vec::<String>::new());
    let loaded = Config::load(&sources(&[("ENV", "production")], &[])).unwrap();
    assert!(loaded.notices()[0].starts_with("no topics.rules"));
    let loaded = Config::load(&sources(&[], &[inbox])).unwrap();
    assert!(loaded.notices()[0].contains("`inbox-{user}`"));
    let awaiting = keys()
        .find(|key| key.awaits().is_some())
        .filter(|key| key.path() == "limits.max_connections_per_user");
    if awaiting.is_some() {
        let loaded = Config::load(&sources(&[], &["limits.max_connections_per_user=3"])).unwrap();
        assert!(
            loaded.notices()[0]
                .starts_with("limits.max_connections_per_user (--set) takes effect with accounts")
        );
    }
}

#[test]
fn no_secret_is_shown() {
    const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let issuer = format!(
        "auth.issuers=[{{\"name\":\"a\",\"issuer\":\"i\",\"audience\":\"a\",\"hmac_secret\":\"{SECRET}\"}}]"
    );
    let hash = "5e".repeat(32);
    let key = format!("auth.api_keys=[{{\"name\":\"app\",\"hash\":\"{hash}\",\"scopes\":[\"admin\"]}}]");
    let env = [
        ("JWT_SECRET", SECRET),
        ("DATABASE_URL", "postgres://ann:hunter2@db/x"),
        ("REDIS_ADDR", "redis://:hunter2@cache"),
    ];
    let properties = "kafka.properties={\"sasl.password\":\"hunter2\"}";
    let loaded =
        Config::load(&sources(&env, &[&issuer, &key, properties, "limits.queue_messages=77"])).unwrap();
    let shown = print::show(&loaded);
    for text in [&shown, &format!("{loaded:?}")] {
        assert!(!text.contains("hunter2") && !text.contains(&hash), "{text}");
    }
    for want in [
        "jwt_secret = \"***\" # JWT_SECRET",
        "url = \"postgres://ann:***@db/x\" # DATABASE_URL",
        "queue_messages = 77 # --set",
        "name = \"app\"",
        "\"sasl.password\" = \"***\"",
    ] {
        assert!(shown.contains(want), "{want} in {shown}");
    }
    for (name, value) in [
        ("JWT_SECRET", "hunter2"),
        ("DATABASE_URL", "oracle://hunter2"),
        ("REDIS_ADDR", "http://hunter2"),
        ("FANFARE__AUTH__API_KEYS", "[{\"name\":\"a\",\"hash\":\"hunter2\",\"scopes\":[]}]"),
    ] {
        let text = Config::load(&sources(&[(name, value)], &[])).unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A commented key of the default file, as the line it would be in force.
fn uncommented(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let (key, _) = line.split_once(" = ")?;
    (!key.contains([' ', '.'])).then_some(line)
}

#[test]
fn the_default_file_reads_back_as_the_defaults() {
    let text = print::default_toml();
    assert_eq!(file("default", &text).unwrap(), Config::default());
    // With every commented key in force it is the same again.
    let body = text.split("# A small dashboard").next().unwrap().replace("# [[topics.rules]]\n", "");
    let rules = ["pattern", "subscribe", "publish", "history "];
    let all: Vec<&str> = body
        .lines()
        .map(|l| uncommented(l).filter(|l| !rules.iter().any(|r| l.starts_with(r))).unwrap_or(l))
        .collect();
    let all = all.join("\n");
    assert!(all.contains("\nallow_query_token = true") && all.contains("\nredis_url = \"\""), "{all}");
    assert_eq!(file("default-all", &all).unwrap(), Config::default());
    for key in keys() {
        assert!(text.contains(&format!("{} = ", key.name)), "{}", key.path());
    }
}

#[test]
fn what_is_shown_of_the_defaults_reads_back() {
    let shown = print::show(&Config::load(&sources(&[], &[])).unwrap());
    assert_eq!(file("shown", &shown).unwrap(), Config::default());
}

/// The committed pages are what the table says; `FANFARE_WRITE_DOCS=1` writes them anew.
#[test]
fn the_committed_pages_are_equal_to_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = [
        ("docs/configuration.md", reference::markdown()),
        ("fanfare.example.toml", print::default_toml()),
        (".env.example", reference::env_example()),
    ];
    for (name, want) in pages {
        if std::env::var_os("FANFARE_WRITE_DOCS").is_some() {
            std::fs::write(root.join(name), &want).unwrap();
        }
        let have = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        assert!(have == want, "{name} is not what the table says: run the test with FANFARE_WRITE_DOCS=1");
    }
}

#[test]
fn every_key_is_once_in_the_table_and_says_what_it_does() {
    let paths: Vec<String> = keys().map(KeyInfo::path).collect();
    for (i, path) in paths.iter().enumerate() {
        assert!(!paths[..i].contains(path), "{path}");
    }
    let bare: Vec<_> = keys().filter_map(|key| key.bare).collect();
    assert_eq!(bare.len(), 17);
    for key in keys() {
        let doc = key.doc.trim();
        assert!(doc.ends_with('.') && doc.len() > 10, "{}", key.path());
        assert!(!key.name.contains("__"), "{}", key.path());
        // A section's name in the table is the one of its struct.
        assert!(
            SECTIONS.iter().any(|s| s.name == key.section && s.keys.iter().any(|k| k.path() == key.path())),
            "{}",
            key.path()
        );
    }
}
