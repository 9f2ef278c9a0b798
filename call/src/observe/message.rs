//! Finds messages by the 5-byte prefix of each.

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Response,
}

/// One complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Whether the compressed flag of its prefix is set.
    pub compressed: bool,
    /// Its length on the wire in bytes, without the prefix.
    pub len: u32,
}

impl Message {
    /// The message with this prefix.
    fn of([flags, a, b, c, d]: [u8; 5]) -> Self {
        Self { compressed: flags & 1 == 1, len: u32::from_be_bytes([a, b, c, d]) }
    }
}

/// The messages that one data frame completed. A stream that is faster than its reader has many per frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Batch {
    /// The number of messages; at least one when reported.
    pub messages: u64,
    /// Their total length on the wire in bytes, without the prefixes.
    pub bytes: u64,
}

impl Batch {
    pub(crate) fn add(&mut self, message: Message) {
        self.messages += 1;
        self.bytes += u64::from(message.len);
    }
}

/// Finds the messages in a body, however it is split into frames.
///
/// gRPC over HTTP/2, "Length-Prefixed-Message": one byte of flags, then the length in four bytes, big-endian.
/// The boundaries of DATA frames have no meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageReader {
    prefix: [u8; 5],
    /// How many bytes of the prefix have arrived.
    have: u8,
    /// How many bytes of the message are missing, once the prefix is complete.
    missing: u32,
}

impl MessageReader {
    pub(crate) fn read(&mut self, mut data: &[u8], mut message: impl FnMut(Message)) {
        while !data.is_empty() {
            if let Some(finished) = self.next(&mut data) {
                message(finished);
            }
        }
    }

    /// Reads to the end of the current message, or all data if the message does not end in it.
    pub(crate) fn next(&mut self, data: &mut &[u8]) -> Option<Message> {
        // Nearly every message lies whole in one frame. Its prefix is not copied.
        if self.have == 0
            && let [flags, a, b, c, d, rest @ ..] = *data
            && let message = Message::of([*flags, *a, *b, *c, *d])
            && let Some(rest) = rest.get(message.len as usize..)
        {
            *data = rest;
            return Some(message);
        }
        self.next_in_parts(data)
    }

    /// The same for a message that continues, or begins, in another frame.
    fn next_in_parts(&mut self, data: &mut &[u8]) -> Option<Message> {
        if self.have < 5 {
            let have = usize::from(self.have);
            let take = data.len().min(5 - have);
            self.prefix[have..have + take].copy_from_slice(&data[..take]);
            self.have += take as u8;
            *data = &data[take..];
            if self.have < 5 {
                return None;
            }
            self.missing = Message::of(self.prefix).len;
        }
        let take = data.len().min(self.missing as usize);
        self.missing -= take as u32;
        *data = &data[take..];
        if self.missing > 0 {
            return None;
        }
        self.have = 0;
        Some(Message::of(self.prefix))
    }

    /// The length of the message whose prefix is complete, and which has not ended.
    pub(crate) fn announced(&self) -> Option<u32> {
        (self.have == 5).then(|| Message::of(self.prefix).len)
    }

    /// Whether the next byte is the first of a message's prefix.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.have == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain decoder: the whole body at once.
    fn decode(mut body: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while let [flags, a, b, c, d, rest @ ..] = body {
            let len = u32::from_be_bytes([*a, *b, *c, *d]);
            let Some(rest) = rest.get(len as usize..) else { break };
            messages.push(Message { compressed: flags & 1 == 1, len });
            body = rest;
        }
        messages
    }

    fn read(frames: &[&[u8]]) -> Vec<Message> {
        let mut reader = MessageReader::default();
        let mut messages = Vec::new();
        for frame in frames {
            reader.read(frame, |message| messages.push(message));
        }
        messages
    }

    fn encode(messages: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (compressed, payload) in messages {
            body.push(u8::from(*compressed));
            body.extend((payload.len() as u32).to_be_bytes());
            body.extend(payload);
        }
        body
    }

    #[test]
    fn three_messages_are_found_wherever_two_cuts_fall() {
        let body = encode(&[(false, vec![1; 7]), (true, vec![]), (false, vec![2; 3])]);
        let expected = decode(&body);
        assert_eq!(expected.len(), 3);
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let frames = [&body[..first], &body[first..second], &body[second..]];
                assert_eq!(read(&frames), expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_message_is_counted_when_its_last_byte_has_arrived() {
        let body = encode(&[(false, vec![0; 4])]);
        assert_eq!(read(&[&body[..8]]), []);
        assert_eq!(read(&[&body[..8], &body[8..]]), [Message { compressed: false, len: 4 }]);
    }

    #[test]
    fn the_longest_length_does_not_overflow() {
        assert_eq!(read(&[&[0, 255, 255, 255, 255], &[0; 100]]), []);
    }

    proptest! {
        #[test]
        fn any_framing_gives_what_the_plain_decoder_gives(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let body = encode(&messages);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(body.len());
            let mut from = 0;
            let frames: Vec<&[u8]> = cuts
                .into_iter()
                .map(|to| { let frame = &body[from..to]; from = to; frame })
                .collect();
            let found = read(&frames);
            prop_assert_eq!(&found, &decode(&body));
            prop_assert_eq!(found.len(), messages.len());
        }

        #[test]
        fn no_bytes_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let body = frames.concat();
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(read(&frames), decode(&body));
        }
    }
}
