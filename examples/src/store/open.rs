//! Opens the store: finds out whether the file is ours before anything in it is touched.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, SqlitePool};

use super::lock::Lock;
use super::trouble::{BUSY, CANNOT_OPEN, CORRUPT, NOT_A_DATABASE, READ_ONLY, sqlite_code};
use super::{CannotOpen, Held, Store};

/// Marks a database file as ours; "ordr". The first migration writes it.
const APPLICATION_ID: i64 = 0x6f72_6472;

/// How long a call waits for its turn, by default.
const WAIT: Duration = Duration::from_secs(5);

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
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("a database is a file, or :memory:"),
            ":memory:" => Ok(Self::Memory),
            path => Ok(Self::File(path.into())),
        }
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
            // A connection to a file does not break. To ask it first would close it whenever the caller
            // leaves before the answer.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        match database {
            Database::Memory => in_memory(pool).await,
            Database::File(path) => in_file(pool, path, wait).await,
        }
    }
}

async fn in_memory(pool: SqlitePoolOptions) -> Result<Store, CannotOpen> {
    fn failed(error: impl Display) -> CannotOpen {
        CannotOpen::Failed(error.to_string())
    }
    // sqlx gives it a name of its own, under which a second connection finds the same database.
    let options: SqliteConnectOptions = "sqlite::memory:".parse().map_err(failed)?;
    let pool = pool.max_connections(1);
    // A database in memory is gone with the last of its connections. This one is never used, so nothing
    // closes it before its time.
    let keep = pool.clone().connect_with(options.clone()).await.map_err(failed)?;
    let only = pool.connect_with(options).await.map_err(failed)?;
    migrate(&only).await.map_err(failed)?;
    Ok(Store::new(only.clone(), only, Held::Memory(keep)))
}

async fn in_file(
    pool: SqlitePoolOptions,
    path: &Path,
    wait: Duration,
) -> Result<Store, CannotOpen> {
    // SQLite reads what begins with `file:` as a URI: an absolute path is the same file for both of us.
    let path = &std::path::absolute(path)
        .map_err(|error| CannotOpen::Failed(format!("{path:?}: {error}")))?;
    tracing::debug!(path = %path.display(), "opening the database");
    recognise(path).await?;
    let lock = Lock::take(path)?;
    let options = file(path, wait);
    let write = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let write = pool.clone().max_connections(1).connect_with(write).await;
    let write = write.map_err(|error| why(path, &error))?;
    migrate(&write).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            why(path, &error)
        }
        _ => CannotOpen::OtherRelease(path.clone()),
    })?;
    let read = pool.max_connections(READERS).connect_lazy_with(options);
    Ok(Store::new(read, write, Held::File(Arc::new(lock))))
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
        Ok(file) if !file.is_file() => return Err(CannotOpen::NotAFile(path.to_owned())),
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

/// The file's mark, and how many tables it has. Nothing is written, not even to the files beside it.
async fn look_inside(path: &Path) -> Result<(i64, i64), sqlx::Error> {
    // Without a journal the file alone is the whole database. Left to itself SQLite would make files
    // beside one that is in WAL mode.
    let alone = !["-wal", "-journal"].iter().any(|suffix| beside(path, suffix).exists());
    let mut connection = file(path, WAIT).read_only(true).immutable(alone).connect().await?;
    let mark = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await?;
    let tables =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok((mark, tables))
}

/// `orders.db-wal` for `orders.db`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn why(path: &Path, error: &sqlx::Error) -> CannotOpen {
    let path = path.to_owned();
    // To connect, sqlx tries a locked file again and again until there is no time left.
    if matches!(error, sqlx::Error::PoolTimedOut) {
        return CannotOpen::InUse(path);
    }
    match sqlite_code(error) {
        Some(READ_ONLY | CANNOT_OPEN) => CannotOpen::NotWritable(path),
        Some(NOT_A_DATABASE) => CannotOpen::NotOurs(path),
        Some(CORRUPT) => CannotOpen::Damaged(path),
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
