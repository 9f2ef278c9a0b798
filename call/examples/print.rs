//! The observer of the examples: prints one line per call, at its end.

use tonic_call::{Call, End, Flow, Message, Observer, Rpc, Side, Stopwatch};

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone)]
pub struct Print;

pub struct Printed {
    side: Side,
    method: String,
    began: Stopwatch,
    responses: AtomicUsize,
}

impl Observer for Print {
    type Call = Printed;

    fn begin(&self, side: Side, rpc: &Rpc, _: &mut http::request::Parts) -> Option<Printed> {
        let method = rpc.shown().into_owned();
        Some(Printed { side, method, began: Stopwatch::start(), responses: AtomicUsize::new(0) })
    }
}

impl Call for Printed {
    fn message(&self, flow: Flow, _: Message) {
        if flow == Flow::Response {
            self.responses.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn end(&self, end: End<'_>) {
        let responses = self.responses.load(Ordering::Relaxed);
        let Printed { side, method, began, .. } = self;
        println!("{side:?} {method} {:?} messages={responses} {:?}", end.code(), began.elapsed());
    }
}
