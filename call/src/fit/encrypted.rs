/// Shows that a channel encrypts everything that it sends, and knows the server: a proof for a layer that sends
/// credentials.
///
/// A type that implements it promises that each connection made with it is encrypted and that its server is
/// authenticated, or that the connection fails. A tonic `Endpoint` can't promise that: whether `https` is encrypted
/// depends on tonic's features, and a connector of one's own is asked for `http`.
pub trait Encrypted {}

impl<T: Encrypted + ?Sized> Encrypted for &T {}
