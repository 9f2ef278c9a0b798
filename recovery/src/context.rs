//! The call in which a panic happened.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Request};
use tonic::{Code, Status};
use tonic_call::{CallInfo, EndedBy, Protocol, Rpc, Side};

use crate::capture::{Caught, catch};
use crate::panic::{Panic, Place};

/// Creates the status that is sent to the caller.
pub(crate) type Handler = Arc<dyn Fn(&Panic<'_>) -> Status + Send + Sync>;

/// Information about a call. Creating and cloning it does not allocate.
#[derive(Clone, Default)]
pub(crate) struct Context {
    /// Parsed into a method name only if there is a panic to report.
    path: Option<PathAndQuery>,
    info: Option<CallInfo>,
    handler: Option<Handler>,
    /// The protocol of the response.
    protocol: Protocol,
}

scoped_tls::scoped_thread_local! {
    /// The call whose future or body this thread is polling, for a `RecoverStream` inside it.
    static CURRENT: Context
}

/// The default status message after a panic.
const MESSAGE: &str = "internal error";

impl Context {
    /// A context without a call.
    pub(crate) fn unknown(handler: Option<Handler>) -> Self {
        Self { handler, ..Self::default() }
    }

    pub(crate) fn new<B>(side: Side, request: &Request<B>, handler: Option<Handler>) -> Self {
        Self {
            path: request.uri().path_and_query().cloned(),
            info: CallInfo::of_side(side, request.extensions()).cloned(),
            handler,
            protocol: Protocol::of_answer(request.headers()).unwrap_or_default(),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Notes the protocol of the response, which its head names.
    pub(crate) fn responded(&mut self, head: &HeaderMap) {
        self.protocol = Protocol::of(head).unwrap_or_default();
    }

    /// Runs one step of the call, with this context as the current one, and catches a panic in it.
    pub(crate) fn run<T>(&self, piece: impl FnOnce() -> T) -> Result<T, Caught> {
        catch(|| CURRENT.set(self, piece))
    }

    /// Drops a part of the call. A panic in that is reported, but does not affect the caller.
    pub(crate) fn drop(&self, piece: impl FnOnce()) {
        if let Err(caught) = catch(piece) {
            self.report(caught, Place::Drop);
        }
    }

    /// Reports a panic that ends the call, and returns the status to send.
    pub(crate) fn recovered(&self, caught: Caught, place: Place) -> Status {
        if let Some(info) = &self.info {
            info.set_ended_by(EndedBy::Panic);
        }
        self.report(caught, place)
    }

    /// Reports a panic, and returns the status for it.
    pub(crate) fn report(&self, caught: Caught, place: Place) -> Status {
        let rpc = self.path.clone().map(|path| Rpc::from_path(Some(path)));
        let panic = Panic::new(&caught, place, rpc.as_ref());
        if let Some(info) = &self.info {
            match panic.trace() {
                Some(trace) => info.set_panic_with_stack(panic.message(), trace),
                None => info.set_panic(panic.message()),
            }
        }
        // Tracing subscribers and handlers may panic too.
        if let Err(caught) = catch(|| emit(&panic)) {
            caught.discard();
        }
        let status = match catch(|| self.handler.as_ref().map(|handler| handler(&panic))) {
            Ok(status) => status.filter(|status| status.code() != Code::Ok),
            Err(caught) => {
                caught.discard();
                None
            }
        };
        drop(panic);
        caught.discard();
        status.unwrap_or_else(|| Status::internal(MESSAGE))
    }
}

/// Calls `act` with the current context, or with an empty one if there is none.
pub(crate) fn with_current<T>(act: impl FnOnce(&Context) -> T) -> T {
    if CURRENT.is_set() { CURRENT.with(act) } else { act(&Context::default()) }
}

fn emit(panic: &Panic<'_>) {
    // The path is the caller's text.
    let method = panic.rpc().map(|rpc| format!("{:.256}", rpc.shown()));
    tracing::error!(
        target: "tonic_recovery_layer",
        {
            rpc.method = method.as_deref(),
            panic.place = panic.place().as_str(),
            exception.r#type = "panic",
            exception.message = panic.message(),
            exception.location = panic.location(),
            exception.stacktrace = panic.stack(),
        },
        "a panic was recovered"
    );
}
