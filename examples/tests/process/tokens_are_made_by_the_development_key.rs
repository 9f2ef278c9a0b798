//! `orders serve` with its defaults for tokens, and how to call it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::common::process::{Ran, Served, orders, run};
use crate::common::soon;

/// With the default authentication.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics", "off"];

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

/// Runs `orders` with `arguments` in that folder, with `input` as standard input.
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

/// Guards against: a printed command that does not work.
#[tokio::test]
async fn the_line_at_the_start_makes_a_token() {
    for named in [&[][..], &["--db", "my orders.db"], &["--dev-key", "it's mine"]] {
        let (folder, mut served) = start(named).await;
        let line = served.next_line().await;
        let command = line.strip_prefix("for a token: ").expect(&line);
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
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
        (["--token-file", "-"], "standard input is not a token"),
        (["--dev-key", "nowhere"], "does not exist"),
        (["--dev-key", "token"], "chmod 600"),
    ] {
        let ran = ran_in(folder, &list(&said)).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(ran.err.contains(told) && ran.err.lines().count() == 1, "{said:?}: {}", ran.err);
    }
}

/// Guards against: a token that is sent to another machine, and a hint that does not help.
#[tokio::test]
async fn a_token_does_not_leave_this_machine_in_plain_text() {
    let (folder, served) = start(&["--db", ":memory:"]).await;
    let token = ran_in(folder.path(), &["token", "--scope", "orders.read"]).await.out;
    // This machine, by an address that does not look local.
    let elsewhere = served.url().replace("127.0.0.1", "0.0.0.0");
    let list = |more: &[&str]| {
        let arguments = [&["call", "--to", &elsewhere, "list-orders"], more].concat();
        let mut command = orders(&arguments);
        command.current_dir(folder.path());
        command
    };
    let ran = async |mut command: Command| Ran::from(soon(command.output()).await.unwrap());
    let advice = "-H 'authorization=Bearer TOKEN'";

    let by_itself = ran(list(&[])).await;
    assert_eq!((by_itself.code, by_itself.out.as_str()), (Some(1), ""));
    assert!(
        by_itself.err.starts_with("UNAUTHENTICATED: credentials are missing\n"),
        "{by_itself:?}"
    );
    assert!(by_itself.err.contains(advice), "{by_itself:?}");
    for given in [["--token", "a.b.c"], ["--dev-key", "orders.db-dev-key"]] {
        let given = ran(list(&given)).await;
        assert_eq!((given.code, given.out.as_str()), (Some(1), ""));
        assert!(
            !given.err.contains("UNAUTHENTICATED") && !given.err.contains("a.b.c"),
            "{given:?}"
        );
        assert!(given.err.contains(advice), "{given:?}");
    }
    let by_hand = format!("authorization=Bearer {}", token.trim_end());
    assert_eq!(ran(list(&["-H", &by_hand])).await.code, Some(0));
}

#[tokio::test]
async fn another_servers_key_is_told_from_this_ones() {
    let (folder, served) = start(&["--db", ":memory:"]).await;
    let (other, _of_another) = start(&["--db", ":memory:"]).await;
    let url = served.url();
    let list = ["call", "--to", &url, "list-orders"];
    assert_eq!(ran_in(folder.path(), &list).await.code, Some(0));
    let refused = ran_in(other.path(), &list).await;
    assert_eq!(refused.code, Some(1));
    for part in
        ["UNAUTHENTICATED: the credentials are not valid\n", "orders.db-dev-key", "--dev-key"]
    {
        assert!(refused.err.contains(part), "{part} in {refused:?}");
    }
    let by_name = folder.path().join("orders.db-dev-key");
    let by_name = [&list[..], &["--dev-key", by_name.to_str().unwrap()]].concat();
    assert_eq!(ran_in(other.path(), &by_name).await.code, Some(0));
}

#[tokio::test]
async fn servers_that_start_at_once_believe_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let start = || start_in(folder.path(), &["--db", ":memory:"]);
    let (a, b, c) = tokio::join!(start(), start(), start());
    for served in [&a, &b, &c] {
        let list = ["call", "--to", &served.url(), "list-orders"];
        assert_eq!(ran_in(folder.path(), &list).await.code, Some(0));
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["orders.db-dev-key"]);
}

#[tokio::test]
async fn what_is_no_key_is_1_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
    for (name, content) in
        [("letter", &b"Dear Ann,\n"[..]), ("bytes", &[0xff, 0xfe, 0]), ("empty", b"")]
    {
        std::fs::write(at(name), content).unwrap();
        std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    for (key, why) in [
        ("folder", "it is not a regular file"),
        ("link", "leads nowhere"),
        ("letter", "not a development key"),
        ("bytes", "it is not text"),
        ("empty", "not a development key"),
        ("missing/key", "cannot create"),
    ] {
        let serve = [&SERVE[..], &["--db", ":memory:", "--log", "off", "--dev-key", key]].concat();
        let ran = ran_in(folder.path(), &serve).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{key}: {ran:?}");
        for part in [key, why, "--dev-key FILE"] {
            assert!(ran.err.contains(part), "{part} in {ran:?}");
        }
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    assert!(!at("nowhere").exists());
}

#[tokio::test]
async fn what_a_token_lacks_is_told_apart_from_it() {
    let (folder, _served) = start(&["--db", ":memory:"]).await;
    for (scopes, note) in [
        (&[][..], "without --scope the token allows no method"),
        (&["--scope", "orders.read", "--scope", "orders.raed"], "orders.raed"),
    ] {
        let ran = ran_in(folder.path(), &[&["token"], scopes].concat()).await;
        assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");
        assert!(ran.out.starts_with("eyJ") && ran.err.contains(note), "{ran:?}");
    }
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
async fn who_asks_nobody_says_so_and_serves_only_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let off = ["--auth", "off", "--db", ":memory:", "--log", "json"];
    let mut served = start_in(folder.path(), &off).await;
    let warning = served.next_log_line().await;
    assert!(warning.contains("WARN") && warning.contains("authentication is off"), "{warning}");
    let list = ["call", "--to", &served.url(), "list-orders"];
    assert_eq!(ran_in(folder.path(), &list).await.code, Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no key is needed");

    let open = ["serve", "--listen", "0.0.0.0:0", "--metrics", "off"];
    let ran = ran_in(folder.path(), &[&open[..], &off].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("--auth off") && ran.err.contains("--listen"), "{}", ran.err);
}

#[tokio::test]
async fn a_development_key_for_others_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = orders(&["serve", "--listen", "0.0.0.0:0", "--metrics", "off"]);
    open.args(["--db", ":memory:", "--log", "json"]).current_dir(folder.path());
    let mut served = Served::spawn(open).await;
    assert!(served.next_log_line().await.contains("made a development key"));
    let warning = served.next_log_line().await;
    assert!(warning.contains("WARN") && warning.contains("orders.db-dev-key"), "{warning}");
}
