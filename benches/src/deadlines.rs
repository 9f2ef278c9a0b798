//! Deadlines that no call reaches, and their alternative.

use std::time::Duration;

use tonic_deadline_layer::{DeadlineLayer, MethodTable};
use tower::timeout::TimeoutLayer;

use crate::many::many;
use crate::subject::Subject;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// The subjects with deadlines, and with layers that could set one.
pub(crate) fn timed() -> Vec<Subject> {
    let (server, client) = (DeadlineLayer::server, || DeadlineLayer::client(None));
    let methods = many(100);
    let by_default = server().methods(&methods).default(HOUR).stream_default(HOUR);
    let other = MethodTable::new(None).method("test.v1.Kinds", "Peek", Some(HOUR));
    let others = server().methods(&methods).default(other.clone()).stream_cap(other);
    let limited = DeadlineLayer::client(HOUR).methods(&methods);
    vec![
        Subject::new("deadline, no deadline", server()),
        Subject::new("deadline, limits of others", others),
        Subject::new("deadline, the caller's", server()).with_timeout("1H"),
        Subject::new("deadline, the server's", by_default),
        Subject::new("deadline, stall", server().stall(HOUR)),
        Subject::new("deadline, stall and caller's", server().stall(HOUR)).with_timeout("1H"),
        Subject::new("deadline client, no deadline", client()),
        Subject::new("deadline client, the caller's", client()).with_timeout("1H"),
        Subject::new("deadline client, its own", limited),
        Subject::new("tower timeout", TimeoutLayer::new(HOUR)),
    ]
}
