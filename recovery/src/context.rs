//! The call that a panic is told for.

use std::sync::Arc;

use http::request;
use tonic::{Code, Status};
use tonic_call::{CallInfo, Rpc};

use crate::capture::{Caught, catch, discard};
use crate::panic::{Panic, Place};

/// Makes the status that the caller is told.
pub(crate) type Handler = Arc<dyn Fn(&Panic<'_>) -> Status + Send + Sync>;

/// What is known of a call. Making and cloning one allocates nothing.
#[derive(Clone, Default)]
pub(crate) struct Context {
    rpc: Option<Rpc>,
    info: Option<CallInfo>,
    handler: Option<Handler>,
}

scoped_tls::scoped_thread_local! {
    /// The call whose future or body this thread polls now: for a stream inside, which can't be
    /// told otherwise.
    static CURRENT: Context
}

/// The text that a caller is told of a panic.
const MESSAGE: &str = "internal error";

impl Context {
    pub(crate) fn new(head: &request::Parts, handler: Option<Handler>) -> Self {
        Self {
            rpc: Some(Rpc::from_head(head)),
            info: CallInfo::of(&head.extensions).cloned(),
            handler,
        }
    }

    /// Runs a piece of the call, in which it is current, and catches a panic in it.
    pub(crate) fn run<T>(&self, piece: impl FnOnce() -> T) -> Result<T, Caught> {
        catch(|| CURRENT.set(self, piece))
    }

    /// Drops a piece of the call. The caller is told nothing of a panic in that.
    pub(crate) fn drop(&self, piece: impl FnOnce()) {
        if let Err(caught) = self.run(piece) {
            self.recovered(caught, Place::Drop);
        }
    }

    /// Tells of a panic; the status is what the caller is told.
    pub(crate) fn recovered(&self, caught: Caught, place: Place) -> Status {
        if let Some(info) = &self.info {
            info.set_panicked();
        }
        let panic = Panic::new(&caught, place, self.rpc.as_ref());
        // Subscribers and handlers may panic too.
        if let Err(Caught { payload, .. }) = catch(|| tell(&panic)) {
            discard(payload);
        }
        let status = match catch(|| self.handler.as_ref().map(|handler| handler(&panic))) {
            Ok(Some(status)) if status.code() != Code::Ok => status,
            Ok(_) => Status::internal(MESSAGE),
            Err(Caught { payload, .. }) => {
                discard(payload);
                Status::internal(MESSAGE)
            }
        };
        discard(caught.payload);
        status
    }
}

/// Tells of a panic for the call that is current, if one is.
pub(crate) fn recovered_in_current(caught: Caught, place: Place) -> Status {
    if CURRENT.is_set() {
        CURRENT.with(|context| context.recovered(caught, place))
    } else {
        Context::default().recovered(caught, place)
    }
}

fn tell(panic: &Panic<'_>) {
    // A name from the wire is escaped, and a path is bounded by the limit on headers.
    let method = panic.rpc().map(Rpc::full).map(tracing::field::debug);
    tracing::error!(
        target: "tonic_recovery_layer",
        {
            rpc.method = method,
            panic.place = panic.place().as_str(),
            exception.r#type = "panic",
            exception.message = ?panic.message(),
            exception.location = panic.location(),
            exception.stacktrace = panic.backtrace().map(tracing::field::display),
        },
        "a panic was recovered"
    );
}
