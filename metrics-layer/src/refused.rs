use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Label};
use tonic_call::Refusal;

/// How many refusals of one method are counted separately. Further ones have the reason `other`: reasons are
/// text of other crates, and may be less fixed than they should be.
const MAX_REFUSALS: usize = 100;

/// The refusals of one method, by layer, reason and shadow.
#[derive(Default)]
pub(crate) struct Refused(Mutex<Vec<(Refusal, Counter)>>);

impl Refused {
    /// Counts one. `register` is called once for each that is counted separately.
    pub(crate) fn count(
        &self,
        refusal: &Refusal,
        register: impl FnOnce([Label; 3]) -> Option<Counter>,
    ) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = refusal.clone();
        if seen.len() >= MAX_REFUSALS && !seen.iter().any(|(refusal, _)| *refusal == wanted) {
            wanted.reason = "other".into();
        }
        if let Some((_, counter)) = seen.iter().find(|(refusal, _)| *refusal == wanted) {
            counter.increment(1);
        } else if let Some(counter) = register(labels(&wanted)) {
            counter.increment(1);
            seen.push((wanted, counter));
        }
    }
}

fn labels(refusal: &Refusal) -> [Label; 3] {
    [
        Label::new("refused_by", refusal.by),
        Label::new("reason", refusal.reason.clone()),
        Label::from_static_parts("shadow", if refusal.shadow { "true" } else { "false" }),
    ]
}
