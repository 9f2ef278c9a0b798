//! Compression of messages.

use std::cell::RefCell;
use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use tonic::Status;

/// gzip without a name and a time, of an unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];

thread_local! {
    /// It has some 300 KiB. To create it takes longer than to compress a small message.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Decompresses at most this number of bytes.
///
/// # Errors
///
/// `invalid_argument` if the bytes are not gzip, `resource_exhausted` if there are more.
pub(crate) fn decompress(bytes: &[u8], max: usize) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out);
    if out.len() > max {
        return Err(too_large("decompressed message", max));
    }
    match read {
        Ok(_) => Ok(out.into()),
        Err(_) => Err(Status::invalid_argument("the message is not valid gzip")),
    }
}

/// Compresses quickly rather than tightly.
pub(crate) fn compress(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
    out.extend_from_slice(&HEADER);
    COMPRESS.with_borrow_mut(|compress| deflate(compress, bytes, &mut out));
    let mut crc = Crc::new();
    crc.update(bytes);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    // The length is modulo 2^32.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.into()
}

fn deflate(compress: &mut Compress, bytes: &[u8], out: &mut Vec<u8>) {
    compress.reset();
    loop {
        let read = usize::try_from(compress.total_in()).unwrap_or(bytes.len());
        let rest = bytes.get(read..).unwrap_or_default();
        match compress.compress_vec(rest, out, FlushCompress::Finish) {
            Ok(flate2::Status::Ok | flate2::Status::BufError) => out.reserve(out.len()),
            // Compression without a dictionary does not fail.
            Ok(flate2::Status::StreamEnd) | Err(_) => return,
        }
    }
}

pub(crate) fn too_large(what: &str, max: usize) -> Status {
    Status::resource_exhausted(format!("the {what} is larger than the limit of {max} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_bomb_is_cut_off_at_the_limit() {
        let bomb = compress(&vec![0; 10_000_000]);
        assert!(bomb.len() < 100_000);
        let error = decompress(&bomb, 1_000).expect_err("too large");
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(decompress(&bomb, 10_000_000).expect("fits").len(), 10_000_000);
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_decompressed(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let compressed = compress(&bytes);
            prop_assert_eq!(decompress(&compressed, bytes.len()).expect("gzip"), &bytes[..]);
            if let Some(most) = compressed.len().checked_sub(1) {
                prop_assert!(decompress(&compressed[..most], bytes.len()).is_err(), "cut off");
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&bytes, 1_000);
        }
    }
}
