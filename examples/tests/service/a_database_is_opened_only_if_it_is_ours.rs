use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use orders::store::{CreateOutcome, Database, NewOrder, OpenError, Store};
use orders::v1::GetOrderRequest;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::common::order;
use crate::common::server::Server;

async fn refusal(path: &Path) -> OpenError {
    Store::open(&Database::File(path.to_owned())).await.unwrap_err()
}

async fn plain(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn orders_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::File(folder.path().join("orders.db"));
    let server = Server::with_store(Store::open(&file).await.unwrap()).await;
    let created = server.create(order("ann@example.org", 1)).await;
    server.signal(orders::drain::Signal::Interrupt);
    server.ended().await;

    let server = Server::with_store(Store::open(&file).await.unwrap()).await;
    let id = created.id.clone();
    let got = server.client.clone().get_order(GetOrderRequest { id }).await;
    assert_eq!(got.unwrap().into_inner(), created);
}

#[tokio::test]
async fn an_empty_file_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    std::fs::write(&path, "").unwrap();
    Store::open(&Database::File(path)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    let text = "Dear Ann,\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(refusal(&path).await, OpenError::NotOurs(_)));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let mut other = plain(&path).await;
    sqlx::query("CREATE TABLE orders (id)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(refusal(&path).await, OpenError::NotOurs(_)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Guards against: SQLite, which cleans up a database in WAL mode when it opens it.
#[tokio::test]
async fn a_database_of_somebody_else_in_wal_mode_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut other = options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap();
    sqlx::query("CREATE TABLE orders (id)").execute(&mut other).await.unwrap();

    // As after a crash: the table is only in the journal.
    let crashed = tempfile::tempdir().unwrap();
    copy(&["other.db", "other.db-wal"], folder.path(), crashed.path());
    let mut before = contents(crashed.path());
    assert!(matches!(refusal(&crashed.path().join("other.db")).await, OpenError::NotOurs(_)));
    let mut after = contents(crashed.path());
    // Shared memory, which SQLite creates when it needs it.
    after.remove("other.db-shm");
    before.remove("other.db-shm");
    assert!(after == before, "{:?}", after.keys());

    // As after a clean exit.
    other.close().await.unwrap();
    let before = contents(folder.path());
    assert_eq!(before.len(), 1);
    assert!(matches!(refusal(&path).await, OpenError::NotOurs(_)));
    assert!(contents(folder.path()) == before);
}

fn copy(names: &[&str], from: &Path, to: &Path) {
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    });
    files.collect()
}

/// Guards against: the loss of orders that are only in the journal after a crash.
#[tokio::test]
async fn one_that_was_not_closed_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let store = Store::open(&Database::File(path.clone())).await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(&["orders.db", "orders.db-wal"], folder.path(), crashed.path());
    let path = crashed.path().join("orders.db");
    Store::open(&Database::File(path)).await.unwrap().close().await;
    store.close().await;
}

#[tokio::test]
async fn a_damaged_one_and_what_is_no_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    Store::open(&Database::File(path.clone())).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Everything except the header with the application id.
    bytes[100..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");

    let error = refusal(Path::new("/dev/null")).await;
    assert!(matches!(error, OpenError::NotAFile(_)), "{error}");
}

/// Guards against: a second server, whose changes the watchers of the first do not receive.
#[cfg(unix)]
#[tokio::test]
async fn one_that_is_served_already_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let first = Store::open(&Database::File(path.clone())).await.unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    first.close().await;
    Store::open(&Database::File(path)).await.unwrap().close().await;
}

#[tokio::test]
async fn an_empty_one_that_is_locked_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let mut other = plain(&path).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let wait = Duration::from_millis(300);
    let error = Store::open_with_timeout(&Database::File(path), wait).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}

/// Guards against: a caller that leaves while its connection is tested, which closes the connection, and with it the
/// database.
#[tokio::test]
async fn a_database_in_memory_outlives_callers_that_leave() {
    let store = Store::open(&Database::Memory).await.unwrap();
    let new = NewOrder {
        customer_email: "ann@example.org".to_owned(),
        total_cents: 1,
        currency: "EUR".to_owned(),
        idempotency_key: None,
    };
    let CreateOutcome::Created(order) = store.create(new).await.unwrap() else { panic!("not new") };
    for round in 0..200 {
        let mut read = Box::pin(store.get(&order.id));
        for _ in 0..round % 8 {
            if (&mut read).now_or_never().is_some() {
                read = Box::pin(store.get(&order.id));
            }
            tokio::task::yield_now().await;
        }
        drop(read);
    }
    assert_eq!(store.get(&order.id).await.unwrap(), Some(order));
}

#[tokio::test]
async fn a_database_of_a_later_release_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    Store::open(&Database::File(path.clone())).await.unwrap().close().await;
    let mut later = plain(&path).await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 99").execute(&mut later).await.unwrap();
    later.close().await.unwrap();
    assert!(matches!(refusal(&path).await, OpenError::OtherRelease(_)));
}

#[tokio::test]
async fn a_folder_that_is_missing_or_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/orders.db");
    let error = refusal(&missing).await;
    assert!(matches!(error, OpenError::NoFolder(_)));
    let text = error.to_string();
    assert!(text.contains("missing/orders.db") && text.contains("--db FILE"), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert!(matches!(refusal(folder.path()).await, OpenError::IsFolder(_)));
}
