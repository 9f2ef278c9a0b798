//! Catching a panic, with what the panic hook can tell of it.

use std::any::{Any, TypeId};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use tonic_call::drop_caught;

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) payload: Box<dyn Any + Send>,
    pub(crate) trace: Option<Arc<Trace>>,
}

/// What only the panic hook sees.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Of which panic.
    payload: (TypeId, Option<String>),
    pub(crate) location: Option<String>,
    pub(crate) backtrace: Backtrace,
}

thread_local! {
    /// Whether a panic of this thread is caught here.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last panic that the hook saw in a catch.
    static LAST: Cell<Option<Box<Trace>>> = const { Cell::new(None) };
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
                LAST.set(Some(Box::new(Trace {
                    payload: identity_of(info.payload()),
                    location: info.location().map(ToString::to_string),
                    backtrace: Backtrace::force_capture(),
                })));
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
///
/// A panic that a handler catches itself, inside a call, keeps silent as well: nobody else is told.
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

/// Asks a body something that it should know; if it panics instead, it does not.
pub(crate) fn unless_it_panics<T: Default>(ask: impl FnOnce() -> T) -> T {
    catch(ask).unwrap_or_else(|caught| {
        caught.discard();
        T::default()
    })
}

/// The text that `panic!` raises; also inside the panic hook, so nothing else may run here.
pub(crate) fn plain_text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Tells panics apart, without running code of the payload's.
fn identity_of(payload: &(dyn Any + Send)) -> (TypeId, Option<String>) {
    (payload.type_id(), plain_text_of(payload).map(ToOwned::to_owned))
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            writeln!(f, "at {location}")?;
        }
        self.backtrace.fmt(f)
    }
}

impl Caught {
    /// A panic of this thread.
    fn new(payload: Box<dyn Any + Send>) -> Self {
        // The hook may have last seen another panic, which somebody inside caught.
        let trace = LAST.take().filter(|trace| trace.payload == identity_of(&*payload));
        Self { trace: trace.map(Arc::from), payload }
    }

    /// Drops the payload, whose destructor may panic too.
    pub(crate) fn discard(self) {
        // The outer catch is for the panic hook: what panics here is caught, and so keeps silent.
        let _ = catch(|| drop_caught(self.payload));
    }
}
