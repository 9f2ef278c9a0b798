//! Catching a panic, with what the panic hook can tell of it.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::panic::text_of;

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) payload: Box<dyn Any + Send>,
    pub(crate) trace: Option<Trace>,
}

/// What only the panic hook sees.
#[derive(Debug)]
pub(crate) struct Trace {
    message: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) backtrace: Backtrace,
}

thread_local! {
    /// Whether a panic of this thread is caught here.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last panic that the hook saw in a catch.
    static LAST: Cell<Option<Trace>> = const { Cell::new(None) };
}

static QUIETLY: AtomicBool = AtomicBool::new(false);

/// Lets every recovered panic be told with its location and backtrace.
///
/// Call it once, at the start of the program. It puts a panic hook before the one that is there,
/// which still sees every panic; calling it again changes nothing. Without it a recovered panic is
/// told by its message alone, since only a panic hook sees more.
pub fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                LAST.set(Some(Trace {
                    message: text_of(info.payload()).map(Into::into),
                    location: info.location().map(ToString::to_string),
                    backtrace: Backtrace::force_capture(),
                }));
                if QUIETLY.load(Ordering::Relaxed) {
                    return;
                }
            }
            previous(info);
        }));
    });
}

/// As [`capture_panics`], and keeps panics that are caught from the hook that was there before:
/// they are told once, as an event, and not on standard error too.
pub fn capture_panics_quietly() {
    QUIETLY.store(true, Ordering::Relaxed);
    capture_panics();
}

/// Runs a piece of a call and catches a panic in it.
pub(crate) fn catch<T>(piece: impl FnOnce() -> T) -> Result<T, Caught> {
    let outer = CATCHING.replace(true);
    // What a panic leaves half done is never used again, only dropped.
    let result = catch_unwind(AssertUnwindSafe(piece));
    CATCHING.set(outer);
    result.map_err(Caught::new)
}

impl Caught {
    /// A panic of this thread.
    fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = text_of(&*payload);
        // The hook may have last seen another panic, which somebody inside caught.
        let trace = LAST.take().filter(|trace| trace.message.as_deref() == message.as_deref());
        Self { trace, payload }
    }

    /// A panic that another task ended in.
    pub(crate) fn elsewhere(payload: Box<dyn Any + Send>) -> Self {
        Self { payload, trace: None }
    }
}

/// Drops a payload, whose destructor may panic too.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(Caught { payload, .. }) = catch(|| drop(payload)) {
        std::mem::forget(payload);
    }
}
