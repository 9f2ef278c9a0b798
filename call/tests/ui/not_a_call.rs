use tonic_call::{Observer, Rpc, Side};

#[derive(Clone)]
struct Counter;

struct Counted;

impl Observer for Counter {
    type Call = Counted;

    fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Counted> {
        Some(Counted)
    }
}

fn main() {}
