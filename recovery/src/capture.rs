//! Catching a panic, with what the panic hook can tell of it.

use std::any::{Any, TypeId};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use tonic_call::{drop_caught, panic_message, sanitize};

use crate::stack::Frames;

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
    payload: PayloadId,
    pub(crate) location: Option<String>,
    /// None where the environment asks for none.
    pub(crate) backtrace: Option<Backtrace>,
    frames: Frames,
    /// What is shown of the stack. Made when it is asked for, since symbols take long to look up.
    stack: OnceLock<String>,
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
///
/// `RUST_BACKTRACE=0` in the environment leaves the backtraces out, and `RUST_BACKTRACE=full` shows all frames
/// of them; otherwise those are shown that are the program's own. `RUST_LIB_BACKTRACE` counts instead, if it is
/// set. Both are read here, once.
pub fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let frames = Frames::wanted();
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                LAST.set(Some(Box::new(Trace {
                    payload: identity_of(info.payload()),
                    location: info.location().map(|at| sanitize(&at.to_string()).into_owned()),
                    backtrace: (frames != Frames::None).then(Backtrace::force_capture),
                    frames,
                    stack: OnceLock::new(),
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

/// The type of a payload, and the hash of its text, which may be long.
type PayloadId = (TypeId, Option<u64>);

/// Tells panics apart, without running code of the payload's.
fn identity_of(payload: &(dyn Any + Send)) -> PayloadId {
    let hash = |text: &str| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    };
    (payload.type_id(), panic_message(payload).map(hash))
}

impl Trace {
    /// What is shown of the stack, if anything.
    pub(crate) fn stack(&self) -> Option<&str> {
        let backtrace = self.backtrace.as_ref()?;
        Some(&**self.stack.get_or_init(|| self.frames.of(backtrace)))
            .filter(|text| !text.is_empty())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            writeln!(f, "at {location}")?;
        }
        f.write_str(self.stack().unwrap_or_default())
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
