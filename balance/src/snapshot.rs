//! The addresses as calls see them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::connect::Connection;
use crate::rotation::Rotation;
use crate::{Address, State};

/// Everything that a call needs to know, replaced as a whole at every change.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) rotation: Arc<Rotation>,
    /// If nothing can be picked.
    pub(crate) when_none_ready: WhenNoneReady,
    pub(crate) states: Vec<(Address, State)>,
}

/// What a call does while nothing can be picked.
#[derive(Clone, Debug, Default)]
pub(crate) enum WhenNoneReady {
    /// It waits: an answer of the resolver, or a connection, is under way.
    #[default]
    Wait,
    /// It fails, unless it is wait-for-ready.
    Fail(Arc<Unreachable>),
}

/// No address can be connected to.
#[derive(Debug)]
pub(crate) struct Unreachable {
    /// The host and port of the endpoint.
    pub(crate) target: Arc<str>,
    pub(crate) addresses: usize,
    /// The last error of any of them, or of the discovery.
    pub(crate) error: Option<Arc<str>>,
}

impl Snapshot {
    pub(crate) fn pick(&self) -> Option<&Arc<Connection>> {
        self.rotation.pick()
    }

    /// Why a call fails now if it does not wait.
    pub(crate) fn failure(&self) -> Option<&Arc<Unreachable>> {
        match &self.when_none_ready {
            // A connection that was there a moment ago: its loss is about to be noticed.
            _ if !self.rotation.is_empty() => None,
            WhenNoneReady::Wait => None,
            WhenNoneReady::Fail(failure) => Some(failure),
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addresses {
            0 => write!(f, "{} has no addresses", self.target)?,
            1 => write!(f, "the only address of {} is not connected", self.target)?,
            count => write!(f, "none of the {count} addresses of {} is connected", self.target)?,
        }
        match &self.error {
            Some(error) => write!(f, "; last error: {error}"),
            None => Ok(()),
        }
    }
}

impl Error for Unreachable {}
