//! Compression of messages.

use std::cell::RefCell;
use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};
use tonic::Status;

/// gzip without a name and a time, of an unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];

thread_local! {
    /// It has some 300 KiB. To create it takes longer than to compress a small message.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    /// It has some 40 KiB.
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Decompresses at most this number of bytes.
///
/// # Errors
///
/// `invalid_argument` if the bytes are not gzip, `resource_exhausted` if there are more.
pub(crate) fn decompress(bytes: &[u8], max: usize) -> Result<Bytes, Status> {
    match DECOMPRESS.with_borrow_mut(|decompress| one_member(decompress, bytes, max)) {
        Some(out) => out,
        None => members(bytes, max),
    }
}

/// What nearly all serializers write: one member, whose header has nothing optional. `None` for anything else.
fn one_member(
    decompress: &mut Decompress,
    bytes: &[u8],
    max: usize,
) -> Option<Result<Bytes, Status>> {
    let (&[0x1F, 0x8B, 8, 0, ..], deflated) = bytes.split_at_checked(HEADER.len())? else {
        return None;
    };
    // The length of the message modulo 2^32, if this is one member. The caller can write any other one there.
    let hint = deflated.last_chunk().map_or(0, |len| u32::from_le_bytes(*len)) as usize;
    let mut out = Vec::with_capacity(hint.min(max).min(8 * deflated.len()));
    decompress.reset(false);
    loop {
        let read = usize::try_from(decompress.total_in()).ok()?;
        let (rest, written) = (deflated.get(read..)?, out.len());
        let status = decompress.decompress_vec(rest, &mut out, FlushDecompress::None);
        let is_end = matches!(status, Ok(flate2::Status::StreamEnd));
        if out.len() > max {
            return Some(Err(too_large("decompressed message", max)));
        }
        let rest = deflated.get(usize::try_from(decompress.total_in()).ok()?..)?;
        if is_end {
            let &[a, b, c, d, ..] = rest else { return Some(Err(not_gzip())) };
            let mut crc = Crc::new();
            crc.update(&out);
            // The length is modulo 2^32.
            let is_whole = u32::from_le_bytes([a, b, c, d]) == crc.sum()
                && rest[4..].first_chunk() == Some(&(out.len() as u32).to_le_bytes());
            return match rest.len() {
                8 if is_whole => Some(Ok(out.into())),
                ..=8 => Some(Err(not_gzip())),
                // Another member, perhaps.
                _ => None,
            };
        }
        let is_full = out.len() == out.capacity();
        let is_stuck = out.len() == written && deflated.len() - rest.len() == read;
        if status.is_err() || (is_stuck && !is_full) {
            return Some(Err(not_gzip()));
        }
        if is_full {
            // One byte beyond the limit shows that there is more.
            let most = max.saturating_add(1) - out.len();
            out.reserve_exact(most.min(out.len().max(256)));
        }
    }
}

/// Any gzip.
fn members(bytes: &[u8], max: usize) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut out);
    if out.len() > max {
        return Err(too_large("decompressed message", max));
    }
    match read {
        Ok(_) => Ok(out.into()),
        Err(_) => Err(not_gzip()),
    }
}

fn not_gzip() -> Status {
    Status::invalid_argument("the message is not valid gzip")
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

        /// The quick way and the general one agree, whatever is wrong.
        #[test]
        fn what_is_decompressed_does_not_depend_on_the_way(
            bytes in prop::collection::vec(0_u8..4, 0..2_000),
            cut in 0_usize..3_000,
            changed in prop::option::of((0_usize..3_000, any::<u8>())),
            max in 0_usize..2_100,
            after in prop_oneof![
                Just(Vec::new()),
                Just(compress(b"more").to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
        ) {
            let mut gzip = [&compress(&bytes)[..], &after].concat();
            gzip.truncate(cut.max(10));
            if let Some((at, byte)) = changed {
                let at = at % gzip.len();
                gzip[at] = byte;
            }
            let (quick, general) = (decompress(&gzip, max), members(&gzip, max));
            match (quick, general) {
                (Ok(quick), Ok(general)) => prop_assert_eq!(quick, general),
                // What is malformed and too large is either.
                (Err(_), Err(_)) => {}
                (quick, general) => prop_assert!(false, "{quick:?}, {general:?}"),
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&bytes, 1_000);
        }
    }
}
