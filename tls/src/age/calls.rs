//! The open calls of one connection, so that they can be cut.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic::Status;
use tonic_call::{
    BoxError, Cut, CutBody, CutFuture, EndedBy, GrpcService, Held, HeldBody, OptionService,
};
use tower_layer::Layer;
use tower_service::Service;

/// The service below the layers of a server that ages its connections. Without a
/// [grace](super::ConnectionAge::grace) it only forwards calls.
pub type AgedService<S> = OptionService<OpenCallsService<S>, S>;

/// The open calls of one connection: a layer around the service of the connection, for a serve function of your own.
/// Clones share the calls.
#[derive(Clone, Default)]
pub struct OpenCalls(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    next: u64,
    open: HashMap<u64, Cut>,
    /// The calls were cut: so is each that comes later.
    over: bool,
}

/// One open call, until it is dropped.
pub struct OpenCall {
    calls: OpenCalls,
    number: u64,
}

impl OpenCalls {
    fn add(&self, cut: Cut) -> OpenCall {
        let mut calls = self.lock();
        let number = calls.next;
        calls.next += 1;
        let late = if calls.over { Some(cut) } else { calls.open.insert(number, cut) };
        drop(calls);
        if let Some(cut) = late {
            end(&cut);
        }
        OpenCall { calls: self.clone(), number }
    }

    /// Ends all calls with `UNAVAILABLE`, as [ended by the server](EndedBy::Server), and so each call that comes later.
    /// Returns how many were open. What then happens to a call: see [`Cut`].
    pub fn end_all(&self) -> usize {
        let mut calls = self.lock();
        calls.over = true;
        let open = std::mem::take(&mut calls.open);
        // Destructors of handlers run below.
        drop(calls);
        open.values().filter(|cut| end(cut)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(cut: &Cut) -> bool {
    cut.cut(EndedBy::Server, Status::unavailable("the connection has reached its age"))
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let cut = self.calls.lock().open.remove(&self.number);
        // After the lock.
        drop(cut);
    }
}

impl<S> Layer<S> for OpenCalls {
    type Service = OpenCallsService<S>;

    fn layer(&self, inner: S) -> OpenCallsService<S> {
        OpenCallsService { inner, calls: self.clone() }
    }
}

/// A service that knows its open calls.
#[derive(Clone)]
pub struct OpenCallsService<S> {
    inner: S,
    calls: OpenCalls,
}

impl<S, B> Service<Request<B>> for OpenCallsService<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<HeldBody<CutBody<S::ResponseBody, S::Error>, OpenCall>>;
    type Error = S::Error;
    type Future = Held<CutFuture<S::ResponseBody, S::Error>, OpenCall>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (cut, response) = Cut::call(&mut self.inner, request);
        Held::new(response, Some(self.calls.add(cut)))
    }
}

impl fmt::Debug for OpenCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCalls").field("open", &self.lock().open.len()).finish()
    }
}

impl<S> fmt::Debug for OpenCallsService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenCallsService")
    }
}

impl fmt::Debug for OpenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenCall")
    }
}
