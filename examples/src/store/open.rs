//! Opens the database. A file that is not a database of orders is not changed.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::database::{Database, beside};
use super::error::{BUSY, CANNOT_OPEN, CORRUPT, NOT_A_DATABASE, READ_ONLY, sqlite_code};
use super::lock::FileLock;
use super::open_error::OpenError;
use super::probe::OpenedFile;
use super::{KeepAlive, Store};

/// `PRAGMA application_id` of our database files: "ordr". The first migration sets it.
const APPLICATION_ID: i64 = 0x6f72_6472;

/// How long a call waits for a connection or a lock, by default.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const READERS: u32 = 4;

impl Store {
    /// Opens the database and migrates its tables. A call waits up to 5 s for a connection or a lock.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        Self::open_with_timeout(database, BUSY_TIMEOUT).await
    }

    /// The same, with another `timeout`, after which a call fails as unavailable.
    pub async fn open_with_timeout(
        database: &Database,
        timeout: Duration,
    ) -> Result<Self, OpenError> {
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(timeout)
            // A connection to a file does not break, and a test that a leaving caller interrupts would close it.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        match database {
            Database::Memory => in_memory(pool).await,
            Database::File(path) => in_file(pool, path, timeout).await,
        }
    }
}

async fn in_memory(pool: SqlitePoolOptions) -> Result<Store, OpenError> {
    fn failed(error: impl Display) -> OpenError {
        OpenError::Failed(error.to_string())
    }
    // sqlx gives the database a unique name, so that a second connection opens the same one.
    let options: SqliteConnectOptions = "sqlite::memory:".parse().map_err(failed)?;
    let pool = pool.max_connections(1);
    // A database in memory is deleted with its last connection. This one is never used, so it stays open.
    let keep_alive = pool.clone().connect_with(options.clone()).await.map_err(failed)?;
    let only = pool.connect_with(options).await.map_err(failed)?;
    migrate(&only).await.map_err(failed)?;
    Ok(Store::new(only.clone(), only, KeepAlive::Memory(keep_alive)))
}

async fn in_file(
    pool: SqlitePoolOptions,
    path: &Path,
    timeout: Duration,
) -> Result<Store, OpenError> {
    // SQLite reads a name that begins with `file:` as a URI; an absolute path never does.
    let path = &std::path::absolute(path)
        .map_err(|error| OpenError::Failed(format!("{path:?}: {error}")))?;
    tracing::debug!(path = %path.display(), "opening the database");
    check_is_ours(path).await?;
    let lock = FileLock::acquire(path)?;
    let options = file(path, timeout);
    let write = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let write = pool.clone().max_connections(1).connect_with(write).await;
    let write = write.map_err(|error| open_error(path, &error))?;
    migrate(&write).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            open_error(path, &error)
        }
        _ => OpenError::OtherRelease(path.clone()),
    })?;
    let read = pool.max_connections(READERS).connect_lazy_with(options);
    let file = OpenedFile::new(path.clone());
    Ok(Store::new(read, write, KeepAlive::File(Arc::new((lock, file)))))
}

fn file(path: &Path, timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(timeout)
}

/// Refuses a file that is not a database of orders, without changing it.
async fn check_is_ours(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Err(OpenError::IsFolder(path.to_owned()));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(OpenError::NoFolder(path.to_owned()));
    }
    let size = match path.metadata() {
        Ok(file) if !file.is_file() => return Err(OpenError::NotAFile(path.to_owned())),
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(OpenError::Failed(format!("{path:?}: {error}"))),
    };
    if size == 0 {
        return Ok(());
    }
    let (application_id, tables) = inspect(path).await.map_err(|error| open_error(path, &error))?;
    if application_id == APPLICATION_ID || (application_id == 0 && tables == 0) {
        Ok(())
    } else {
        Err(OpenError::NotOurs(path.to_owned()))
    }
}

/// The file's application id, and its number of tables. Writes nothing, not even to the files beside it.
async fn inspect(path: &Path) -> Result<(i64, i64), sqlx::Error> {
    // Without a journal the file is the whole database. Unless it is opened as immutable, SQLite would create
    // files beside one in WAL mode.
    let no_journal = !["-wal", "-journal"].iter().any(|suffix| beside(path, suffix).exists());
    let mut connection =
        file(path, BUSY_TIMEOUT).read_only(true).immutable(no_journal).connect().await?;
    let application_id =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
    let tables =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((application_id, tables))
}

fn open_error(path: &Path, error: &sqlx::Error) -> OpenError {
    let path = path.to_owned();
    // sqlx tries to connect to a locked file until the timeout.
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return OpenError::InUse(path);
    }
    match sqlite_code(error) {
        Some(READ_ONLY | CANNOT_OPEN) => OpenError::NotWritable(path),
        Some(NOT_A_DATABASE) => OpenError::NotOurs(path),
        Some(CORRUPT) => OpenError::Damaged(path),
        Some(BUSY) => OpenError::InUse(path),
        _ => OpenError::Failed(format!("{path:?}: {error}")),
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
