//! gRPC-Web bodies: messages, followed by a frame with the trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::observe::message::{Message, MessageReader};
use crate::observe::protocol::TRAILERS_FLAG;

/// The maximum number of bytes kept of a trailers frame. The same as gRPC's suggested limit for headers (gRPC
/// over HTTP/2, "Custom-Metadata").
const MAX_TRAILERS_BYTES: usize = 8 * 1_024;

/// The minimum number of bytes kept of each line, so that `grpc-status` is found after any number of other
/// lines.
const MIN_LINE_BYTES: usize = 64;

/// Reads the body of a gRPC-Web request or response, however it is split into frames.
#[derive(Debug, Default)]
pub(crate) struct WebReader {
    text: Option<TextDecoder>,
    messages: MessageReader,
    trailers: Option<TrailersReader>,
    /// After the trailers, or after malformed data: nothing more is read.
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

/// Decodes base64 that arrives in pieces. The sender encodes each frame separately, so padding can occur in the
/// middle; therefore four characters at a time are decoded.
#[derive(Debug, Default)]
struct TextDecoder {
    quad: [u8; 4],
    have: usize,
}

impl TextDecoder {
    /// Returns false if the text is not base64.
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

/// Reads a length-prefixed block of `name: value` lines, and keeps a bounded part of it.
#[derive(Debug, Default)]
struct TrailersReader {
    prefix: [u8; 5],
    have: usize,
    /// How many bytes of the block are missing, once the prefix is complete.
    missing: usize,
    line: Vec<u8>,
    /// Whether the line is longer than the part that was kept.
    is_cut: bool,
    kept: usize,
    headers: HeaderMap,
}

impl TrailersReader {
    /// Returns the trailers once they are complete.
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
        let room = MAX_TRAILERS_BYTES.saturating_sub(self.kept).max(MIN_LINE_BYTES);
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
        // `grpc-message` is text for people, and useful even if it is cut.
        let fits = self.kept + line.len() <= MAX_TRAILERS_BYTES;
        let is_useful = fits && (!is_cut || name == Status::GRPC_MESSAGE);
        if is_useful || (name == Status::GRPC_STATUS && !self.headers.contains_key(&name)) {
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
    fn trailers_are_found_after_messages_wherever_two_cuts_fall() {
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
    fn a_status_is_found_after_more_lines_than_are_kept() {
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
            assert!(kept.sum::<usize>() <= MAX_TRAILERS_BYTES + MIN_LINE_BYTES);
        }
        let (_, trailers) =
            read(WebReader::binary(), &[&block(&format!("grpc-message:{long}\r\ngrpc-status:2"))]);
        let text = headers::message(&trailers.expect("trailers")).map(|text| text.len());
        assert!(text > Some(8_000), "the beginning of a long message is kept");
    }

    #[test]
    fn trailers_that_are_written_are_read_back() {
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
    fn nothing_is_read_after_the_trailers() {
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
            prop_assert!(kept <= MAX_TRAILERS_BYTES + MIN_LINE_BYTES);
        }
    }
}
