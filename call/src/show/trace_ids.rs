//! Trace and span IDs in W3C Trace Context.

use std::num::NonZeroU64;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::observe::headers;
use crate::show::Hex;

/// The content of a `traceparent` header (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    ids: TraceIds,
    flags: u8,
}

/// The trace ID and span ID of a call, as in W3C Trace Context.
///
/// A tracing layer records its span's IDs with [`CallInfo::set_trace`](crate::CallInfo::set_trace). Without a
/// tracing layer, the request's `traceparent` has the IDs of the sender's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceIds {
    /// The halves of the ID, and a number that is not 0: calls store this, often as an `Option`.
    trace: [u64; 2],
    span: NonZeroU64,
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;

impl TraceParent {
    /// Parses a request's `traceparent`; `None` if it is missing, present more than once, or malformed (W3C
    /// Trace Context, "traceparent header field values").
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers::find_single(headers, &TRACEPARENT).ok()??;
        parse(value.as_bytes())
    }

    /// A header to send, with these IDs. Of the flags, `0x01` (sampled) and `0x02` (random) are kept.
    pub fn new(ids: TraceIds, flags: u8) -> Self {
        Self { ids, flags: flags & (SAMPLED | RANDOM) }
    }

    /// The header value, version 0: `00-{trace}-{span}-{flags}`.
    pub fn to_header(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(self.ids.trace_hex().as_str().as_bytes());
        text[36..52].copy_from_slice(self.ids.span_hex().as_str().as_bytes());
        text[53..].copy_from_slice(Hex::<2>::new(self.flags.into()).as_str().as_bytes());
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The trace ID, and the ID of the span that sent the request.
    pub fn ids(self) -> TraceIds {
        self.ids
    }

    /// The known flags: `0x01` if the span is sampled, `0x02` if the trace ID is random.
    pub fn flags(self) -> u8 {
        self.flags
    }
}

impl TraceIds {
    /// Creates the IDs; `None` if one of them is zero, which means that there is none.
    pub fn new(trace: u128, span: u64) -> Option<Self> {
        let span = NonZeroU64::new(span)?;
        (trace != 0).then_some(Self { trace: [(trace >> 64) as u64, trace as u64], span })
    }

    /// The IDs in a request's [`TraceParent`].
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        TraceParent::from_headers(headers).map(TraceParent::ids)
    }

    /// The trace ID as 32 hexadecimal digits.
    pub fn trace_hex(self) -> Hex<32> {
        Hex::new(self.trace_id())
    }

    /// The span ID as 16 hexadecimal digits.
    pub fn span_hex(self) -> Hex<16> {
        Hex::new(self.span_id().into())
    }

    /// The trace ID as a number.
    pub fn trace_id(self) -> u128 {
        let [high, low] = self.trace;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The span ID as a number.
    pub fn span_id(self) -> u64 {
        self.span.get()
    }
}

/// `version-trace-parent-flags`; a later version may have more fields after these.
fn parse(value: &[u8]) -> Option<TraceParent> {
    let (known, more) = value.split_at_checked(55)?;
    let [version, trace, span, flags] = [&known[..2], &known[3..35], &known[36..52], &known[53..]];
    let dashed = [known[2], known[35], known[52]] == *b"---";
    let version = digits(version)?;
    let flags = u8::try_from(digits(flags)?).ok()?;
    let flags = flags & if version == 0 { SAMPLED | RANDOM } else { SAMPLED };
    let ends = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more[0] == b'-',
    };
    let (high, low) = trace.split_at(16);
    let trace = u128::from(digits(high)?) << 64 | u128::from(digits(low)?);
    let ids = TraceIds::new(trace, digits(span)?)?;
    (dashed && ends).then_some(TraceParent { ids, flags })
}

/// Parses at most 16 lower-case hexadecimal digits.
fn digits(text: &[u8]) -> Option<u64> {
    let (number, all) = text.iter().fold((0, 0), |(number, all), &byte| {
        let digit = DIGITS[usize::from(byte)];
        (number << 4 | u64::from(digit), all | digit)
    });
    (all < NO_DIGIT).then_some(number)
}

/// The value of each byte as a lower-case hexadecimal digit.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        digits[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// Has a bit that no digit has.
const NO_DIGIT: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<(u128, u64)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).expect("a header"));
        }
        let ids = TraceIds::from_headers(&headers)?;
        Some((ids.trace_id(), ids.span_id()))
    }

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_names_a_trace_and_a_span() {
        let ids = Some((0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0x00f0_67aa_0ba9_02b7));
        assert_eq!(read(&[GOOD]), ids);
        let later = format!("cc{}-what-comes", &GOOD[2..]);
        assert_eq!(read(&[&later]), ids);
    }

    #[test]
    fn its_flags_are_bits() {
        for (version, flags, bits) in
            [("00", "00", 0), ("00", "01", 1), ("00", "03", 3), ("00", "fe", 2), ("01", "ff", 1)]
        {
            let value = format!("{version}{}{flags}", &GOOD[2..53]);
            let value = HeaderValue::from_str(&value).expect("a header");
            let headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
            assert_eq!(TraceParent::from_headers(&headers).map(TraceParent::flags), Some(bits));
        }
    }

    #[test]
    fn a_traceparent_that_is_written_is_read_back() {
        for flags in 0..=0xff {
            let sent = TraceParent::new(TraceIds::new(u128::MAX >> 4, 1).expect("ids"), flags);
            let headers = HeaderMap::from_iter([(TRACEPARENT, sent.to_header())]);
            assert_eq!(TraceParent::from_headers(&headers), Some(sent));
        }
    }

    #[test]
    fn a_malformed_one_names_none() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None);
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-01");
        let longer_and_later = format!("cc{}.01", &GOOD[2..]);
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &upper,
            &longer,
            &longer_and_later,
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-0x",
            "0g-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd:448eb211c80319c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c8031`c-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902/7-01",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
    }
}
