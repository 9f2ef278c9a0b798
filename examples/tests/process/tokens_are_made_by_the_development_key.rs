//! `orders serve` without a word of tokens, and how one calls it all the same.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::common::process::{Ran, Served, orders, run};
use crate::common::soon;

const SERVE: [&str; 7] = ["serve", "--auth", "on", "--listen", "127.0.0.1:0", "--metrics", "off"];

async fn start(more: &[&str]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let served = start_in(folder.path(), more).await;
    (folder, served)
}

async fn start_in(folder: &Path, more: &[&str]) -> Served {
    let mut command = orders(&[&SERVE[..], more].concat());
    command.current_dir(folder);
    Served::spawn(command).await
}

async fn ran_in(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = orders(arguments);
    soon(command.current_dir(folder).output()).await.unwrap().into()
}

/// What `orders` with `arguments` comes to in that folder, fed with `input`.
async fn fed(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let file = folder.join("input");
    std::fs::write(&file, input).unwrap();
    let mut command = orders(arguments);
    command.current_dir(folder).stdin(Stdio::from(std::fs::File::open(&file).unwrap()));
    soon(command.output()).await.unwrap().into()
}

#[tokio::test]
async fn in_the_same_folder_every_kind_of_call_passes_by_itself() {
    for db in [&["--db", ":memory:"][..], &[]] {
        let (folder, served) = start(db).await;
        let (folder, url) = (folder.path(), served.url());
        let order =
            ["--customer-email", "ann@example.org", "--total-cents", "1", "--currency", "EUR"];
        let call = |method| ["call", "--to", &url, method];
        let created = ran_in(folder, &[&call("create-order")[..], &order].concat()).await.json();
        let listed = ran_in(folder, &call("list-orders")).await.json();
        assert_eq!(created, listed);
        let line = r#"{"customerEmail":"bob@example.org","totalCents":"2","currency":"EUR"}"#;
        let imported = fed(folder, &[&call("import-orders")[..], &["-"]].concat(), line).await;
        assert_eq!(imported.json().len(), 1);
        let line = r#"{"sku":"a","quantity":1}"#;
        let quoted = fed(folder, &[&call("quote-orders")[..], &["-"]].concat(), line).await;
        assert_ne!(quoted.code, Some(2), "{quoted:?}");
        assert!(!quoted.err.contains("UNAUTHENTICATED"), "{quoted:?}");
    }
}

#[tokio::test]
async fn the_key_is_for_its_owner_alone_and_stays() {
    let (folder, served) = start(&[]).await;
    let path = folder.path().join("orders.db-dev-key");
    let first = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(served);
    let token = ran_in(folder.path(), &["token", "--scope", "orders.read"]).await.out;

    let served = start_in(folder.path(), &["--db", ":memory:"]).await;
    assert_eq!(std::fs::read(&path).unwrap(), first);
    let list = ["call", "--to", &served.url(), "--token", token.trim_end(), "list-orders"];
    assert_eq!(run(&list).await.code, Some(0));

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    for refused in [&["token"][..], &list[..3], &SERVE] {
        let method: &[_] = if refused[0] == "call" { &["list-orders"] } else { &[] };
        let ran = ran_in(folder.path(), &[refused, method].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains("chmod 600"), "{ran:?}");
    }
    let by_hand = format!("authorization=Bearer {}", token.trim_end());
    let by_hand = [&list[..3], &["-H", &by_hand, "list-orders"]].concat();
    assert_eq!(ran_in(folder.path(), &by_hand).await.code, Some(0), "the key is not needed");
}

/// Guards against: a line that people copy, and that does not work.
#[tokio::test]
async fn the_line_at_the_start_makes_a_token() {
    for named in [&[][..], &["--db", "my orders.db"], &["--dev-key", "it's mine"]] {
        let (folder, mut served) = start(named).await;
        let line = served.next_line().await;
        let command = line.strip_prefix("for a token: orders ").expect(&line).trim_end();
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!("\"$0\" {command}"), env!("CARGO_BIN_EXE_orders")]);
        let made = soon(shell.current_dir(folder.path()).output()).await.unwrap();
        let made = Ran::from(made);
        assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{line}");
        let token = made.out.strip_suffix('\n').unwrap();
        assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "{token}");
        let list = ["call", "--to", &served.url(), "--token", token, "list-orders"];
        assert_eq!(run(&list).await.code, Some(0), "{line}");
    }
}

#[tokio::test]
async fn a_token_is_taken_from_where_it_is_said_to_be() {
    let (folder, served) = start(&["--db", ":memory:", "--dev-key", "key"]).await;
    let (folder, url) = (folder.path(), served.url());
    let token = ["token", "--dev-key", "key", "--scope", "orders.read"];
    let token = ran_in(folder, &token).await.out;
    std::fs::write(folder.join("token"), &token).unwrap();
    let list = |said: &[&'static str]| [&["call", "--to", &url], said, &["list-orders"]].concat();

    let piped = fed(folder, &list(&["--token-file", "-"]), &token).await;
    assert_eq!((piped.code, piped.err.as_str()), (Some(0), ""));
    for said in [["--token-file", "token"], ["--dev-key", "key"]] {
        let ran = ran_in(folder, &list(&said)).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{said:?}");
    }
    let unsaid = ran_in(folder, &list(&[])).await;
    assert_eq!(unsaid.code, Some(1));
    for part in ["UNAUTHENTICATED: credentials are missing", "--token-file", "orders token"] {
        assert!(unsaid.err.contains(part), "{part} in {}", unsaid.err);
    }
    for (said, told) in [
        (["--token-file", "nowhere"], "nowhere"),
        (["--token-file", "-"], "standard input does not hold a token"),
        (["--dev-key", "nowhere"], "there is no development key"),
        (["--dev-key", "token"], "chmod 600"),
    ] {
        let ran = ran_in(folder, &list(&said)).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(ran.err.contains(told) && ran.err.lines().count() == 1, "{said:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_token_does_not_leave_this_machine_in_plain_text() {
    let (folder, served) = start(&["--db", ":memory:"]).await;
    // Nobody listens there, and nobody is asked.
    let to = ["call", "--to", "http://orders.invalid:1", "--timeout", "10s"];
    let with_token = [&to[..], &["--token", "a.b.c", "list-orders"]].concat();
    let given = ran_in(folder.path(), &with_token).await;
    assert_eq!((given.code, given.out.as_str()), (Some(1), ""));
    assert!(given.err.contains("plain text") && !given.err.contains("a.b.c"), "{}", given.err);
    let by_itself = ran_in(folder.path(), &[&to[..], &["list-orders"]].concat()).await;
    assert!(!by_itself.err.contains("plain text"), "{}", by_itself.err);
    drop(served);
}

#[tokio::test]
async fn without_a_key_there_is_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran_in(folder.path(), &["token", "--scope", "orders.read"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("orders serve") && ran.err.contains("--dev-key"), "{}", ran.err);
    assert!(!folder.path().join("orders.db-dev-key").exists());
}

#[tokio::test]
async fn who_asks_nobody_serves_only_this_machine() {
    let open = ["serve", "--auth", "off", "--listen", "0.0.0.0:0", "--metrics", "off"];
    let ran = run(&[&open[..], &["--db", ":memory:"]].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("--auth off") && ran.err.contains("--listen"), "{}", ran.err);
}
