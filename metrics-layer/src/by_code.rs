use std::sync::OnceLock;

use tonic::Code;
use tonic_call::CODES;

/// One handle for each status code.
///
/// The handle of `OK` is stored in place. Those of the other codes have memory of their own, which most methods never
/// need.
pub(crate) struct ByCode<T> {
    ok: OnceLock<T>,
    others: OnceLock<Box<Others<T>>>,
}

/// The handles of all codes except `OK`, which is the first one.
type Others<T> = [OnceLock<T>; CODES.len() - 1];

impl<T> ByCode<T> {
    /// The handle of this code. `None` if it is not registered yet and `register` returns `None`.
    pub(crate) fn get_or_register(
        &self,
        code: Code,
        register: impl FnOnce() -> Option<T>,
    ) -> Option<&T> {
        let handle = match (code as usize).checked_sub(1) {
            None => &self.ok,
            Some(other) => self.others.get_or_init(none).get(other)?,
        };
        if handle.get().is_none() {
            let registered = register()?;
            return Some(handle.get_or_init(|| registered));
        }
        handle.get()
    }
}

fn none<T>() -> Box<Others<T>> {
    Box::new([const { OnceLock::new() }; CODES.len() - 1])
}

impl<T> Default for ByCode<T> {
    fn default() -> Self {
        Self { ok: OnceLock::new(), others: OnceLock::new() }
    }
}
