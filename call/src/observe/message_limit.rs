use crate::observe::message::MessageReader;

/// Finds messages that are longer than a limit, by their prefix, before they have arrived.
#[derive(Clone, Debug)]
pub struct MessageLimit {
    reader: MessageReader,
    max: u64,
}

impl MessageLimit {
    /// Allows messages of up to this number of bytes on the wire, without the prefix.
    pub fn new(max: u64) -> Self {
        Self { reader: MessageReader::default(), max }
    }

    /// The limit.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Looks at the next data of a body.
    ///
    /// # Errors
    ///
    /// The length of the first message that is too long.
    pub fn check(&mut self, mut data: &[u8]) -> Result<(), u32> {
        while !data.is_empty() {
            let finished = self.reader.next(&mut data).map(|message| message.len);
            if let Some(len) = finished.or_else(|| self.reader.announced())
                && u64::from(len) > self.max
            {
                return Err(len);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two messages of these lengths.
    fn body(lengths: [u32; 2]) -> Vec<u8> {
        let message = |len: u32| [&[0], &len.to_be_bytes()[..], &vec![7; len as usize]].concat();
        lengths.map(message).concat()
    }

    #[test]
    fn a_message_over_the_limit_is_found_however_the_body_is_split() {
        for size in 1..20 {
            let check = |lengths, max| {
                let mut limit = MessageLimit::new(max);
                body(lengths).chunks(size).try_for_each(|chunk| limit.check(chunk))
            };
            assert_eq!(check([4, 4], 4), Ok(()));
            assert_eq!(check([4, 5], 4), Err(5));
            assert_eq!(check([5, 4], 4), Err(5));
            assert_eq!(check([0, 0], 0), Ok(()));
        }
    }

    #[test]
    fn a_message_is_refused_as_soon_as_its_prefix_is_there() {
        let mut limit = MessageLimit::new(1_000);
        assert_eq!(limit.check(&[0, 0, 0, 4]), Ok(()));
        assert_eq!(limit.check(&[0]), Err(1_024));
    }
}
