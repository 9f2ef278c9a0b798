//! Messages behind a prefix of five bytes: gRPC's frames and Connect's envelopes, which differ only in their flags.

use bytes::{BufMut, Bytes, BytesMut};

/// The length of a prefix: one byte of flags, then the length of the message in four bytes, big-endian.
pub(crate) const PREFIX_LEN: usize = 5;

/// Marks a compressed message.
pub(crate) const COMPRESSED: u8 = 0b01;
/// Marks the last envelope of a Connect stream of responses.
pub(crate) const END_OF_STREAM: u8 = 0b10;

/// A message with its prefix.
#[derive(Debug)]
pub(crate) struct Prefixed {
    pub(crate) flags: u8,
    whole: Bytes,
}

impl Prefixed {
    /// The message with its prefix, as it was received.
    pub(crate) fn into_whole(self) -> Bytes {
        self.whole
    }

    pub(crate) fn message(mut self) -> Bytes {
        self.whole.split_off(PREFIX_LEN)
    }

    pub(crate) fn as_message(&self) -> &[u8] {
        &self.whole[PREFIX_LEN..]
    }
}

/// A message with a prefix. `None` if it is too long for one.
pub(crate) fn with_prefix(flags: u8, message: &[u8]) -> Option<Bytes> {
    let len = u32::try_from(message.len()).ok()?;
    let mut whole = BytesMut::with_capacity(PREFIX_LEN + message.len());
    whole.put_u8(flags);
    whole.put_u32(len);
    whole.put_slice(message);
    Some(whole.freeze())
}

/// Appends a message that `write` appends, after a prefix without flags. Nothing is appended, and the result is `false`
/// or the error, if it is too long for a prefix or fails.
pub(crate) fn append<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<bool, E> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_LEN]);
    let written = write(out);
    match (u32::try_from(out.len() - start - PREFIX_LEN), &written) {
        (Ok(len), Ok(())) => {
            out[start + 1..start + PREFIX_LEN].copy_from_slice(&len.to_be_bytes());
            Ok(true)
        }
        _ => {
            out.truncate(start);
            written.map(|()| false)
        }
    }
}

/// Splits data into messages, however it arrives. Holds at most one incomplete message, besides what it was given
/// last. A message that arrived in one piece is not copied.
#[derive(Debug, Default)]
pub(crate) struct PrefixReader {
    chunk: Bytes,
    incomplete: BytesMut,
}

impl PrefixReader {
    /// Adds data, when [`next`](Self::next) has returned `None`.
    pub(crate) fn push(&mut self, data: Bytes) {
        self.chunk = data;
    }

    /// Whether all data so far were whole messages.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.chunk.is_empty() && self.incomplete.is_empty()
    }

    /// The next whole message. `check` sees the flags and length of a message before it is whole.
    pub(crate) fn next<E>(
        &mut self,
        check: impl Fn(u8, usize) -> Result<(), E>,
    ) -> Result<Option<Prefixed>, E> {
        if self.incomplete.is_empty() {
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let Some((flags, len)) = prefix_of(&self.chunk) else {
                self.keep(usize::MAX);
                return Ok(None);
            };
            check(flags, len)?;
            if self.chunk.len() - PREFIX_LEN < len {
                self.keep(usize::MAX);
                return Ok(None);
            }
            return Ok(Some(Prefixed { flags, whole: self.chunk.split_to(PREFIX_LEN + len) }));
        }
        self.keep(PREFIX_LEN.saturating_sub(self.incomplete.len()));
        let Some((flags, len)) = prefix_of(&self.incomplete) else { return Ok(None) };
        check(flags, len)?;
        let missing = (PREFIX_LEN + len).saturating_sub(self.incomplete.len());
        self.keep(missing);
        if self.incomplete.len() < PREFIX_LEN + len {
            return Ok(None);
        }
        Ok(Some(Prefixed { flags, whole: self.incomplete.split().freeze() }))
    }

    /// The whole messages that come next, with their prefixes and in one piece, as far as `accepts` takes them.
    pub(crate) fn next_many(&mut self, accepts: impl Fn(u8, usize) -> bool) -> Option<Bytes> {
        let mut len = 0;
        while self.incomplete.is_empty() {
            let Some((flags, message)) = prefix_of(&self.chunk[len..]) else { break };
            if !accepts(flags, message) || self.chunk.len() - len - PREFIX_LEN < message {
                break;
            }
            len += PREFIX_LEN + message;
        }
        (len > 0).then(|| self.chunk.split_to(len))
    }

    /// Moves up to this number of bytes to the incomplete message.
    fn keep(&mut self, most: usize) {
        let part = self.chunk.split_to(most.min(self.chunk.len()));
        self.incomplete.extend_from_slice(&part);
    }
}

fn prefix_of(data: &[u8]) -> Option<(u8, usize)> {
    let [flags, a, b, c, d, ..] = data else { return None };
    Some((*flags, usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn read(frames: &[&[u8]]) -> (Vec<(u8, Vec<u8>)>, bool) {
        let mut reader = PrefixReader::default();
        let mut found = Vec::new();
        for frame in frames {
            reader.push(Bytes::copy_from_slice(frame));
            while let Ok(Some(read)) = reader.next(|_, _| Ok::<_, Infallible>(())) {
                found.push((read.flags, read.as_message().to_vec()));
                assert_eq!(read.into_whole().len(), PREFIX_LEN + found[found.len() - 1].1.len());
            }
        }
        (found, reader.is_between_messages())
    }

    #[test]
    fn messages_are_found_wherever_two_cuts_fall() {
        let sent = [(0, vec![1; 7]), (1, vec![]), (2, vec![2; 3])];
        let wire = sent.iter().map(|(flags, message)| with_prefix(*flags, message).expect("short"));
        let wire: Vec<u8> = wire.flatten().collect();
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let frames = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(read(&frames), (sent.to_vec(), true), "cut at {first} and {second}");
            }
        }
        for most in 1..wire.len() {
            let ends = [0, PREFIX_LEN + 7, 2 * PREFIX_LEN + 7];
            assert_eq!(read(&[&wire[..most]]).1, ends.contains(&most), "cut off at {most}");
        }
    }

    #[test]
    fn messages_are_passed_together_up_to_the_first_that_is_not_accepted_or_not_whole() {
        let wire: Vec<u8> = [(0, &b"ab"[..]), (0, b""), (1, b"c"), (0, b"d")]
            .iter()
            .flat_map(|(flags, message)| with_prefix(*flags, message).expect("short"))
            .collect();
        for (most, passed) in [(wire.len(), 12), (12, 12), (11, 7), (7, 7), (6, 0), (4, 0)] {
            let mut reader = PrefixReader::default();
            reader.push(Bytes::copy_from_slice(&wire[..most]));
            let whole = reader.next_many(|flags, _| flags == 0).unwrap_or_default();
            assert_eq!(whole, wire[..passed], "of {most}");
            assert_eq!(reader.next_many(|flags, _| flags == 0), None);
        }
    }

    #[test]
    fn a_message_is_appended_with_its_prefix_or_not_at_all() {
        let mut out = b"abc".to_vec();
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"message");
            Ok::<_, ()>(())
        };
        assert_eq!(append(&mut out, write), Ok(true));
        assert_eq!(out, b"abc\0\0\0\0\x07message");
        let fail = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"mess");
            Err("malformed")
        };
        assert_eq!(append(&mut out, fail), Err("malformed"));
        assert_eq!(out, b"abc\0\0\0\0\x07message");
    }

    #[test]
    fn a_prefix_is_checked_before_its_message_is_kept() {
        let mut reader = PrefixReader::default();
        reader.push(Bytes::from_static(&[0, 255, 255]));
        assert!(matches!(reader.next(|_, _| Err(())), Ok(None)));
        reader.push(Bytes::from_static(&[255, 255, 1, 2, 3]));
        assert_eq!(reader.next(|flags, len| Err((flags, len))).err(), Some((0, 0xFFFF_FFFF)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16),
        ) {
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let _ = read(&frames);
        }
    }
}
