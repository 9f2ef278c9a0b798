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

#[cfg(feature = "service-config")]
impl From<tonic_call::LoadBalancing> for Policy {
    /// A policy that is unknown here is [`Policy::PickFirst`], gRPC's default.
    fn from(policy: tonic_call::LoadBalancing) -> Self {
        match policy {
            tonic_call::LoadBalancing::RoundRobin => Self::RoundRobin,
            _ => Self::PickFirst,
        }
    }
}
