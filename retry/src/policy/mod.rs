//! What gRFC A6 says of failures: how long to wait, and when to stop.

mod backoff;
mod pushback;
mod throttle;

pub(crate) use self::backoff::{Backoff, jittered};
pub(crate) use self::pushback::Pushback;
pub(crate) use self::throttle::Throttle;
