//! The labels of the series of one method.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use metrics::{Key, Label};
use tonic::Code;
use tonic_call::CODES;

use crate::families::Family;

/// The labels of the series of one method: without a code, and with each code.
pub(crate) enum LabelSets {
    /// Those of a described method. All its series, in all recorders, share the labels.
    Interned {
        /// One set for each code, one after the other. The label of the code is the last one of its set.
        sets: &'static [Label],
    },
    /// Those of another method, or with labels of codes that differ from call to call.
    Own(Box<[Label]>),
}

impl LabelSets {
    /// Labels that each series copies.
    pub(crate) fn own(labels: Vec<Label>) -> Self {
        Self::Own(labels.into())
    }

    /// Labels that all series share: these ones, with and without the label of a code.
    ///
    /// They are never freed, like the series of a recorder. So this is only for methods of a descriptor set, of which
    /// there is a fixed number, and not for methods that traffic makes known.
    pub(crate) fn interned(labels: &[Label], code_label: impl Fn(Code) -> Label) -> Self {
        let mut sets = Vec::with_capacity(CODES.len() * (labels.len() + 1));
        for code in CODES {
            sets.extend_from_slice(labels);
            sets.push(code_label(code));
        }
        Self::Interned { sets: intern(sets) }
    }

    /// The labels without a code.
    pub(crate) fn labels(&self) -> &[Label] {
        match self {
            Self::Interned { sets } => without_code(sets),
            Self::Own(labels) => labels,
        }
    }

    /// The key of the series without a code.
    pub(crate) fn key(&self, family: &Family) -> Key {
        match self {
            Self::Interned { sets } => Key::from_static_parts(family.name, without_code(sets)),
            Self::Own(_) => self.key_with(family, []),
        }
    }

    /// The key of the series with a code, which has this label.
    pub(crate) fn key_of_code(&self, family: &Family, code: Code, label: Label) -> Key {
        match self {
            Self::Interned { sets } => {
                let len = sets.len() / CODES.len();
                let start = code as usize * len;
                Key::from_static_parts(family.name, &sets[start..start + len])
            }
            Self::Own(_) => self.key_with(family, [label]),
        }
    }

    /// The key of the series with more labels.
    pub(crate) fn key_with(&self, family: &Family, more: impl IntoIterator<Item = Label>) -> Key {
        let labels = self.labels().iter().cloned().chain(more);
        Key::from_parts(family.name, labels.collect::<Vec<_>>())
    }
}

fn without_code(sets: &'static [Label]) -> &'static [Label] {
    &sets[..sets.len() / CODES.len() - 1]
}

/// The same memory for the same labels, so that another layer or recorder takes no more of it.
fn intern(sets: Vec<Label>) -> &'static [Label] {
    // By the last set, in which the names of labels and the spelling of the code show.
    static INTERNED: LazyLock<Mutex<HashMap<&'static [Label], &'static [Label]>>> =
        LazyLock::new(Mutex::default);
    let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    let last = |sets: &[Label]| sets.len() - sets.len() / CODES.len();
    if let Some(known) = interned.get(&sets[last(&sets)..])
        && **known == *sets
    {
        return known;
    }
    let sets: &'static [Label] = sets.leak();
    interned.insert(&sets[last(sets)..], sets);
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::PANICS;

    fn labels() -> Vec<Label> {
        vec![
            Label::new("grpc_service", "a.B".to_owned()),
            Label::new("grpc_method", "C".to_owned()),
        ]
    }

    fn code_label(code: Code) -> Label {
        Label::new("grpc_code", format!("{code:?}"))
    }

    #[test]
    fn keys_are_the_same_whether_their_labels_are_shared_or_not() {
        let (interned, own) =
            (LabelSets::interned(&labels(), code_label), LabelSets::own(labels()));
        assert_eq!(interned.labels(), own.labels());
        assert_eq!(interned.key(&PANICS), own.key(&PANICS));
        for code in CODES {
            let key = own.key_of_code(&PANICS, code, code_label(code));
            assert_eq!(interned.key_of_code(&PANICS, code, code_label(code)), key);
            assert_eq!(key.labels().len(), 3);
        }
        let more = || [Label::new("reason", "x")];
        assert_eq!(interned.key_with(&PANICS, more()), own.key_with(&PANICS, more()));
    }

    #[test]
    fn the_same_labels_are_kept_once() {
        let sets = || LabelSets::interned(&labels(), code_label);
        assert!(std::ptr::eq(sets().labels(), sets().labels()));
        let spelled = |code| Label::new("grpc_code", format!("{code:?}").to_uppercase());
        let other = LabelSets::interned(&labels(), spelled);
        assert!(!std::ptr::eq(sets().labels(), other.labels()));
    }
}
