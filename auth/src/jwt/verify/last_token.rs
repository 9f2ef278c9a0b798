//! The token that came last on this thread, with its hash: to read and hash a token takes longer than all else that a
//! cached one costs.
//!
//! This decides nothing: the cache does, in which the token is looked up by its hash as any other. So a token that
//! has expired, was revoked or evicted, or whose key is gone is refused or verified as without this.

use std::cell::RefCell;
use std::hint::black_box;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::cache::TokenHash;
use crate::decide::incoming::MAX_CREDENTIALS_BYTES;
use crate::jwt::token::date::Date;

thread_local! {
    static LAST: RefCell<LastToken> = const { RefCell::new(LastToken::none()) };
}

/// A thread has one, however many layers and authenticators it serves.
struct LastToken {
    /// The value of `authorization`, with the scheme. At most [`MAX_CREDENTIALS_BYTES`]; empty if there is none.
    value: Vec<u8>,
    hash: TokenHash,
    expires: Option<Date>,
    /// The end of the token before, if it is another one. A token is kept when it comes twice in a row, so that
    /// callers who take turns do not cost a copy each time.
    candidate: Option<[u8; TAIL]>,
}

/// The length of the end of a token that is compared first, as one number.
const TAIL: usize = 8;

/// The hash of the token in this value of `authorization`, if it came last on this thread.
pub(super) fn hash_of(value: &[u8], now: Date) -> Option<TokenHash> {
    let last = with(|last| {
        last.expire(now);
        last.is(value).then(|| {
            last.candidate = None;
            last.hash
        })
    });
    last.flatten()
}

/// Notes a value of `authorization` whose token is in the cache.
pub(super) fn note(value: &[u8], hash: TokenHash, expires: Option<Date>) {
    with(|last| last.note(value, hash, expires));
}

/// Removes the token: it is not in the cache, or not valid any more.
pub(super) fn forget() {
    with(LastToken::clear);
}

/// `None` while the thread ends.
fn with<T>(act: impl FnOnce(&mut LastToken) -> T) -> Option<T> {
    LAST.try_with(|last| last.try_borrow_mut().ok().map(|mut last| act(&mut last))).ok().flatten()
}

impl LastToken {
    const fn none() -> Self {
        Self { value: Vec::new(), hash: TokenHash::NONE, expires: None, candidate: None }
    }

    /// Whether this is the value. The comparison takes the same time wherever two values of one length differ before
    /// their ends.
    fn is(&self, value: &[u8]) -> bool {
        let kept = &self.value[..];
        kept.last_chunk::<TAIL>().is_some_and(|end| value.last_chunk() == Some(end))
            && verify_slices_are_equal(kept, value).is_ok()
    }

    fn note(&mut self, value: &[u8], hash: TokenHash, expires: Option<Date>) {
        let end = value.last_chunk::<TAIL>();
        if self.candidate.as_ref() != end {
            self.candidate = end.copied();
            return;
        }
        self.clear();
        if end.is_none() || value.len() > MAX_CREDENTIALS_BYTES {
            return;
        }
        if self.value.capacity() < value.len() {
            // A vector that grows would leave a copy.
            self.value = Vec::with_capacity(value.len());
        }
        self.value.extend_from_slice(value);
        (self.hash, self.expires) = (hash, expires);
    }

    fn expire(&mut self, now: Date) {
        if self.expires.is_some_and(|expires| expires <= now) {
            self.clear();
        }
    }

    /// Overwrites the token.
    fn clear(&mut self) {
        self.value.fill(0);
        // Otherwise the compiler may leave out a write that nobody reads.
        black_box(&self.value);
        self.value.clear();
        (self.hash, self.expires, self.candidate) = (TokenHash::NONE, None, None);
    }
}

impl Drop for LastToken {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn at(seconds: u64) -> Date {
        Date::from_time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Sends a token that the cache has, and returns whether it was not hashed.
    fn send(token: &str) -> bool {
        let hash = TokenHash::of(token);
        match hash_of(token.as_bytes(), at(0)) {
            Some(last) => {
                assert_eq!(last, hash);
                true
            }
            None => {
                note(token.as_bytes(), hash, Some(at(9)));
                false
            }
        }
    }

    fn kept() -> usize {
        with(|last| last.value.len()).expect("the thread's own")
    }

    #[test]
    fn a_token_that_comes_again_and_again_is_not_hashed_again() {
        assert_eq!([send("token-a-1"), send("token-a-1")], [false; 2]);
        assert!((0..3).all(|_| send("token-a-1")));
        // Another one takes its place.
        assert_eq!(
            [send("token-b-12"), send("token-b-12"), send("token-b-12")],
            [false, false, true]
        );
        assert!(!send("token-a-1"));
    }

    #[test]
    fn tokens_that_take_turns_are_not_copied_each_time() {
        for _ in 0..4 {
            assert!(!send("token-a-1") && !send("token-b-1"));
            assert_eq!(kept(), 0);
        }
        // One that was kept before stays.
        send("token-c-1");
        send("token-c-1");
        for _ in 0..4 {
            assert!(send("token-c-1") && !send("token-d-1"));
        }
    }

    #[test]
    fn a_token_of_the_same_length_and_end_is_another_one() {
        let (one, other) = ("a.the-same-end", "b.the-same-end");
        send(one);
        send(one);
        assert!(send(one) && !send(other) && !send("xa.the-same-end"));
    }

    #[test]
    fn a_token_is_kept_until_it_expires_or_is_forgotten() {
        for removed in [|| _ = hash_of(b"another-token", at(9)), forget] {
            send("token-a-1");
            send("token-a-1");
            assert!(hash_of(b"token-a-1", at(8)).is_some());
            removed();
            assert_eq!(kept(), 0);
            assert!(hash_of(b"token-a-1", at(8)).is_none());
        }
    }

    #[test]
    fn tokens_that_are_too_short_or_too_long_are_not_kept() {
        for (len, is_kept) in [
            (TAIL - 1, false),
            (TAIL, true),
            (MAX_CREDENTIALS_BYTES, true),
            (MAX_CREDENTIALS_BYTES + 1, false),
        ] {
            let token = "x".repeat(len);
            send(&token);
            assert_eq!([send(&token), send(&token)], [false, is_kept], "{len}");
            forget();
        }
    }

    #[test]
    fn each_thread_has_its_own() {
        send("token-a-1");
        send("token-a-1");
        std::thread::scope(|threads| {
            threads.spawn(|| assert!(!send("token-a-1")));
        });
        assert!(send("token-a-1"));
    }
}
