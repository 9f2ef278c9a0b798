use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

/// A cycle of client addresses: each address calls once per cycle, in an order that is not sequential in
/// memory.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    first: u32,
    count: u32,
    at: u32,
}

/// A prime: no number of addresses used here is a multiple of it.
const STEP: u32 = 433_494_437;

impl Callers {
    /// The addresses with these numbers.
    pub(crate) fn of(numbers: Range<u32>) -> Self {
        Self { first: numbers.start, count: numbers.len() as u32, at: 0 }
    }

    /// The address of the next call.
    pub(crate) fn next(&mut self) -> SocketAddr {
        let next = (u64::from(self.at) + u64::from(STEP)) % u64::from(self.count);
        self.at = next as u32;
        let address =
            Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + self.first + self.at);
        (address, 51_234).into()
    }
}
