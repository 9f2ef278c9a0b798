use std::panic;
use std::sync::Once;

/// Marks the panics that tests cause on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// Keeps panics that a test causes on purpose, those with "on purpose" in their text, out of its
/// output. Others are printed as ever.
pub fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains(ON_PURPOSE) {
                previous(info);
            }
        }));
    });
}

/// Panics when it is dropped.
#[derive(Debug)]
pub struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop, on purpose");
    }
}
