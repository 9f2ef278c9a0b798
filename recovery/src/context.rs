//! The call that a panic is told for.

use std::sync::Arc;

use http::request;
use http::uri::PathAndQuery;
use tonic::{Code, Status};
use tonic_call::{CallInfo, EndedBy, Protocol, Rpc, Side};

use crate::capture::{Caught, catch};
use crate::panic::{Panic, Place};

/// Makes the status that the caller is told.
pub(crate) type Handler = Arc<dyn Fn(&Panic<'_>) -> Status + Send + Sync>;

/// What is known of a call. Making and cloning one allocates nothing.
#[derive(Clone, Default)]
pub(crate) struct Context {
    /// Its method's name is read from it only when there is a panic to tell.
    path: Option<PathAndQuery>,
    info: Option<CallInfo>,
    handler: Option<Handler>,
    /// In which its caller is answered.
    protocol: Protocol,
}

scoped_tls::scoped_thread_local! {
    /// The call whose future or body this thread polls now: for a stream inside, which can't be
    /// told otherwise.
    static CURRENT: Context
}

/// The text that a caller is told of a panic.
const MESSAGE: &str = "internal error";

impl Context {
    /// A call of which nothing is known.
    pub(crate) fn unknown(handler: Option<Handler>) -> Self {
        Self { handler, ..Self::default() }
    }

    pub(crate) fn new(side: Side, head: &request::Parts, handler: Option<Handler>) -> Self {
        Self {
            path: head.uri.path_and_query().cloned(),
            info: CallInfo::of_side(side, &head.extensions).cloned(),
            handler,
            protocol: Protocol::of_answer(&head.headers).unwrap_or_default(),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Runs a piece of the call, in which it is current, and catches a panic in it.
    pub(crate) fn run<T>(&self, piece: impl FnOnce() -> T) -> Result<T, Caught> {
        catch(|| CURRENT.set(self, piece))
    }

    /// Drops a piece of the call. The caller is told nothing of a panic in that.
    pub(crate) fn drop(&self, piece: impl FnOnce()) {
        if let Err(caught) = catch(piece) {
            self.report(caught, Place::Drop);
        }
    }

    /// Tells of a panic that ends the call; the status is what the caller is told.
    pub(crate) fn recovered(&self, caught: Caught, place: Place) -> Status {
        if let Some(info) = &self.info {
            info.set_ended_by(EndedBy::Panic);
        }
        self.report(caught, place)
    }

    /// Tells of a panic.
    pub(crate) fn report(&self, caught: Caught, place: Place) -> Status {
        let rpc = self.path.clone().map(|path| Rpc::from_path(Some(path)));
        let panic = Panic::new(&caught, place, rpc.as_ref());
        if let Some(info) = &self.info {
            match panic.trace() {
                Some(trace) => info.set_panic_with_stack(panic.message(), trace),
                None => info.set_panic(panic.message()),
            }
        }
        // Subscribers and handlers may panic too.
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

/// Does something for the call that is current, or if none is, for one of which nothing is known.
pub(crate) fn with_current<T>(act: impl FnOnce(&Context) -> T) -> T {
    if CURRENT.is_set() { CURRENT.with(act) } else { act(&Context::default()) }
}

fn emit(panic: &Panic<'_>) {
    // A path is the caller's text.
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
