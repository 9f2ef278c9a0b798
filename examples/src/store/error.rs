//! Errors of the database.

use std::fmt;
use std::io;

use tonic::{Code, Status};

use crate::status;

/// An error of the database. Its text is for the operator; the caller gets a [`Status`] without it.
#[derive(Debug)]
pub struct StoreError(sqlx::Error);

impl StoreError {
    /// The process is shutting down.
    pub(super) fn stopped() -> Self {
        Self(sqlx::Error::PoolClosed)
    }

    /// The database file is not where it was opened.
    pub(super) fn file_gone() -> Self {
        let text = "its file was moved, deleted or replaced";
        Self(sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, text)))
    }

    /// The database has an event that this release does not know.
    pub(super) fn unknown_event(event_type: &str) -> Self {
        Self(sqlx::Error::Decode(format!("unknown event type {event_type:?}").into()))
    }

    /// Whether a retry may succeed.
    fn is_transient(&self) -> bool {
        match &self.0 {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_) => true,
            error => {
                matches!(sqlite_code(error), Some(BUSY | LOCKED | IO_ERROR | FULL | CANNOT_OPEN))
            }
        }
    }
}

/// For the operator.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

/// Also logs the error: its text is not known after this.
impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error.0, "the order database failed");
        if error.is_transient() {
            let text = "the order database is unavailable; try again";
            status::with_reason(Code::Unavailable, "DATABASE_UNAVAILABLE", text, &[])
        } else {
            status::with_reason(Code::Internal, "DATABASE_FAILED", "internal error", &[])
        }
    }
}

// SQLite's primary result codes (sqlite.org/rescode.html).
pub(super) const BUSY: i32 = 5;
const LOCKED: i32 = 6;
pub(super) const READ_ONLY: i32 = 8;
const IO_ERROR: i32 = 10;
pub(super) const CORRUPT: i32 = 11;
const FULL: i32 = 13;
pub(super) const CANNOT_OPEN: i32 = 14;
pub(super) const NOT_A_DATABASE: i32 = 26;

/// SQLite's primary result code, if the error is SQLite's.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
