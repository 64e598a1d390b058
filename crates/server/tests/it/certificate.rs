//! The certificate's life, the plain port beside HTTPS, and the commands that speak TLS.

use crate::pair::{DAY, Pair, chmod, number, open, ping, publish};
use crate::support::{BINARY, start};
use fanfare_testkit::raw::Stream;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;

/// Where the plain port is, as the server said on standard output.
#[track_caller]
fn redirecting(server: &Server) -> SocketAddr {
    eventually("the plain port is told", PATIENCE, || {
        let log = server.log();
        log.lines().find_map(|l| l.strip_prefix("redirecting http://"))?.parse().ok()
    })
}

/// The certificate that a new connection gets.
#[track_caller]
fn served(server: &Server) -> Vec<u8> {
    let mut stream = Stream::connect(server.endpoint());
    stream.session().peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_new_certificate_is_served_and_open_sockets_stay() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let first = served(&server);
    let mut hearer = open(&server);
    hearer.subscribe("t");
    let mut publisher = open(&server);
    let mut count = 0;
    let mut seen = vec![first];
    for _ in 0..3 {
        let new = pair.renew(40 * DAY);
        server.signal(Signal::HUP);
        eventually("the new certificate is served", PATIENCE, || {
            // Load all the while.
            for _ in 0..20 {
                assert_eq!(publisher.call(&publish(count, 1000))["delivered"], 1);
                assert_eq!(number(&hearer.hear_type("event")), count);
                count += 1;
            }
            (served(&server) == new).then_some(())
        });
        assert!(!seen.contains(&new));
        seen.push(new);
    }
    ping(&mut hearer);
}

#[test]
fn an_invalid_new_certificate_keeps_the_old_and_is_logged_once() {
    let pair = Pair::new();
    let server = pair.start(&[]);
    let good = served(&server);
    let key = std::fs::read(pair.key()).unwrap();
    let cert = std::fs::read(pair.cert()).unwrap();
    let told = |times: usize, what: &str| {
        eventually(what, PATIENCE, || {
            let log = server.log();
            let mut lines = log.lines().filter(|line| line.contains("the old one stays"));
            assert!(lines.clone().count() <= times, "{log}");
            lines
                .rfind(|line| line.contains(what))
                .filter(|_| log.matches("the old one").count() == times)?;
            Some(())
        });
        assert_eq!(served(&server), good, "{what}");
    };
    std::fs::write(pair.cert(), "nonsense").unwrap();
    server.signal(Signal::HUP);
    told(1, "tls.cert");
    pair.put(SystemTime::now() - 30 * DAY, SystemTime::now() - DAY);
    server.signal(Signal::HUP);
    told(2, "has expired");
    pair.put(SystemTime::now() + DAY, SystemTime::now() + 30 * DAY);
    server.signal(Signal::HUP);
    told(3, "is not valid yet");
    std::fs::write(pair.cert(), &cert).unwrap();
    server.signal(Signal::HUP);
    told(4, "is not the key of tls.cert");
    std::fs::remove_file(pair.key()).unwrap();
    server.signal(Signal::HUP);
    told(5, "cannot be read");
    std::fs::write(pair.key(), key).unwrap();
    chmod(&pair.key(), 0o600);
    let newest = pair.renew(90 * DAY);
    server.signal(Signal::HUP);
    eventually("a good one is taken again", PATIENCE, || (served(&server) == newest).then_some(()));
}

#[test]
fn a_pair_that_cannot_be_served_is_named_at_the_start() {
    let pair = Pair::new();
    let other = Pair::new();
    let elsewhere = other.key().display().to_string();
    assert!(pair.refused(&[("tls.key", &elsewhere)]).contains("tls.key"));
    assert!(pair.refused(&[("tls.key", "/no/such/file")]).contains("tls.key: /no/such/file cannot be read"));
    assert!(pair.refused(&[("tls.cert", &elsewhere)]).contains("tls.cert"));
    let ports = [("tls.port", "18443"), ("tls.redirect_port", "18443")];
    assert!(pair.refused(&ports).contains("tls.redirect_port"));
    pair.put(SystemTime::now() - 30 * DAY, SystemTime::now() - DAY);
    let said = pair.refused(&[]);
    assert!(said.contains("tls.cert") && said.contains("has expired"), "{said}");
}

/// Chains of two of which one section would not be read or sent, and the text of the refusal.
fn mangled([own, above]: &[String; 2]) -> Vec<(&'static str, String, &'static str)> {
    let garbage =
        "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZSBnYXJiYWdlIGdhcmJhZ2U=\n-----END CERTIFICATE-----\n";
    let indented: String = above.lines().map(|line| format!("  {line}\n")).collect();
    vec![
        ("glued", format!("{}{above}", own.trim_end()), "does not stand alone"),
        ("indented", format!("{own}{indented}"), "does not stand alone"),
        ("another label", format!("{own}{}", above.replace("CERTIFICATE", "TRUSTED CERTIFICATE")), "TRUSTED"),
        ("an old label", format!("{own}{}", above.replace("CERTIFICATE", "X509 CERTIFICATE")), "X509"),
        ("garbage", format!("{own}{garbage}"), "is no X.509 certificate"),
        ("cut off", format!("{own}{}", &above[..above.len() / 2]), "no END"),
        ("no base64", format!("{own}{}", above.replacen("MII", "!II", 1)), "not PEM"),
        ("the wrong order", format!("{above}{own}"), "wrong order"),
        ("a byte order mark", format!("\u{feff}{own}{above}"), "byte order mark"),
    ]
}

#[test]
fn a_chain_of_which_a_section_is_not_read_never_serves() {
    let pair = Pair::new();
    let chain = pair.put_issued();
    let whole = chain.concat();
    for (name, file, says) in mangled(&chain) {
        std::fs::write(pair.cert(), file).unwrap();
        let said = pair.refused(&[]);
        assert!(said.contains("tls.cert") && said.contains(says), "{name}: {said}");
    }
    // The whole chain is sent, with what tools write between and around the sections too.
    let between = whole.replace("-----BEGIN", "subject=CN = x\n\n-----BEGIN").replace('\n', "\r\n");
    for file in [whole.clone(), between] {
        std::fs::write(pair.cert(), file).unwrap();
        let server = pair.start(&[]);
        let mut stream = Stream::connect(server.endpoint());
        assert_eq!(stream.session().peer_certificates().unwrap().len(), 2);
        assert!(!server.log().contains("out of order") && !server.log().contains("subjectAltName"));
    }
    // A reload is judged alike.
    let server = pair.start(&[]);
    let good = served(&server);
    for (count, (name, file, says)) in mangled(&chain).into_iter().enumerate() {
        std::fs::write(pair.cert(), file).unwrap();
        server.signal(Signal::HUP);
        eventually(name, PATIENCE, || {
            let log = server.log();
            let told: Vec<_> = log.lines().filter(|line| line.contains("the old one stays")).collect();
            (told.len() == count + 1).then(|| {
                let last = told[count];
                assert!(last.contains("tls.cert") && last.contains(says), "{name}: {last}");
            })
        });
        assert_eq!(served(&server), good, "{name}");
    }
}

#[test]
fn a_key_file_is_read_whole_too() {
    let pair = Pair::new();
    let [own, _] = pair.put_issued();
    let key = std::fs::read_to_string(pair.key()).unwrap();
    std::fs::write(pair.cert(), &own).unwrap();
    let indented: String = key.lines().map(|line| format!(" {line}\n")).collect();
    for (file, says) in [
        (format!("{key}{key}"), "more than one private key"),
        (indented, "does not stand alone"),
        (format!("\u{feff}{key}"), "byte order mark"),
        (own.clone(), "holds no private key"),
        (key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "ENCRYPTED PRIVATE KEY"),
    ] {
        std::fs::write(pair.key(), file).unwrap();
        let said = pair.refused(&[]);
        assert!(said.contains("tls.key") && said.contains(says), "{said}");
    }
    // One file may hold the pair.
    for file in [pair.cert(), pair.key()] {
        std::fs::write(file, format!("{key}{own}")).unwrap();
    }
    served(&pair.start(&[]));
}

#[test]
fn a_certificate_that_names_no_host_and_a_chain_out_of_order_are_warned_of() {
    let pair = Pair::new();
    assert!(!pair.start(&[]).log().contains("subjectAltName"));
    let [own, _] = pair.put_issued();
    let foreign = std::fs::read_to_string(Pair::new().cert()).unwrap();
    std::fs::write(pair.cert(), format!("{own}{foreign}")).unwrap();
    let log = pair.start(&[]).log();
    assert!(log.contains("certificate 1 was not issued by certificate 2"), "{log}");
    pair.put_nameless();
    let log = pair.start(&[]).log();
    assert!(log.contains("it has no subjectAltName"), "{log}");
}

#[test]
fn a_key_that_everybody_can_read_is_refused_in_production() {
    let pair = Pair::new();
    chmod(&pair.key(), 0o644);
    let said = pair.refused(&[("environment", "production")]);
    assert!(said.contains("tls.key") && said.contains("chmod 600"), "{said}");
    let server = pair.start(&[]);
    assert!(server.log().contains("tls.key can be read by every user"), "{}", server.log());
    chmod(&pair.key(), 0o640);
    drop(pair.start(&[("environment", "production"), ("log.level", "warn")]));
}

#[test]
fn an_end_within_two_weeks_is_warned_of() {
    let pair = Pair::new();
    assert!(!pair.start(&[]).log().contains("expires soon"));
    pair.renew(13 * DAY);
    assert!(pair.start(&[]).log().contains("expires soon"));
}

#[test]
fn the_plain_port_redirects_get_and_head() {
    let pair = Pair::new();
    let server = pair.start(&[("server.public_origin", "https://chat.example.com")]);
    let plain = redirecting(&server);
    let upgrade = || Request::upgrade("/ws?token=secret");
    for (request, location) in [
        (Request::get("/"), Some("/")),
        (Request::get("/a?x=1&token=secret&y=2"), Some("/a?x=1&y=2")),
        (Request::get("/ws?ticket=secret"), Some("/ws")),
        (Request::new("HEAD", "/docs"), Some("/docs")),
        (Request::get("/a").header("Authorization", "Bearer secret"), Some("/a")),
        (Request::post("/publish", "{}"), None),
        (Request::new("OPTIONS", "/publish"), None),
        (Request::new("DELETE", "/topics/t"), None),
        (Request::new("TRACE", "/"), None),
        (upgrade(), None),
    ] {
        let answer = request.send(plain);
        match location {
            Some(path) => {
                assert_eq!(answer.status, 308, "{request:?}");
                let to = format!("https://chat.example.com{path}");
                assert_eq!(answer.head.get("location"), Some(to.as_str()));
            }
            None => {
                assert_eq!(
                    (answer.status, answer.problem().as_str()),
                    (403, "https_required"),
                    "{request:?}"
                );
                assert_eq!(answer.head.get("location"), None);
                assert_eq!(answer.head.get("connection"), Some("close"));
            }
        }
        assert_eq!(answer.head.get("strict-transport-security"), None);
        assert_eq!(answer.head.get("x-content-type-options"), Some("nosniff"));
        assert!(!answer.text().contains("secret"));
    }
    // The response is sent before the body is read.
    let mut stream = Stream::connect(plain);
    stream
        .write(b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(stream.read_answer(PATIENCE).unwrap().status, 403);
    stream.expect_end(PATIENCE);

    let server = pair.start(&[("tls.redirect_all", "true")]);
    let plain = redirecting(&server);
    for request in [Request::get("/x?token=t"), Request::post("/x", "{}"), upgrade()] {
        let answer = request.send(plain);
        assert_eq!(answer.status, 308);
        let own = format!("https://{}/", server.addr());
        assert!(answer.head.get("location").unwrap().starts_with(&own), "{answer:?}");
        assert!(!answer.head.get("location").unwrap().contains("token"));
    }
}

#[test]
fn strict_transport_is_asked_for_over_tls_and_a_name_of_the_dns_only() {
    let pair = Pair::new();
    for (origin, asked) in [
        ("https://chat.example.com", true),
        ("https://localhost", false),
        ("https://127.0.0.1:8443", false),
        ("https://[::1]:8443", false),
    ] {
        let server = pair.start(&[("server.public_origin", origin)]);
        for target in ["/livez", "/", "/no/such/page"] {
            let answer = server.get(target);
            let header = asked.then_some("max-age=31536000; includeSubDomains");
            assert_eq!(answer.head.get("strict-transport-security"), header, "{origin}{target}");
        }
    }
    let plain = start(&[("server.public_origin", "https://chat.example.com")]);
    assert_eq!(plain.get("/livez").head.get("strict-transport-security"), None);
}

fn fanfare(args: &[&str]) -> Output {
    Command::new(BINARY).env_clear().args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_commands_speak_tls() {
    let folder = TempDir::new().unwrap();
    let data = format!("data_dir={}", folder.path().join("d").display());
    let made = fanfare(&["dev-cert", "--set", &data]);
    assert!(made.status.success(), "{made:?}");
    let said = String::from_utf8(made.stdout).unwrap();
    let pin = said.split("--pin ").nth(1).unwrap().trim();
    assert_eq!(pin.len(), 64);
    let (cert, key) = (folder.path().join("d/tls/cert.pem"), folder.path().join("d/tls/key.pem"));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    assert!(said.contains(&format!("--set tls.cert={cert} --set tls.key={key}")), "{said}");

    let server =
        start(&[("tls.cert", cert), ("tls.key", key), ("tls.port", "0"), ("tls.redirect_port", "0")]);
    let url = format!("wss://{}/ws", server.addr());
    let publish =
        |trust: &[&str]| fanfare(&[&["pub", "--url", &url, "--create"], trust, &["t", "1"]].concat());
    for trust in [["--pin", pin], ["--ca", cert]] {
        let out = publish(&trust);
        assert!(out.status.success(), "{trust:?}: {out:?}");
    }
    let other = format!("{:064x}", 7);
    for trust in [&["--pin", other.as_str()][..], &[], &["--ca", "/no/such/file"]] {
        let out = publish(trust);
        assert_eq!(out.status.code(), Some(1), "{trust:?}: {out:?}");
    }
    let settings = [data.clone(), format!("tls.cert={cert}"), format!("tls.key={key}"), "tls.port=0".into()];
    let mut args = vec!["doctor", "--live"];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    let address = format!("data_dir={}", server.data_dir().display());
    args.extend(["--set", "server.host=127.0.0.1", "--set", &address]);
    assert_eq!(fanfare(&args).status.code(), Some(0));
    drop(server);
    assert_eq!(fanfare(&args).status.code(), Some(1));
}

#[test]
fn openssl_agrees_on_the_versions() {
    if Command::new("openssl").arg("version").output().is_err() {
        return; // a second judge, where there is one
    }
    let pair = Pair::new();
    let server = pair.start(&[]);
    for (version, good) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &server.addr().to_string(), version, "-alpn", "http/1.1"])
            .args(["-CAfile", pair.cert().to_str().unwrap(), "-verify_return_error"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(said.contains("ALPN protocol: http/1.1"), good, "{version}: {said}");
        assert_eq!(said.contains("Verify return code: 0 (ok)"), good || said.contains("(NONE)"), "{version}");
    }
}
