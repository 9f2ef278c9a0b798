use std::sync::{Mutex, PoisonError};

use metrics::{Counter, Label};
use tonic_call::Refusal;

/// How many refusals of one method are told apart, at most. Later ones have the reason `other`: a
/// reason is another crate's text, and may not be as fixed as it should.
const TOLD_APART: usize = 100;

/// Refusals of one method, by layer, reason and whether they were real.
#[derive(Default)]
pub(crate) struct Refused(Mutex<Vec<(Refusal, Counter)>>);

impl Refused {
    /// Counts one. `register` is asked once for each that is told apart.
    pub(crate) fn count(
        &self,
        refusal: &Refusal,
        register: impl FnOnce([Label; 3]) -> Option<Counter>,
    ) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = refusal.clone();
        if seen.len() >= TOLD_APART && !seen.iter().any(|(refusal, _)| *refusal == wanted) {
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
