//! What settings mean together.

use super::*;

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
fn a_rule_of_durable_topics_has_bounds_of_any_size() {
    let rules = |more: &str| set(&[&format!("topics.rules=[{{\"pattern\":\"d-*\",{more}}}]")]).unwrap();
    let config = rules(
        "\"durable\":true,\"history_size\":9223372036854775807,\"history_ttl\":\"400d\",\"history_topic_bytes\":\"2GiB\"",
    );
    let rule = config.topic_rules().find("d-1", None).clone();
    assert_eq!((rule.durable, rule.history_size), (Some(true), Some(i64::MAX as u64)));
    let days = Duration::from_secs(400 * 24 * 3600);
    assert_eq!((rule.history_ttl, rule.history_topic_bytes), (Some(days), Some(2 << 30)));
    let config =
        rules("\"durable\":true,\"history_size\":0,\"history_ttl\":\"0s\",\"history_topic_bytes\":0");
    let rule = config.topic_rules().find("d-1", None).clone();
    assert_eq!((rule.history_size, rule.history_ttl), (Some(0), Some(Duration::ZERO)));
    assert_eq!(rule.history_topic_bytes, Some(0));
    let rule = rules("\"durable\":false").topic_rules().find("d-1", None).clone();
    assert_eq!((rule.durable, rule.history_topic_bytes), (Some(false), None));
    assert_eq!(config.topic_rules().find("other", None).durable, None);
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
fn a_line_end_behind_a_secret_is_noticed() {
    let secret = "0123456789abcdef0123456789abcdef";
    let plain = Config::load(&sources(&[("JWT_SECRET", secret)], &[])).unwrap();
    assert_eq!(plain.notices(), Vec::<String>::new());
    let issuers = format!(r#"[{{"name":"shop","issuer":"i","audience":"a","hmac_secret":"{secret}\n"}}]"#);
    let with_end = format!("{secret}\r\n");
    let env = [("JWT_SECRET", with_end.as_str()), ("FANFARE__AUTH__ISSUERS", issuers.as_str())];
    let loaded = Config::load(&sources(&env, &[])).unwrap();
    let notices = loaded.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices[0].starts_with("auth.jwt_secret: ") && notices[1].contains("`shop`"), "{notices:?}");
    assert!(notices.iter().all(|notice| !notice.contains(secret)));
    let key = |loaded: &Loaded| loaded.config.auth.jwt_secret.as_ref().unwrap().expose().to_owned();
    assert_eq!(key(&loaded), key(&plain));
}
