use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::common::process::{SERVE, Served, run};

fn one_line(text: &str, parts: &[&str]) {
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn the_one_line_has_the_real_port_and_an_end_is_0() {
    let served = Served::start(&[]).await;
    let address: std::net::SocketAddr = served.address.parse().unwrap();
    assert_ne!(address.port(), 0);
    tokio::net::TcpStream::connect(address).await.unwrap();
    served.signal(Signal::INT);
    let (status, more, _) = served.ended().await;
    assert_eq!((status.code(), more.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn without_a_word_the_orders_are_in_a_file_here() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start_in(folder.path(), &[]).await;
    assert!(folder.path().join("orders.db").is_file());
    served.signal(Signal::INT);
    assert_eq!(served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_1_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&["serve", "--db", ":memory:", "--listen", &address]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    one_line(&ran.err, &[&address, "in use", "--listen ADDR"]);

    let listen = ["serve", "--db", ":memory:", "--listen", "127.0.0.1:0"];
    let ran = run(&[&listen[..], &["--metrics", &address]].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    one_line(&ran.err, &[&address, "in use", "--metrics ADDR", "--metrics off"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_is_1_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "Dear Ann,\n".repeat(1000)).unwrap();
    let missing = folder.path().join("missing/orders.db");
    for (db, why) in [
        (missing.as_path(), "folder does not exist"),
        (folder.path(), "is a folder"),
        (letter.as_path(), "not a database of orders"),
    ] {
        let db = db.to_str().unwrap();
        let ran = run(&[&SERVE[..], &["--db", db]].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        one_line(&ran.err, &[db, why, "--db FILE"]);
    }
}

/// Guards against: a name that SQLite reads as a URI, and therefore opens another file than the one that was checked.
#[tokio::test]
async fn a_name_that_looks_like_a_uri_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    std::fs::write(&other, "").unwrap();
    let served = Served::start_in(folder.path(), &["--db", "file:other.db"]).await;
    served.signal(Signal::INT);
    assert_eq!(served.ended().await.0.code(), Some(0));
    assert!(folder.path().join("file:other.db").is_file());
    assert_eq!(std::fs::read(&other).unwrap(), b"");
}

#[tokio::test]
async fn wrong_arguments_are_2() {
    for wrong in [
        &["serve", "--listen", "here"][..],
        &["serve", "--metrics", "on"],
        &["serve", "--log", "loud"],
        &["serve", "--otlp", "ftp://127.0.0.1:4317"],
        &["serve", "--otlp", "https://127.0.0.1:4317"],
        &["serve", "--drain-delay", "soon"],
        &["serve", "--drain-limit", "-1s"],
        &["serve", "--nonsense"],
        &["serve", "--db", ""],
        &["serve", "--auth", "maybe"],
        &["serve", "--issuer", "https://id.example"],
        &["serve", "--audience", "orders"],
        &["serve", "--jwks", "keys.json"],
        &["serve", "--issuer", "", "--audience", "a"],
        &["serve", "--issuer", "i", "--audience", ""],
        &["serve", "--issuer", "i", "--audience", "a", "--jwks", ""],
        &["serve", "--issuer", "i", "--audience", "a", "--dev-key", "k", "--auth", "on"],
        &["serve", "--dev-key", ""],
        &["serve", "--issuer", "i", "--audience", "a", "--dev-key", "k"],
        &["serve", "--issuer", "i", "--audience", "a", "--auth", "off"],
        &["serve", "--dev-key", "k", "--auth", "off"],
        &["serve", "--longest-token", "1h", "--auth", "off"],
        &["serve", "--longest-token", "0"],
        &["serve", "--longest-token", "2d"],
        &["serve", "--drain-delay", "31s"],
        &["serve", "--drain-delay", "2s", "--drain-limit", "1s"],
        &["call", "--to", "http://localhost/orders", "get-order", "--id", "x"],
        &["call", "--to", "http://ann@localhost", "get-order", "--id", "x"],
        &["call", "--otlp", "http://localhost:4318/v1/traces", "get-order", "--id", "x"],
        &["call", "--token", "no token", "get-order", "--id", "x"],
        &["call", "--token", "a", "--token-file", "b", "get-order", "--id", "x"],
        &["call", "--token-file", "-", "import-orders", "-"],
        &["call", "--token", "a", "-H", "authorization=Bearer b", "list-orders"],
        &["call", "list-orders", "--dev-key", "a", "-H", "authorization=Bearer b"],
        &["call", "erase-order"],
        &["call", "get-order"],
        &["call", "--to", "ftp://x", "get-order", "--id", "x"],
        &["call", "-H", "novalue", "get-order", "--id", "x"],
        &["call", "advance-order", "--id", "x", "--stage", "lost"],
        &["token", "--scope", "two words"],
        &["token", "--scope", ""],
        &["token", "--ttl", "2d"],
        &["token", "--ttl", "25h"],
        &["token", "--ttl", "-1s"],
        &["token", "--ttl", "1.5h"],
        &["token", "--ttl", ""],
        &["nonsense"],
        &[],
    ] {
        let ran = run(wrong).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_delay_beyond_the_limit_is_not_cut_in_silence() {
    let ran = run(&["serve", "--drain-delay", "40s"]).await;
    let told = "the drain delay (40s) is longer than the drain limit (30s)";
    assert!(ran.err.contains(told) && ran.err.contains("--drain-limit"), "{}", ran.err);
}

#[tokio::test]
async fn a_mistake_is_not_answered_with_what_is_hidden() {
    let ran = run(&["serve", "--fault"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains("--faults"), "{}", ran.err);
    let ran = run(&["serve", "--drain-limi", "1s"]).await;
    assert!(ran.err.contains("--drain-limit"), "{}", ran.err);
}

#[tokio::test]
async fn help_is_0_and_keeps_faults_to_itself() {
    let ran = run(&["serve", "--help"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("--drain-delay") && !ran.out.contains("--faults"), "{}", ran.out);
}
