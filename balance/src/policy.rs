/// Which of the ready addresses gets a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Each in turn; all addresses are connected to.
    #[default]
    RoundRobin,
    /// Always the same, the first that can be connected to in the order of the list. Others are connected to only
    /// after that one has failed.
    PickFirst,
}

impl Policy {
    /// The policy with this name in a gRPC service config: `round_robin` or `pick_first`.
    ///
    /// ```
    /// use tonic_balance::Policy;
    ///
    /// assert_eq!(Policy::from_name("round_robin"), Some(Policy::RoundRobin));
    /// assert_eq!(Policy::from_name("grpclb"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "round_robin" => Some(Self::RoundRobin),
            "pick_first" => Some(Self::PickFirst),
            _ => None,
        }
    }
}
