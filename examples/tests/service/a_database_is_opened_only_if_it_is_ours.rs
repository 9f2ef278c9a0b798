use std::path::Path;

use orders::store::{CannotOpen, Database, Store};
use orders::v1::GetOrderRequest;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::common::order;
use crate::common::server::Server;

async fn refusal(path: &Path) -> CannotOpen {
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
    assert!(matches!(refusal(&path).await, CannotOpen::NotOurs(_)));
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
    assert!(matches!(refusal(&path).await, CannotOpen::NotOurs(_)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_database_of_a_later_release_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    Store::open(&Database::File(path.clone())).await.unwrap().close().await;
    let mut later = plain(&path).await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 99").execute(&mut later).await.unwrap();
    later.close().await.unwrap();
    assert!(matches!(refusal(&path).await, CannotOpen::OtherRelease(_)));
}

#[tokio::test]
async fn a_folder_that_is_missing_or_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/orders.db");
    let error = refusal(&missing).await;
    assert!(matches!(error, CannotOpen::NoFolder(_)));
    let text = error.to_string();
    assert!(text.contains("missing/orders.db") && text.contains("--db PATH"), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert!(matches!(refusal(folder.path()).await, CannotOpen::IsFolder(_)));
}
