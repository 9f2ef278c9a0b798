use std::time::Duration;

use orders::store::{Database, Store};
use orders::v1::{GetOrderRequest, WatchOrderRequest};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tonic::Code;

use crate::common::server::Server;
use crate::common::{order, reason};

/// A server with a database file, and another process that has opened the file, too.
async fn shared_file(wait: Duration) -> (Server, SqliteConnection, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let store = Store::open_with_timeout(&Database::File(path.clone()), wait).await.unwrap();
    let other = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    (Server::with_store(store).await, other, folder)
}

#[tokio::test]
async fn a_locked_database_is_unavailable_for_a_while() {
    let (server, mut other, _folder) = shared_file(Duration::from_secs(4)).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let busy = server.client.clone().create_order(order("ann@example.org", 1)).await;
    let busy = busy.unwrap_err();
    assert_eq!((busy.code(), reason(&busy).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    assert!(!busy.message().contains("locked"), "{}", busy.message());

    // Readers do not wait for writers.
    let id = "x".to_owned();
    let read = server.client.clone().get_order(GetOrderRequest { id }).await;
    assert_eq!(read.unwrap_err().code(), Code::NotFound);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    server.create(order("ann@example.org", 1)).await;
}

#[tokio::test]
async fn what_broke_is_internal_and_not_told() {
    let (server, mut other, _folder) = shared_file(Duration::from_secs(30)).await;
    sqlx::query("DROP TABLE events").execute(&mut other).await.unwrap();
    let id = "x".to_owned();
    let broken = server.client.clone().watch_order(WatchOrderRequest { id }).await;
    let broken = broken.unwrap_err();
    assert_eq!((broken.code(), broken.message()), (Code::Internal, "internal error"));
    assert_eq!(reason(&broken), "DATABASE_FAILED");
    assert!(!String::from_utf8_lossy(broken.details()).contains("events"));
}
