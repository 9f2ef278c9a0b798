//! Bodies of gRPC-Web: messages, and then the trailers in a frame of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::observe::message::{Message, MessageReader};
use crate::observe::protocol::TRAILERS_FLAG;

/// How many bytes of a block of trailers are kept, at most. gRPC suggests as much for headers
/// (gRPC over HTTP/2, "Custom-Metadata").
const TRAILERS_AT_MOST: usize = 8 * 1_024;

/// So much of a line is kept in any case, so that `grpc-status` is found behind whatever came first.
const LINE_AT_LEAST: usize = 64;

/// Reads the body of a request or response of gRPC-Web, however its frames cut it.
#[derive(Debug, Default)]
pub(crate) struct WebReader {
    text: Option<TextDecoder>,
    messages: MessageReader,
    trailers: Option<TrailersReader>,
    /// The trailers are over, or the body is not what it should be: nothing more is read.
    over: bool,
}

impl WebReader {
    pub(crate) fn binary() -> Self {
        Self::default()
    }

    pub(crate) fn text() -> Self {
        Self { text: Some(TextDecoder::default()), ..Self::default() }
    }

    pub(crate) fn read(
        &mut self,
        data: &[u8],
        mut message: impl FnMut(Message),
    ) -> Option<HeaderMap> {
        let Some(mut text) = self.text.take() else { return self.read_binary(data, message) };
        let mut trailers = None;
        let is_text = text.decode(data, |bytes| {
            trailers = trailers.take().or_else(|| self.read_binary(bytes, &mut message));
        });
        self.text = Some(text);
        self.over |= !is_text;
        trailers
    }

    fn read_binary(
        &mut self,
        mut data: &[u8],
        mut message: impl FnMut(Message),
    ) -> Option<HeaderMap> {
        while !data.is_empty() && !self.over {
            if let Some(trailers) = &mut self.trailers {
                let read = trailers.read(data);
                self.over = read.is_some();
                return read;
            }
            if self.messages.is_between_messages() && data[0] & TRAILERS_FLAG != 0 {
                self.trailers = Some(TrailersReader::default());
            } else if let Some(finished) = self.messages.next(&mut data) {
                message(finished);
            }
        }
        None
    }
}

/// Base64 that comes in pieces. Each piece of the sender's was encoded by itself, so padding stands
/// in the middle, and four characters are what can be decoded.
#[derive(Debug, Default)]
struct TextDecoder {
    quad: [u8; 4],
    have: usize,
}

impl TextDecoder {
    /// False says that it is not base64.
    fn decode(&mut self, text: &[u8], mut bytes: impl FnMut(&[u8])) -> bool {
        for &char in text {
            self.quad[self.have] = char;
            self.have += 1;
            if self.have == 4 {
                self.have = 0;
                let mut decoded = [0; 3];
                match STANDARD.decode_slice(self.quad, &mut decoded) {
                    Ok(len) => bytes(&decoded[..len]),
                    Err(_) => return false,
                }
            }
        }
        true
    }
}

/// Reads a block of `name: value` lines of which the beginning says how long it is, and keeps a
/// bounded part of it.
#[derive(Debug, Default)]
struct TrailersReader {
    prefix: [u8; 5],
    have: usize,
    /// How much of the block is still to come, once the prefix is whole.
    missing: usize,
    line: Vec<u8>,
    /// The line is longer than what was kept of it.
    is_cut: bool,
    kept: usize,
    headers: HeaderMap,
}

impl TrailersReader {
    /// The trailers, once they are whole.
    fn read(&mut self, mut data: &[u8]) -> Option<HeaderMap> {
        let take = data.len().min(5 - self.have);
        self.prefix[self.have..self.have + take].copy_from_slice(&data[..take]);
        self.have += take;
        data = &data[take..];
        if self.have < 5 {
            return None;
        }
        if take > 0 {
            let [_, a, b, c, d] = self.prefix;
            self.missing = u32::from_be_bytes([a, b, c, d]) as usize;
        }
        let block = &data[..data.len().min(self.missing)];
        self.missing -= block.len();
        for part in block.split_inclusive(|byte| *byte == b'\n') {
            self.add(part);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
        if self.missing > 0 {
            return None;
        }
        self.end_line();
        Some(std::mem::take(&mut self.headers))
    }

    fn add(&mut self, part: &[u8]) {
        let room = TRAILERS_AT_MOST.saturating_sub(self.kept).max(LINE_AT_LEAST);
        let take = part.len().min(room.saturating_sub(self.line.len()));
        self.line.extend_from_slice(&part[..take]);
        self.is_cut |= take < part.len();
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let is_cut = std::mem::take(&mut self.is_cut);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) else { return };
        // A message is a text for people: they can do with its beginning.
        let fits = self.kept + line.len() <= TRAILERS_AT_MOST;
        let of_use = fits && (!is_cut || name == Status::GRPC_MESSAGE);
        if of_use || (name == Status::GRPC_STATUS && !self.headers.contains_key(&name)) {
            self.kept += line.len();
            self.headers.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;
    use crate::observe::{Protocol, headers};

    fn block(lines: &str) -> Vec<u8> {
        let mut frame = vec![TRAILERS_FLAG];
        frame.extend((lines.len() as u32).to_be_bytes());
        frame.extend(lines.as_bytes());
        frame
    }

    fn message(len: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, 0, 0, len];
        frame.extend(vec![TRAILERS_FLAG; len.into()]);
        frame
    }

    fn read(mut reader: WebReader, frames: &[&[u8]]) -> (Vec<u32>, Option<HeaderMap>) {
        let mut messages = Vec::new();
        let mut trailers = None;
        for frame in frames {
            let read = reader.read(frame, |message| messages.push(message.len));
            trailers = trailers.or(read);
        }
        (messages, trailers)
    }

    fn code(trailers: Option<HeaderMap>) -> Option<Code> {
        headers::code(&trailers?)
    }

    #[test]
    fn trailers_are_found_behind_messages_wherever_two_cuts_fall() {
        let body = [message(3), message(0), block("grpc-status:5\r\ngrpc-message: no%20such\r\n")]
            .concat();
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let frames = [&body[..first], &body[first..second], &body[second..]];
                let (messages, trailers) = read(WebReader::binary(), &frames);
                assert_eq!(messages, [3, 0], "cut at {first} and {second}");
                let trailers = trailers.expect("trailers");
                assert_eq!(headers::code(&trailers), Some(Code::NotFound));
                assert_eq!(headers::message(&trailers).as_deref(), Some("no such"));
            }
        }
    }

    #[test]
    fn text_is_decoded_with_padding_in_its_middle_wherever_a_cut_falls() {
        let pieces = [message(2), message(4), block("grpc-status: 0\r\n")];
        let body = pieces.map(|piece| STANDARD.encode(piece)).concat().into_bytes();
        assert!(body[..body.len() - 4].contains(&b'='), "a piece in the middle is padded");
        for cut in 0..=body.len() {
            let frames = [&body[..cut], &body[cut..]];
            let (messages, trailers) = read(WebReader::text(), &frames);
            assert_eq!((messages, code(trailers)), (vec![2, 4], Some(Code::Ok)), "cut at {cut}");
        }
        let (messages, trailers) = read(WebReader::text(), &[b"!!!!", &body]);
        assert_eq!((messages, trailers), (vec![], None), "what is no base64 is not read on");
    }

    #[test]
    fn a_status_is_found_behind_more_than_is_kept() {
        let long = "x".repeat(100_000);
        for lines in [
            format!("grpc-message:{long}\r\ngrpc-status:13\r\n"),
            format!("grpc-status:13\r\ngrpc-message:{long}\r\n"),
            format!("{long}\r\ngrpc-status:13\r\n"),
            format!("a:b\r\n{}GRPC-Status: 13", "x-y: z\r\n".repeat(20_000)),
        ] {
            let (_, trailers) = read(WebReader::binary(), &[&block(&lines)]);
            let trailers = trailers.expect("trailers");
            assert_eq!(headers::code(&trailers), Some(Code::Internal), "{lines:.20}");
            let kept = trailers.iter().map(|(name, value)| name.as_str().len() + value.len());
            assert!(kept.sum::<usize>() <= TRAILERS_AT_MOST + LINE_AT_LEAST);
        }
        let (_, trailers) =
            read(WebReader::binary(), &[&block(&format!("grpc-message:{long}\r\ngrpc-status:2"))]);
        let text = headers::message(&trailers.expect("trailers")).map(|text| text.len());
        assert!(text > Some(8_000), "the beginning of a long message is kept");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut sent = HeaderMap::new();
        let status = Status::not_found("nothing: here\n");
        status.add_header(&mut sent).expect("headers");
        for (protocol, reader) in
            [(Protocol::GrpcWeb, WebReader::binary()), (Protocol::GrpcWebText, WebReader::text())]
        {
            let frame = protocol.last_frame(sent.clone()).into_data().expect("data");
            assert_eq!(read(reader, &[&frame]).1.as_ref(), Some(&sent));
        }
        let frame = Protocol::Grpc.last_frame(sent.clone()).into_trailers();
        assert_eq!(frame.ok().as_ref(), Some(&sent));
    }

    #[test]
    fn nothing_is_read_behind_the_trailers() {
        let body = [block(""), message(3), block("grpc-status:5")].concat();
        assert_eq!(read(WebReader::binary(), &[&body]), (vec![], Some(HeaderMap::new())));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_little_is_kept(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16),
            text: bool,
        ) {
            let mut reader = if text { WebReader::text() } else { WebReader::binary() };
            for frame in &frames {
                let _ = reader.read(frame, |_| ());
            }
            let kept = reader.trailers.map_or(0, |trailers| trailers.line.len() + trailers.kept);
            prop_assert!(kept <= TRAILERS_AT_MOST + LINE_AT_LEAST);
        }
    }
}
