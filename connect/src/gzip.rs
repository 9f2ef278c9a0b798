//! Compression of messages.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tonic::Status;

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
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_or_else(|_| Bytes::new(), Bytes::from)
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
