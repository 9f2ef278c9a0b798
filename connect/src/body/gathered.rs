use bytes::{Bytes, BytesMut};

/// The data of a whole body. Data that arrived in one piece are not copied.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    first: Bytes,
    rest: BytesMut,
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
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&data);
    }

    pub(crate) fn take(&mut self) -> Bytes {
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            self.rest.split().freeze()
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
