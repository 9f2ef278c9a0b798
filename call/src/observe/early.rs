use crate::observe::{Batch, Message};

/// Request messages that pass before it is known which method they are counted for, or whether the request is a
/// call at all.
///
/// The first [1,024](Self::MAX_KEPT) are kept one by one; further messages only count in the sums, since
/// the caller controls how many there are.
#[derive(Clone, Debug, Default)]
pub struct EarlyMessages {
    kept: Vec<Message>,
    total: Batch,
}

impl EarlyMessages {
    /// The maximum number of messages that are kept one by one.
    pub const MAX_KEPT: usize = 1_024;

    /// Adds a message: see [`Call::message`](crate::Call::message).
    pub fn add(&mut self, message: Message) {
        if self.kept.len() < Self::MAX_KEPT {
            self.kept.push(message);
        }
    }

    /// Adds the sums of one frame: see [`Call::batch`](crate::Call::batch).
    pub fn add_batch(&mut self, batch: Batch) {
        self.total.messages += batch.messages;
        self.total.bytes += batch.bytes;
    }

    /// The messages that were kept, in order.
    pub fn messages(&self) -> &[Message] {
        &self.kept
    }

    /// The sums over all messages; `None` if there were none.
    pub fn batch(&self) -> Option<Batch> {
        (self.total.messages > 0).then_some(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_one_by_one_and_all_are_summed() {
        let mut early = EarlyMessages::default();
        assert_eq!(early.batch(), None);
        for len in 0..100_000 {
            early.add(Message { compressed: false, len });
            early.add_batch(Batch { messages: 1, bytes: len.into() });
        }
        assert_eq!(early.messages().len(), EarlyMessages::MAX_KEPT);
        let sum = (0..100_000_u64).sum();
        assert_eq!(early.batch(), Some(Batch { messages: 100_000, bytes: sum }));
    }
}
