//! Names of known methods that live as long as the process.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustc_hash::FxHashSet;

/// The full name of a known method. Cloning it copies no text.
///
/// Each name is leaked once, however many layers know the method, because libraries that keep names without copying
/// them want `&'static str`. Names can come from traffic, if a service answers any path, so their number is bounded:
/// when there is no room left, further names are shared and freed.
#[derive(Clone, Debug)]
pub(crate) enum MethodName {
    Leaked(&'static str),
    Shared(Arc<str>),
}

/// The memory for leaked names, enough for more than 15,000 methods with names of 100 bytes.
const MAX_LEAKED_BYTES: usize = 2 * 1024 * 1024;

/// What an entry of the set needs, besides the text.
const ENTRY_BYTES: usize = 32;

/// The leaked names.
#[derive(Default)]
struct Leaked {
    names: FxHashSet<&'static str>,
    bytes: usize,
}

impl MethodName {
    pub(crate) fn new(name: &str) -> Self {
        static LEAKED: LazyLock<Mutex<Leaked>> = LazyLock::new(Mutex::default);
        let leaked = LEAKED.lock().unwrap_or_else(PoisonError::into_inner).leak(name);
        leaked.map_or_else(|| Self::Shared(name.into()), Self::Leaked)
    }

    /// The name, if it lives as long as the process.
    pub(crate) fn leaked(&self) -> Option<&'static str> {
        match self {
            Self::Leaked(name) => Some(name),
            Self::Shared(_) => None,
        }
    }
}

impl Leaked {
    /// `None` if there is no room left.
    fn leak(&mut self, name: &str) -> Option<&'static str> {
        if let Some(known) = self.names.get(name) {
            return Some(known);
        }
        let bytes = self.bytes + name.len() + ENTRY_BYTES;
        if bytes > MAX_LEAKED_BYTES {
            return None;
        }
        self.bytes = bytes;
        let name: &'static str = String::from(name).leak();
        self.names.insert(name);
        Some(name)
    }
}

impl Deref for MethodName {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Leaked(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl Borrow<str> for MethodName {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for MethodName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self, state);
    }
}

impl PartialEq for MethodName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for MethodName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_leaked_once() {
        let [first, second] = [0, 1].map(|_| MethodName::new("test.Leaked/Once").leaked());
        assert!(first.is_some_and(|first| std::ptr::eq(first, second.expect("the same name"))));
    }

    #[test]
    fn no_more_names_are_leaked_than_there_is_room_for() {
        let mut leaked = Leaked::default();
        let long = "x".repeat(MAX_LEAKED_BYTES / 4);
        let names: Vec<_> = (0..8).map(|number| leaked.leak(&format!("{long}{number}"))).collect();
        let fitted = names.iter().flatten().count();
        assert_eq!(fitted, 3);
        assert!(names[..fitted].iter().all(Option::is_some));
        assert_eq!(leaked.leak(&format!("{long}0")), names[0]);
        assert_eq!(leaked.leak("short"), Some("short"));
        assert!(leaked.bytes <= MAX_LEAKED_BYTES);
    }

    #[test]
    fn names_are_equal_if_their_texts_are() {
        let [leaked, shared] = [MethodName::Leaked("a.B/C"), MethodName::Shared("a.B/C".into())];
        assert_eq!(leaked, shared);
        let names = FxHashSet::from_iter([shared]);
        assert!(names.contains(&leaked) && names.contains("a.B/C") && !names.contains("a.B/D"));
    }
}
