//! Deadlines, and the `grpc-timeout` header.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use pin_project::pin_project;
use tokio::time::Instant;

use crate::observe::headers;
use crate::show::InlineText;

/// The header with the time that a caller waits for the call.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The time at which a call must be over.
///
/// A layer that enforces a deadline inserts it into the request's extensions. The handler, and the client
/// layers of the calls it makes, read the remaining time from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

/// A `grpc-timeout` header that is malformed, or present more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedTimeout(());

/// A future with a deadline of its own, or without one: see [`Deadline::scope`].
#[pin_project]
#[derive(Debug)]
pub struct DeadlineScope<F> {
    deadline: Option<Deadline>,
    #[pin]
    future: F,
}

thread_local! {
    /// The deadline of the call that this thread polls now.
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// A caller may stop slightly before the local clock reaches the deadline.
const ABOUT_TO_EXPIRE: Duration = Duration::from_millis(5);

impl Deadline {
    /// The deadline after this time from now; `None` if that is too far away for the clock, and so never
    /// reached.
    pub fn after(timeout: Duration) -> Option<Self> {
        Instant::now().checked_add(timeout).map(Self)
    }

    /// The deadline set by a request's `grpc-timeout`, counted from now.
    ///
    /// `None` means no deadline: there is no header, or its time is too far away for the clock.
    ///
    /// # Errors
    ///
    /// If the header is malformed, or present more than once.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, MalformedTimeout> {
        Ok(timeout_of(headers)?.and_then(Self::after))
    }

    /// The deadline in these extensions, if a layer has inserted one.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// The deadline of the call that the running code belongs to: `Some` in a handler, and in all that the
    /// handler's task polls, if a layer enforces a deadline there. A task that the handler spawns has none, unless
    /// it runs in a [scope](Self::scope).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tonic_call::Deadline;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let handler = async {
    /// // A spawned task has it only in a scope.
    /// let deadline = Deadline::current();
    /// let task = tokio::spawn(Deadline::scope(deadline, async { Deadline::current() }));
    /// assert_eq!(task.await.unwrap(), deadline);
    /// # assert!(deadline.is_some());
    /// # };
    /// # Deadline::scope(Deadline::after(Duration::from_secs(1)), handler).await;
    /// # }
    /// ```
    pub fn current() -> Option<Self> {
        CURRENT.get()
    }

    /// Runs a future with that [current](Self::current) deadline, or without one.
    pub fn scope<F: Future>(deadline: Option<Self>, future: F) -> DeadlineScope<F> {
        DeadlineScope { deadline, future }
    }

    /// Runs a future without a [current](Self::current) deadline: the client calls it makes do not inherit that of
    /// the inbound call.
    pub fn detached<F: Future>(future: F) -> DeadlineScope<F> {
        Self::scope(None, future)
    }

    /// Runs a function with that [current](Self::current) deadline, or without one.
    pub fn enter<T>(deadline: Option<Self>, run: impl FnOnce() -> T) -> T {
        struct Restore(Option<Deadline>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _restore = Restore(CURRENT.replace(deadline));
        run()
    }

    /// The time at which the call must be over.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The remaining time: zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Whether the deadline has passed or passes within 5 ms: the clocks of caller and server differ by about
    /// that much.
    pub fn is_about_to_expire(self) -> bool {
        self.remaining() <= ABOUT_TO_EXPIRE
    }
}

impl<F: Future> Future for DeadlineScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        Deadline::enter(*this.deadline, || this.future.poll(cx))
    }
}

impl From<Instant> for Deadline {
    fn from(at: Instant) -> Self {
        Self(at)
    }
}

/// The time that the caller of a request waits: its `grpc-timeout`, if there is one.
///
/// # Errors
///
/// If the header is malformed, or present more than once.
pub fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, MalformedTimeout> {
    match headers::find_single(headers, &GRPC_TIMEOUT) {
        Ok(value) => value.map(parse_timeout).transpose(),
        Err(headers::Repeated) => Err(MalformedTimeout(())),
    }
}

/// Parses a `grpc-timeout`: one to eight digits and a unit, `H`, `M`, `S`, `m` (ms), `u` (µs) or `n` (ns) (gRPC
/// over HTTP/2, "Requests"). Zero is accepted, as in every implementation, and has already expired.
///
/// # Errors
///
/// If the value has any other form.
pub fn parse_timeout(value: &HeaderValue) -> Result<Duration, MalformedTimeout> {
    let [digits @ .., unit] = value.as_bytes() else { return Err(MalformedTimeout(())) };
    if digits.is_empty() || digits.len() > 8 {
        return Err(MalformedTimeout(()));
    }
    let number = digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    });
    let number = number.ok_or(MalformedTimeout(()))?;
    match unit {
        b'H' => Ok(Duration::from_secs(number * 3_600)),
        b'M' => Ok(Duration::from_secs(number * 60)),
        b'S' => Ok(Duration::from_secs(number)),
        b'm' => Ok(Duration::from_millis(number)),
        b'u' => Ok(Duration::from_micros(number)),
        b'n' => Ok(Duration::from_nanos(number)),
        _ => Err(MalformedTimeout(())),
    }
}

/// Formats a `grpc-timeout`, in the finest unit that needs at most eight digits.
///
/// Rounds down, so that a deadline does not grow from hop to hop; but never below `1n`, since gRPC's grammar
/// requires a positive number.
pub fn format_timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos().max(1);
    let units = [
        (1, b"n"),
        (1_000, b"u"),
        (1_000_000, b"m"),
        (1_000_000_000, b"S"),
        (60_000_000_000, b"M"),
        (3_600_000_000_000, b"H"),
    ];
    let fits = units.into_iter().find(|(unit, _)| nanos <= MOST * unit + (unit - 1));
    let (number, unit) = fits.map_or((MOST, b"H"), |(unit, name)| (nanos / unit, name));
    let mut value = InlineText::<9>::new();
    value.push_decimal(number as u32);
    value.push(unit);
    HeaderValue::from_str(value.as_str()).expect("digits and a letter")
}

impl fmt::Display for MalformedTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed grpc-timeout: not one to eight digits and one of H, M, S, m, u, n")
    }
}

impl Error for MalformedTimeout {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &'static str) -> Result<Duration, MalformedTimeout> {
        parse_timeout(&HeaderValue::from_static(value))
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parse("2H"), Ok(Duration::from_secs(7_200)));
        assert_eq!(parse("3M"), Ok(Duration::from_secs(180)));
        assert_eq!(parse("4S"), Ok(Duration::from_secs(4)));
        assert_eq!(parse("5m"), Ok(Duration::from_millis(5)));
        assert_eq!(parse("6u"), Ok(Duration::from_micros(6)));
        assert_eq!(parse("7n"), Ok(Duration::from_nanos(7)));
        assert_eq!(parse("0n"), Ok(Duration::ZERO));
        assert_eq!(parse("99999999H"), Ok(Duration::from_secs(99_999_999 * 3_600)));
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in
            ["", "S", "1", "1s", "1 S", " 1S", "+1S", "-1S", "1.5S", "123456789S", "1SS", "1h"]
        {
            assert_eq!(parse(value), Err(MalformedTimeout(())), "{value:?}");
        }
    }

    #[test]
    fn the_finest_unit_of_eight_digits_is_written() {
        assert_eq!(format_timeout(Duration::ZERO), "1n");
        assert_eq!(format_timeout(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(format_timeout(Duration::from_nanos(100_000_999)), "100000u");
        assert_eq!(format_timeout(Duration::from_secs(30)), "30000000u");
        assert_eq!(format_timeout(Duration::from_secs(100)), "100000m");
        assert_eq!(format_timeout(Duration::from_secs(100_000_000)), "1666666M");
        assert_eq!(format_timeout(Duration::MAX), "99999999H");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_returns_the_remaining_time() {
        let mut headers = HeaderMap::new();
        assert_eq!(Deadline::from_headers(&headers), Ok(None));

        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        let deadline = Deadline::from_headers(&headers).expect("well formed").expect("a deadline");
        assert_eq!(deadline.remaining(), Duration::from_secs(1));

        tokio::time::advance(Duration::from_millis(994)).await;
        assert!(!deadline.is_about_to_expire());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(deadline.is_about_to_expire() && !deadline.has_passed());
        tokio::time::advance(Duration::from_millis(6)).await;
        assert!(deadline.has_passed());
        assert_eq!(deadline.remaining(), Duration::ZERO);

        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("2S"));
        assert_eq!(Deadline::from_headers(&headers), Err(MalformedTimeout(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_current_in_its_scope_alone() {
        let (long, short) =
            (Deadline::after(Duration::from_secs(2)), Deadline::after(Duration::ZERO));
        assert_eq!(Deadline::current(), None);
        let inner = async {
            tokio::task::yield_now().await;
            assert_eq!(Deadline::current(), long);
            Deadline::scope(short, async { assert_eq!(Deadline::current(), short) }).await;
            Deadline::detached(async { assert_eq!(Deadline::current(), None) }).await;
            assert_eq!(Deadline::current(), long);
        };
        Deadline::scope(long, inner).await;
        let panics = || Deadline::enter(long, || std::panic::panic_any(()));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(Deadline::current(), None);
    }

    proptest! {
        #[test]
        fn a_formatted_timeout_parses_as_no_more_and_barely_less(nanos in 1_u64..) {
            let timeout = Duration::from_nanos(nanos);
            let read = parse_timeout(&format_timeout(timeout)).expect("well formed");
            prop_assert!(read <= timeout);
            prop_assert!((timeout - read).as_nanos() <= timeout.as_nanos() / 100_000);
        }

        #[test]
        fn no_value_panics(value in prop::collection::vec(32_u8..127, 0..12)) {
            let _ = parse_timeout(&HeaderValue::from_bytes(&value).expect("printable"));
        }
    }
}
