//! Handwritten HTTP/2 frames that no client library would send.

pub const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const GO_AWAY: u8 = 7;

/// The preface, and empty settings.
pub fn hello() -> Vec<u8> {
    hello_with(&[])
}

/// Settings with an initial window of 0.
pub fn hello_without_window() -> Vec<u8> {
    const INITIAL_WINDOW_SIZE: u8 = 4;
    hello_with(&[0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0])
}

fn hello_with(settings: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, settings));
    bytes
}

/// The headers of a call, without the end of its stream.
pub fn headers(stream: u32, path: &str) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.push(u8::try_from(text.len()).expect("short"));
        bytes.extend(text.as_bytes());
    }
    // `:method: POST`, `:scheme: http`, then literals: a known name by its number, or 0 and the name.
    let mut headers = vec![0x83, 0x86, 0x04];
    text(&mut headers, path);
    headers.push(0x01);
    text(&mut headers, "localhost");
    headers.extend([0x0f, 0x10]);
    text(&mut headers, "application/grpc");
    headers.push(0x00);
    text(&mut headers, "te");
    text(&mut headers, "trailers");
    const END_HEADERS: u8 = 4;
    frame(HEADERS, END_HEADERS, stream, &headers)
}

/// One empty message, and the end of the stream.
pub fn empty_message(stream: u32) -> Vec<u8> {
    const END_STREAM: u8 = 1;
    frame(0, END_STREAM, stream, &[0; 5])
}

pub fn cancel(stream: u32) -> Vec<u8> {
    const CANCEL: u32 = 8;
    frame(RESET, 0, stream, &CANCEL.to_be_bytes())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The kind and the stream of each whole frame.
pub fn read(mut bytes: &[u8]) -> Vec<(u8, u32)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, s, t, u, v, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(rest) = rest.get(length..) else { break };
        frames.push((*kind, u32::from_be_bytes([*s, *t, *u, *v])));
        bytes = rest;
    }
    frames
}
