//! The database did not do what it was asked for.

use tonic::{Code, Status};

use crate::refusal::refusal;

/// Why the database gave no answer. Its text is for the operator; the caller gets a [`Status`] without it.
#[derive(Debug)]
pub struct Trouble(sqlx::Error);

impl Trouble {
    /// The process goes down, and the work with it.
    pub(super) fn stopped() -> Self {
        Self(sqlx::Error::PoolClosed)
    }

    /// It may well work in a moment, or elsewhere.
    fn passes(&self) -> bool {
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

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

/// Tells the operator as well: this is the last place that knows the text.
impl From<Trouble> for Status {
    fn from(trouble: Trouble) -> Self {
        tracing::error!(error = %trouble.0, "the order database failed");
        if trouble.passes() {
            let text = "the order database cannot be reached now; try again";
            refusal(Code::Unavailable, "DATABASE_UNAVAILABLE", text, &[])
        } else {
            refusal(Code::Internal, "DATABASE_FAILED", "internal error", &[])
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

/// SQLite's primary result code, if it was SQLite that failed.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
