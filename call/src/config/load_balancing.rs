use super::error::ConfigError;
use super::json::Node;

/// How calls are spread over the addresses of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadBalancing {
    /// All calls go to one address, the first that can be connected to.
    PickFirst,
    /// Calls go to all connected addresses in turn.
    RoundRobin,
}

impl LoadBalancing {
    /// Reads a list of policies, of which the first known one is used (gRPC, "Service config").
    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        for item in node.items()? {
            let (name, settings) = item.only_field()?;
            let Some(known) = Self::from_name(name) else { continue };
            settings.must_be_object()?;
            return Ok(known);
        }
        Err(node.error("has no known policy: `pick_first` and `round_robin` are known"))
    }

    /// Reads the name of a policy, in lower or upper case.
    pub(super) fn read_name(node: &Node<'_>) -> Result<Self, ConfigError> {
        let known = Self::from_name(&node.text()?.to_ascii_lowercase());
        known.ok_or_else(|| {
            node.error("is no known policy: `pick_first` and `round_robin` are known")
        })
    }

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "pick_first" => Some(Self::PickFirst),
            "round_robin" => Some(Self::RoundRobin),
            _ => None,
        }
    }
}
