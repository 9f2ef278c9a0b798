use std::borrow::Cow;

/// A layer's refusal of a call, enforced or in shadow mode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The short name of the layer: `auth`, `ratelimit`, `deadline`.
    pub by: &'static str,
    /// The reason, as a short and stable word that can be used as a label: for example `TOKEN_EXPIRED`.
    pub reason: Cow<'static, str>,
    /// Whether this is a shadow refusal: the layer only tests its rules and let the call pass.
    pub shadow: bool,
}

impl Refusal {
    /// A refusal that ends the call.
    pub fn new(by: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { by, reason: reason.into(), shadow: false }
    }

    /// A refusal that is only reported.
    pub fn shadow(by: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { shadow: true, ..Self::new(by, reason) }
    }
}
