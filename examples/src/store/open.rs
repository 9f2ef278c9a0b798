//! Opens the store: finds out whether the file is ours before anything in it is touched.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqlitePool};
use tokio::sync::broadcast;

use super::trouble::{BUSY, CANNOT_OPEN, NOT_A_DATABASE, READ_ONLY, sqlite_code};
use super::{CannotOpen, Store};

/// Marks a database file as ours; "ordr". The first migration writes it.
const APPLICATION_ID: i64 = 0x6f72_6472;

/// How long a call waits for its turn, by default.
const WAIT: Duration = Duration::from_secs(5);

/// Watchers that are further behind read anew.
const CHANGES: usize = 1024;

const READERS: u32 = 4;

/// Where orders are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// In this file, which is made if it is not there.
    File(PathBuf),
    /// Nowhere: they are gone with the process.
    Memory,
}

impl FromStr for Database {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            ":memory:" => Self::Memory,
            path => Self::File(path.into()),
        })
    }
}

impl Store {
    /// Opens the database and brings its tables up to date. A call waits 5 s for its turn.
    pub async fn open(database: &Database) -> Result<Self, CannotOpen> {
        Self::open_waiting(database, WAIT).await
    }

    /// The same, where a call waits so long for its turn before it fails as unavailable.
    pub async fn open_waiting(database: &Database, wait: Duration) -> Result<Self, CannotOpen> {
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(wait)
            // A database in memory is gone when its only connection is.
            .idle_timeout(None)
            .max_lifetime(None);
        let (write, read) = match database {
            Database::Memory => {
                let options = SqliteConnectOptions::new().in_memory(true);
                let only = pool.max_connections(1).connect_with(options).await;
                let only = only.map_err(|error| CannotOpen::Failed(error.to_string()))?;
                migrate(&only).await.map_err(|error| CannotOpen::Failed(error.to_string()))?;
                (only.clone(), only)
            }
            Database::File(path) => {
                recognise(path).await?;
                let options = file(path, wait);
                let write =
                    options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
                let write = pool.clone().max_connections(1).connect_with(write).await;
                let write = write.map_err(|error| why(path, &error))?;
                migrate(&write).await.map_err(|error| match error {
                    MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                        why(path, &error)
                    }
                    _ => CannotOpen::OtherRelease(path.clone()),
                })?;
                (write, pool.max_connections(READERS).connect_lazy_with(options))
            }
        };
        let (changes, _) = broadcast::channel(CHANGES);
        Ok(Self { read, write, changes })
    }
}

fn file(path: &Path, wait: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(wait)
}

/// Refuses a file that is somebody else's, and has not changed it then.
async fn recognise(path: &Path) -> Result<(), CannotOpen> {
    if path.is_dir() {
        return Err(CannotOpen::IsFolder(path.to_owned()));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(CannotOpen::NoFolder(path.to_owned()));
    }
    let size = match path.metadata() {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(CannotOpen::Failed(format!("{path:?}: {error}"))),
    };
    if size == 0 {
        return Ok(());
    }
    let (mark, tables) = look_inside(path).await.map_err(|error| why(path, &error))?;
    if mark == APPLICATION_ID || (mark == 0 && tables == 0) {
        Ok(())
    } else {
        Err(CannotOpen::NotOurs(path.to_owned()))
    }
}

/// The file's mark, and how many tables it has.
async fn look_inside(path: &Path) -> Result<(i64, i64), sqlx::Error> {
    let mut connection = file(path, WAIT).connect().await?;
    let mark = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
    let tables =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((mark, tables))
}

fn why(path: &Path, error: &sqlx::Error) -> CannotOpen {
    let path = path.to_owned();
    match sqlite_code(error) {
        Some(READ_ONLY | CANNOT_OPEN) => CannotOpen::NotWritable(path),
        Some(NOT_A_DATABASE) => CannotOpen::NotOurs(path),
        Some(BUSY) => CannotOpen::InUse(path),
        _ => CannotOpen::Failed(format!("{path:?}: {error}")),
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), MigrateError> {
    let first = Migration::new(
        1,
        Cow::Borrowed("orders"),
        MigrationType::Simple,
        Cow::Borrowed(include_str!("../../migrations/0001_orders.sql")),
        false,
    );
    let migrator = Migrator { migrations: Cow::Owned(vec![first]), ..Migrator::DEFAULT };
    migrator.run(pool).await
}
