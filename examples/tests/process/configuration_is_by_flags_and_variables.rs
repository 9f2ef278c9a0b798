//! Guards against: a variable that is ignored, a typing error that nobody sees, and a password in the log.

use serde_json::Value;

use crate::common::process::{Ran, SERVE, Served, orders};

/// The lines of the log up to the one with this message.
async fn log_until(served: &mut Served, message: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    while lines.last().is_none_or(|line| line["message"] != message) {
        lines.push(serde_json::from_str(&served.next_log_line().await).unwrap());
    }
    lines
}

/// What `orders serve` prints whose flags and variables are wrong.
async fn refused(variables: &[(&str, &str)], flags: &[&str]) -> String {
    let mut command = orders(&[&SERVE[..], flags].concat());
    let folder = tempfile::tempdir().unwrap();
    command.envs(variables.iter().copied()).current_dir(folder.path());
    let ran = Ran::from(command.output().await.unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was opened");
    ran.err
}

#[tokio::test]
async fn a_flag_counts_before_its_variable_and_an_empty_variable_is_none() {
    let mut command = orders(&["serve", "--listen", "127.0.0.1:0", "--streams", "8"]);
    command.envs([
        ("ORDERS_DB", ":memory:"),
        ("ORDERS_AUTH", "off"),
        ("ORDERS_METRICS", "off"),
        ("ORDERS_LISTEN", "an address that nobody has"),
        ("ORDERS_STREAMS", "7"),
        ("ORDERS_IDLE", ""),
        ("ORDERS_WEB", "true"),
        ("ORDERS_CORS", "https://a.example,https://b.example"),
    ]);
    let mut served = Served::spawn(command).await;
    let line = log_until(&mut served, "configuration").await.pop().unwrap();
    let settings = line["settings"].as_str().unwrap();
    for setting in [
        "listen=127.0.0.1:0 (flag)",
        "db=:memory: (ORDERS_DB)",
        "auth=off (ORDERS_AUTH)",
        "metrics=off (ORDERS_METRICS)",
        "streams=8 (flag)",
        "idle=5m",
        "web=true (ORDERS_WEB)",
        "cors=https://a.example,https://b.example (ORDERS_CORS)",
        "drain-limit=30s",
    ] {
        assert!(format!("{settings} ").contains(&format!("{setting} ")), "{setting}: {settings}");
    }
}

#[tokio::test]
async fn a_variable_that_sets_nothing_has_a_warning_but_not_those_of_kubernetes() {
    let mut command = orders(&[&SERVE[..], &["--db", ":memory:"]].concat());
    command.envs([
        ("ORDERS_DRAIN_LIMT", "5s"),
        ("ORDERS_SOMETHING_ELSE_ALTOGETHER", "1"),
        ("ORDERS_SERVICE_HOST", "10.0.0.7"),
        ("ORDERS_PORT_50051_TCP", "tcp://10.0.0.7:50051"),
    ]);
    let mut served = Served::spawn(command).await;
    log_until(&mut served, "configuration").await;
    let mut warned: Vec<(Value, Value)> = Vec::new();
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&served.next_log_line().await).unwrap();
        assert_eq!(line["level"], "WARN", "{line}");
        warned.push((line["name"].clone(), line["meant"].clone()));
    }
    let name = |(name, _): &(Value, Value)| name.to_string();
    warned.sort_by_key(name);
    assert_eq!(
        warned,
        [
            ("ORDERS_DRAIN_LIMT".into(), "ORDERS_DRAIN_LIMIT".into()),
            ("ORDERS_SOMETHING_ELSE_ALTOGETHER".into(), Value::Null),
        ]
    );
}

#[tokio::test]
async fn a_wrong_value_is_refused_by_the_name_of_what_has_set_it() {
    for (name, value, reason) in [
        ("ORDERS_STREAMS", "0", "must be a whole number of at least 1"),
        ("ORDERS_HEADER_BYTES", "7", "must be a whole number from 1024 to 16777216"),
        ("ORDERS_REQUEST_BYTES", "4194305", "must be a whole number from 1 to 4194304"),
        ("ORDERS_LOG", "xml", "must be json or pretty"),
        ("ORDERS_WEB", "perhaps", "must be true or false"),
        ("ORDERS_LIMIT", "*=5/5,orders=1", "the quota"),
        ("ORDERS_CORS", "ftp://a.example", "must"),
    ] {
        let error = refused(&[(name, value)], &[]).await;
        assert!(error.contains(name) && error.contains(reason), "{name}: {error}");
    }
    let error = refused(&[("ORDERS_STREAMS", "7")], &["--streams", "0"]).await;
    assert!(error.contains("--streams") && !error.contains("ORDERS_"), "{error}");
    // Together they contradict each other, wherever they are from.
    let error = refused(&[("ORDERS_TLS_CERT", "server.crt")], &[]).await;
    assert!(error.contains("--tls-key"), "{error}");
}

#[tokio::test]
async fn a_password_in_a_url_is_not_shown() {
    for url in ["http://user:hunter2@127.0.0.1:4317", "http://user:hunter2@[bad"] {
        let error = refused(&[("ORDERS_OTLP", url)], &[]).await;
        assert!(error.contains("ORDERS_OTLP") && !error.contains("hunter2"), "{error}");
    }
    let mut command = orders(&[&SERVE[..3], &["--metrics", "off", "--db", ":memory:"]].concat());
    command.envs([
        ("ORDERS_ISSUER", "https://issuer.example"),
        ("ORDERS_AUDIENCE", "orders"),
        ("ORDERS_JWKS", "https://127.0.0.1:1/keys?token=hunter2"),
    ]);
    let mut served = Served::spawn(command).await;
    let line = log_until(&mut served, "configuration").await.pop().unwrap();
    let settings = line["settings"].as_str().unwrap();
    assert!(settings.contains("jwks=https://127.0.0.1:1/keys?… (ORDERS_JWKS)"), "{settings}");
}
