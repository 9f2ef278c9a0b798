//! Destructors that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops a value, and catches a panic in that; says whether there was none.
///
/// For where no recovery layer stands outside: timers, tasks of one's own, and what a panic was
/// raised with, whose destructor may panic as well.
pub fn drop_caught<T>(value: T) -> bool {
    match catch_unwind(AssertUnwindSafe(|| drop(value))) {
        Ok(()) => true,
        Err(payload) => {
            // Its payload may have such a destructor too, and so on.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(payload);
            }
            false
        }
    }
}
