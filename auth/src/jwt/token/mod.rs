//! What a token is made of, before anything of it is believed.

pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod date;
pub(crate) mod header;
pub(crate) mod json;
