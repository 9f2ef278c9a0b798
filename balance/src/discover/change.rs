use crate::Address;

/// A change of the addresses, from a discovery of your own: see
/// [`Balanced::discover`](crate::Balanced::discover).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// One more address. One that is already there stays as it is.
    Add(Address),
    /// One address less: it gets no new call, and its running calls end by themselves.
    Remove(Address),
    /// These are all addresses now, in this order. Those that are already there keep their connections.
    Replace(Vec<Address>),
}
