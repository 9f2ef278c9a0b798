//! The messages between the test runner and this program: four bytes of length, and the message.

use std::io::{self, Read, Write};

use prost::Message as _;

use crate::proto::{ServerCompatRequest, ServerCompatResponse};

/// Reads the configuration of the server.
pub(crate) fn read(input: &mut impl Read) -> io::Result<ServerCompatRequest> {
    let mut prefix = [0; 4];
    input.read_exact(&mut prefix)?;
    let mut message = Vec::new();
    let length = u32::from_be_bytes(prefix);
    input.take(length.into()).read_to_end(&mut message)?;
    ServerCompatRequest::decode(message.as_slice()).map_err(io::Error::other)
}

/// Writes where the server listens.
pub(crate) fn write(output: &mut impl Write, response: &ServerCompatResponse) -> io::Result<()> {
    let message = response.encode_to_vec();
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_be_bytes())?;
    output.write_all(&message)?;
    output.flush()
}
