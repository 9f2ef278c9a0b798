use std::panic;
use std::sync::Once;

/// Marks the panics that tests cause on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// Hides the output of panics that have "on purpose" in their message. Other panics are printed as usual.
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
