//! Finds SETTINGS and GOAWAY among the HTTP/2 frames that a server sends.

use std::fmt::Write as _;

use tonic_call::sanitize;

/// A frame that changes the state of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameEvent {
    /// SETTINGS, the first frame of a server (RFC 9113, section 3.4).
    Settings,
    /// GOAWAY: the server answers no new stream (section 6.8). The text describes it.
    Goaway(String),
    /// The first bytes are those of another protocol. The text names it.
    OtherProtocol(&'static str),
}

/// Follows the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How many bytes of the header are here.
    have: usize,
    /// How many bytes of the payload are still to come.
    payload: usize,
    /// The beginning of the payload, if it is that of a GOAWAY.
    goaway: Option<Vec<u8>>,
    peer: Peer,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Peer {
    #[default]
    Silent,
    SpeaksHttp2,
    /// The client is about to close the connection.
    SpeaksSomethingElse,
}

const HEADER: usize = 9;
/// Where the type is in a header.
const TYPE: usize = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The last stream's number and the error code, before the debug data.
const GOAWAY_FIELDS: usize = 8;
const MAX_DEBUG_DATA: usize = 128;

impl Frames {
    /// Reads bytes that have arrived, in any portions.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(FrameEvent)) {
        while !bytes.is_empty() && self.peer != Peer::SpeaksSomethingElse {
            if self.payload == 0 {
                let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.have));
                self.header[self.have..self.have + part.len()].copy_from_slice(part);
                self.have += part.len();
                bytes = rest;
                if self.peer == Peer::Silent && self.have > TYPE && self.header[TYPE] != SETTINGS {
                    // Not later: an alert of TLS is shorter than the header of a frame.
                    self.peer = Peer::SpeaksSomethingElse;
                    found(FrameEvent::OtherProtocol(describe_protocol(&self.header)));
                } else if self.have == HEADER {
                    self.have = 0;
                    self.begin(&mut found);
                }
            } else {
                let (part, rest) = bytes.split_at(bytes.len().min(self.payload));
                self.payload -= part.len();
                bytes = rest;
                if let Some(goaway) = &mut self.goaway {
                    let room = GOAWAY_FIELDS + MAX_DEBUG_DATA - goaway.len();
                    goaway.extend_from_slice(&part[..part.len().min(room)]);
                }
            }
            if self.payload == 0
                && let Some(goaway) = self.goaway.take()
            {
                found(FrameEvent::Goaway(describe(&goaway)));
            }
        }
    }

    fn begin(&mut self, found: &mut impl FnMut(FrameEvent)) {
        let [high, middle, low, kind, ..] = self.header;
        self.payload = u32::from_be_bytes([0, high, middle, low]) as usize;
        if self.peer == Peer::Silent {
            self.peer = Peer::SpeaksHttp2;
            found(FrameEvent::Settings);
        } else if kind == GOAWAY {
            self.goaway = Some(Vec::new());
        }
    }
}

/// What a server speaks whose first bytes are these.
fn describe_protocol(beginning: &[u8; HEADER]) -> &'static str {
    match beginning {
        // A record of TLS (RFC 8446, section 5.1): a type, and the version.
        [20..=23, 3, ..] => "the server answers with TLS, not with HTTP/2 in plain text",
        [b'H', b'T', b'T', b'P', ..] => "the server answers with HTTP/1, not with HTTP/2",
        _ => "the server does not answer with HTTP/2",
    }
}

/// Such as `the server sent GOAWAY ENHANCE_YOUR_CALM "too_many_pings"`.
fn describe(goaway: &[u8]) -> String {
    let mut text = "the server sent GOAWAY".to_owned();
    let Some((fields, debug_data)) = goaway.split_at_checked(GOAWAY_FIELDS) else { return text };
    let code = fields[4..].try_into().map_or(0, u32::from_be_bytes);
    // Writing to a string cannot fail.
    let _ = write!(text, " {:?}", h2::Reason::from(code));
    if !debug_data.is_empty() {
        let _ = write!(text, " \"{}\"", sanitize(debug_data));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame
    }

    fn goaway(code: u8, debug_data: &[u8]) -> Vec<u8> {
        frame(GOAWAY, &[&[0, 0, 0, 0, 0, 0, 0, code], debug_data].concat())
    }

    fn found(portions: &[&[u8]]) -> Vec<FrameEvent> {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for portion in portions {
            frames.read(portion, |found| all.push(found));
        }
        all
    }

    #[test]
    fn settings_come_first() {
        assert_eq!(found(&[&frame(SETTINGS, b"123456")]), [FrameEvent::Settings]);
        assert_eq!(found(&[&frame(SETTINGS, b""), &frame(SETTINGS, b"")]), [FrameEvent::Settings]);
    }

    #[test]
    fn other_protocols_are_named_and_have_no_frames() {
        let name = |bytes: &[u8]| match &*found(&[bytes, &frame(SETTINGS, b"")]) {
            [FrameEvent::OtherProtocol(name)] => *name,
            other => panic!("{other:?}"),
        };
        assert!(name(b"HTTP/1.1 400 Bad Request\r\n\r\n").contains("HTTP/1,"));
        assert!(name(&[21, 3, 3, 0, 2, 2, 22]).contains("TLS"));
        assert_eq!(name(&frame(0, b"data")), "the server does not answer with HTTP/2");
    }

    #[test]
    fn a_goaway_is_described() {
        let text =
            |code, debug_data| match found(&[&frame(SETTINGS, b""), &goaway(code, debug_data)])
                .pop()
            {
                Some(FrameEvent::Goaway(text)) => text,
                other => panic!("{other:?}"),
            };
        assert_eq!(text(0, b""), "the server sent GOAWAY NO_ERROR");
        assert_eq!(
            text(11, b"too_many_pings"),
            r#"the server sent GOAWAY ENHANCE_YOUR_CALM "too_many_pings""#
        );
        assert_eq!(text(0, b"a\nb"), r#"the server sent GOAWAY NO_ERROR "a\nb""#);
        assert!(text(0, &[b'x'; 10_000]).len() < 200);
    }

    #[test]
    fn a_goaway_that_is_too_short_is_one_all_the_same() {
        let all = found(&[&frame(SETTINGS, b""), &frame(GOAWAY, b"abc")]);
        assert_eq!(all[1], FrameEvent::Goaway("the server sent GOAWAY".to_owned()));
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(sizes in prop::collection::vec(1_usize..12, 1..60)) {
            let bytes = [
                frame(SETTINGS, b"123456"), frame(0, b"some data"), frame(8, b"1234"),
                goaway(2, b"bye"), frame(0, &[7; 70]), goaway(0, b""),
            ].concat();
            let mut portions = Vec::new();
            let mut rest = &bytes[..];
            for size in sizes {
                let (portion, later) = rest.split_at(size.min(rest.len()));
                portions.push(portion);
                rest = later;
            }
            portions.push(rest);
            prop_assert_eq!(found(&portions), found(&[&bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            found(&[&frame(SETTINGS, b""), &bytes]);
        }
    }
}
