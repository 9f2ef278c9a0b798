use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::common::process::{Served, run};

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
        let ran = run(&["serve", "--listen", "127.0.0.1:0", "--db", db]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        one_line(&ran.err, &[db, why, "--db PATH"]);
    }
}

#[tokio::test]
async fn wrong_arguments_are_2() {
    for wrong in [
        &["serve", "--listen", "here"][..],
        &["serve", "--drain-delay", "soon"],
        &["serve", "--drain-limit", "-1s"],
        &["serve", "--nonsense"],
        &["call", "erase-order"],
        &["call", "get-order"],
        &["call", "--to", "ftp://x", "get-order", "--id", "x"],
        &["call", "-H", "novalue", "get-order", "--id", "x"],
        &["call", "advance-order", "--id", "x", "--stage", "lost"],
        &["nonsense"],
        &[],
    ] {
        let ran = run(wrong).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
    }
}

#[tokio::test]
async fn help_is_0_and_keeps_faults_to_itself() {
    let ran = run(&["serve", "--help"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("--drain-delay") && !ran.out.contains("--faults"), "{}", ran.out);
}
