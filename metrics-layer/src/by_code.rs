use std::sync::OnceLock;

use tonic::Code;
use tonic_call::CODES;

/// One handle for each status code.
pub(crate) struct ByCode<T>([OnceLock<T>; CODES.len()]);

impl<T> ByCode<T> {
    /// The handle of this code. `None` if it is not registered yet and `register` returns `None`.
    pub(crate) fn get_or_register(
        &self,
        code: Code,
        register: impl FnOnce() -> Option<T>,
    ) -> Option<&T> {
        let handle = self.0.get(code as usize)?;
        if handle.get().is_none() {
            let registered = register()?;
            return Some(handle.get_or_init(|| registered));
        }
        handle.get()
    }
}

impl<T> Default for ByCode<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; CODES.len()])
    }
}
