//! What is not ours, and may panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tonic_call::drop_caught;

/// Runs a piece that may panic; what it panicked with is told as text.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(text_of)
}

fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    drop_caught(payload);
    text
}
