use std::collections::VecDeque;

use bytes::Bytes;

/// The data of a request, in order. The first frame needs no allocation: a unary request has no other.
#[derive(Default)]
pub(super) struct Frames {
    first: Option<Bytes>,
    /// Empty while there is no first frame.
    others: VecDeque<Bytes>,
}

impl Frames {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Bytes> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.others.get(index),
        }
    }

    pub(super) fn push_back(&mut self, data: Bytes) {
        match self.first {
            None => self.first = Some(data),
            Some(_) => self.others.push_back(data),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Bytes> {
        let next = self.others.pop_front();
        std::mem::replace(&mut self.first, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_the_order_in_which_they_went_in() {
        let mut frames = Frames::default();
        for round in 0..3_u8 {
            for number in 0..4 {
                assert_eq!(frames.len(), usize::from(number));
                frames.push_back(Bytes::from(vec![round, number]));
            }
            for number in 0..4 {
                let index = usize::from(number);
                assert_eq!(frames.get(index).map(|data| data[1]), Some(number));
            }
            assert!(frames.get(4).is_none());
            for number in 0..4 {
                assert_eq!(frames.pop_front().as_deref(), Some(&[round, number][..]));
            }
            assert!(frames.pop_front().is_none());
        }
    }
}
