use bytes::Bytes;

use crate::json::{buffer, finish};

/// So many bytes of messages are not gathered further: what tonic puts into a frame.
pub(crate) const ENOUGH: usize = 32 * 1_024;

/// The data of a whole body. Data that arrived in one piece are not copied.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first: Bytes,
    rest: Vec<u8>,
}

impl Gathered {
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        self.buffer().extend_from_slice(&data);
    }

    /// All data so far, to append more.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.rest.capacity() == 0 {
            self.rest = buffer();
        }
        if !self.first.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        &mut self.rest
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            finish(std::mem::take(&mut self.rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_data_are_gathered_in_order() {
        for pieces in [&["abc"][..], &["a", "bc"], &["", "a", "", "b", "c"]] {
            let mut gathered = Gathered::default();
            for piece in pieces {
                gathered.push(Bytes::from_static(piece.as_bytes()));
            }
            assert_eq!(gathered.len(), 3);
            assert_eq!(gathered.take(), "abc");
            assert_eq!((gathered.len(), gathered.take().len()), (0, 0));
        }
    }
}
