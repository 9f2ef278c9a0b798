//! Catches panics, and captures their location and backtrace with a panic hook.

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

/// A caught panic.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) payload: Box<dyn Any + Send>,
    pub(crate) trace: Option<Arc<Trace>>,
}

/// Details that only the panic hook can see.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Identifies the panic.
    payload: PayloadId,
    pub(crate) location: Option<String>,
    /// `None` if the environment disables backtraces.
    pub(crate) backtrace: Option<Backtrace>,
    frames: Frames,
    /// The text of the stack. Created on demand, since resolving symbols is slow.
    stack: OnceLock<String>,
}

thread_local! {
    /// Whether this thread is inside `catch`.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last panic that the hook saw inside `catch`.
    static LAST: Cell<Option<Box<Trace>>> = const { Cell::new(None) };
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Captures the location and backtrace of recovered panics.
///
/// Call this once, at the start of the program; further calls have no effect. It installs a panic hook, which
/// also calls the previous hook for every panic. Without it, a recovered panic is reported with its message
/// only.
///
/// `RUST_BACKTRACE=0` in the environment disables backtraces, and `RUST_BACKTRACE=full` shows all frames;
/// otherwise only the program's own frames are shown. `RUST_LIB_BACKTRACE` takes precedence if it is set. Both
/// are read once, in this call.
pub fn capture_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let frames = Frames::from_env();
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
                if QUIET.load(Ordering::Relaxed) {
                    return;
                }
            }
            previous(info);
        }));
    });
}

/// Like [`capture_panics`], but does not call the previous hook for panics that are caught: these are reported
/// once, as a `tracing` event, and not also on standard error.
///
/// A panic that a handler catches itself inside a call is not reported at all.
pub fn capture_panics_quietly() {
    QUIET.store(true, Ordering::Relaxed);
    capture_panics();
}

/// Runs one step of a call and catches a panic in it.
pub(crate) fn catch<T>(piece: impl FnOnce() -> T) -> Result<T, Caught> {
    let outer = CATCHING.replace(true);
    // After a panic, the state of the step is never used again, only dropped.
    let result = catch_unwind(AssertUnwindSafe(piece));
    CATCHING.set(outer);
    result.map_err(Caught::new)
}

/// Queries a body; returns the default if that panics.
pub(crate) fn or_default_on_panic<T: Default>(query: impl FnOnce() -> T) -> T {
    catch(query).unwrap_or_else(|caught| {
        caught.discard();
        T::default()
    })
}

/// The type of a payload, and the hash of its text, if it has one.
type PayloadId = (TypeId, Option<u64>);

/// Identifies a panic without running any code of its payload.
fn identity_of(payload: &(dyn Any + Send)) -> PayloadId {
    let hash = |text: &str| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    };
    (payload.type_id(), panic_message(payload).map(hash))
}

impl Trace {
    /// The text of the stack, if there is one.
    pub(crate) fn stack(&self) -> Option<&str> {
        let backtrace = self.backtrace.as_ref()?;
        Some(&**self.stack.get_or_init(|| self.frames.text(backtrace)))
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
    /// Creates a caught panic from its payload, on the thread that panicked.
    fn new(payload: Box<dyn Any + Send>) -> Self {
        // The hook may have seen another panic last, which was caught further inside.
        let trace = LAST.take().filter(|trace| trace.payload == identity_of(&*payload));
        Self { trace: trace.map(Arc::from), payload }
    }

    /// Drops the payload, whose destructor may panic too.
    pub(crate) fn discard(self) {
        // The outer `catch` marks the panic as caught, so that the quiet hook does not print it.
        let _ = catch(|| drop_caught(self.payload));
    }
}
