use std::sync::Arc;
use std::time::Duration;

use tonic_call::{MethodTable, Methods};
use tower_layer::Layer;

use super::limits::{Limits, Settings};
use super::service::DeadlineService;
use crate::client::{ClientDeadlineLayer, ClientDeadlines};

/// Enforces the deadlines of calls: see the [crate's page](crate).
///
/// The caller's own deadline, its `grpc-timeout`, is always enforced. The settings add limits of the server; none is
/// set by default. Each takes a `Duration`, `None`, or a [`MethodTable`] of them, for limits per method and service.
///
#[doc = include_str!("../../docs/limits.md")]
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    settings: Settings,
}

impl DeadlineLayer {
    /// Enforces deadlines in front of services.
    pub fn server() -> Self {
        Self { settings: Settings::default() }
    }

    /// Sets and enforces deadlines around channels: see [`ClientDeadlineLayer`].
    ///
    /// Takes a `Duration`, a [`MethodTable`] of them, or `None` for no limit of its own: see [`ClientDeadlines`].
    pub fn client(deadlines: impl Into<ClientDeadlines>) -> ClientDeadlineLayer {
        ClientDeadlineLayer::new(deadlines.into())
    }

    /// The kinds of the methods: a unary method has other limits than a stream.
    ///
    /// The limits of a method whose kind is not known are those of unary methods, up to the head of the response.
    #[must_use]
    pub fn methods(mut self, methods: &Methods) -> Self {
        self.settings.methods = Some(methods.clone());
        self
    }

    /// How long a unary call may take whose caller has set no deadline.
    #[must_use]
    pub fn default(mut self, limit: impl Into<MethodTable<Option<Duration>>>) -> Self {
        self.settings.unary.default = limit.into();
        self
    }

    /// How long a unary call may take at most, even if its caller would wait longer, or has set no deadline.
    #[must_use]
    pub fn cap(mut self, limit: impl Into<MethodTable<Option<Duration>>>) -> Self {
        self.settings.unary.cap = limit.into();
        self
    }

    /// As [`default`](Self::default), for client-, server- and bidi-streaming calls.
    #[must_use]
    pub fn stream_default(mut self, limit: impl Into<MethodTable<Option<Duration>>>) -> Self {
        self.settings.stream.default = limit.into();
        self
    }

    /// As [`cap`](Self::cap), for client-, server- and bidi-streaming calls.
    #[must_use]
    pub fn stream_cap(mut self, limit: impl Into<MethodTable<Option<Duration>>>) -> Self {
        self.settings.stream.cap = limit.into();
        self
    }

    /// Ends a call whose caller has read nothing of the response for this long, although there is something to read.
    ///
    /// A caller that reads slowly is not affected: each 16 KiB that it reads counts as progress.
    #[must_use]
    pub fn stall(mut self, limit: impl Into<MethodTable<Option<Duration>>>) -> Self {
        self.settings.stall = limit.into();
        self
    }

    /// Refuses calls without a deadline of the caller, with `INVALID_ARGUMENT`. Takes a `bool`, or a [`MethodTable`]
    /// of them. Health and reflection are exempt, unless a rule names their service or method.
    #[must_use]
    pub fn required(mut self, required: impl Into<MethodTable<bool>>) -> Self {
        self.settings.required = required.into();
        self
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService::new(inner, Arc::new(Limits::new(self.settings.clone())))
    }
}
