use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::error::ConfigError;
use super::json::Node;
use super::load_balancing::LoadBalancing;
use super::method_config::MethodConfig;
use super::retry_throttling::RetryThrottling;
use crate::method::{MethodTable, Rpc, RuleError};

/// The settings of a client, as gRPC's service config has them: the same JSON that clients in Go, Java, C++ or Python
/// read (gRPC, "Service Config in gRPC").
///
/// Clones share one config.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use tonic_call::{Rpc, ServiceConfig};
///
/// let config = ServiceConfig::from_json(
///     r#"{
///         "methodConfig": [{
///             "name": [{"service": "orders.v1.OrderService"}],
///             "timeout": "2.5s",
///             "retryPolicy": {
///                 "maxAttempts": 4,
///                 "initialBackoff": "0.1s",
///                 "maxBackoff": "1s",
///                 "backoffMultiplier": 2,
///                 "retryableStatusCodes": ["UNAVAILABLE"]
///             }
///         }]
///     }"#,
/// )?;
///
/// let rpc = Rpc::from_uri(&"/orders.v1.OrderService/GetOrder".parse()?);
/// let get_order = config.method(&rpc).ok_or("no entry")?;
/// assert_eq!(get_order.timeout(), Some(Duration::from_millis(2_500)));
/// # Ok(())
/// # }
/// ```
///
#[doc = include_str!("../../docs/service-config.md")]
#[derive(Clone, Debug)]
pub struct ServiceConfig(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    methods: MethodTable<Option<Arc<MethodConfig>>>,
    retry_throttling: Option<RetryThrottling>,
    load_balancing: Option<LoadBalancing>,
    health_check: Option<Arc<str>>,
}

impl ServiceConfig {
    /// Reads a service config.
    ///
    /// # Errors
    ///
    /// If the text is not a JSON object, or a known field has a value that gRPC does not allow. An error anywhere
    /// rejects the whole config (gRFC A21).
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| ConfigError::new("", format!("is not JSON: {error}")))?;
        let root = Node::root(&value);
        let settings = Settings {
            methods: methods(&root)?,
            retry_throttling: match root.field("retryThrottling")? {
                Some(node) => Some(RetryThrottling::read(&node)?),
                None => None,
            },
            load_balancing: load_balancing(&root)?,
            health_check: health_check(&root)?,
        };
        Ok(Self(Arc::new(settings)))
    }

    /// The settings for a call; `None` if no entry matches it. Does not allocate.
    pub fn method(&self, rpc: &Rpc) -> Option<&MethodConfig> {
        self.0.methods.get(rpc).as_deref()
    }

    /// The settings of all methods, for example to [check](MethodTable::check) that the methods exist.
    pub fn methods(&self) -> &MethodTable<Option<Arc<MethodConfig>>> {
        &self.0.methods
    }

    /// The timeouts alone.
    pub fn timeouts(&self) -> MethodTable<Option<Duration>> {
        self.each(MethodConfig::timeout)
    }

    /// The values of `waitForReady` alone.
    pub fn wait_for_ready(&self) -> MethodTable<Option<bool>> {
        self.each(MethodConfig::wait_for_ready)
    }

    fn each<T>(&self, of: impl Fn(&MethodConfig) -> Option<T>) -> MethodTable<Option<T>> {
        let values = self.0.methods.try_map(|_, config| {
            Ok::<_, std::convert::Infallible>(config.as_deref().and_then(&of))
        });
        values.unwrap_or_else(|never| match never {})
    }

    /// When failed calls are no longer tried again, because too many fail.
    pub fn retry_throttling(&self) -> Option<RetryThrottling> {
        self.0.retry_throttling
    }

    /// The first known policy of `loadBalancingConfig`, or the one of the older field `loadBalancingPolicy`; `None` if
    /// there is neither.
    pub fn load_balancing(&self) -> Option<LoadBalancing> {
        self.0.load_balancing
    }

    /// The service whose health decides whether an address is used: `healthCheckConfig.serviceName` (gRFC A17). An
    /// empty name stands for the whole server; `None` means no checks.
    pub fn health_check(&self) -> Option<&str> {
        self.0.health_check.as_deref()
    }
}

/// Reads `methodConfig`.
fn methods(root: &Node<'_>) -> Result<MethodTable<Option<Arc<MethodConfig>>>, ConfigError> {
    let mut configs = BTreeMap::new();
    let mut paths = BTreeMap::new();
    if let Some(entries) = root.field("methodConfig")? {
        for entry in entries.items()? {
            let config = Arc::new(MethodConfig::read(&entry)?);
            let Some(names) = entry.field("name")? else { continue };
            for node in names.items()? {
                let name = read_name(&node)?;
                if let Some(first) = paths.insert(name, node.path().to_owned()) {
                    return Err(node.error(format!("is the same name as {first}")));
                }
                configs.insert(name, Arc::clone(&config));
            }
        }
    }
    let table = MethodTable::new(configs.remove(&("", "")));
    Ok(configs.into_iter().fold(table, |table, ((service, method), config)| match method {
        "" => table.service(service, Some(config)),
        _ => table.method(service, method, Some(config)),
    }))
}

/// Service and method; without a method all of the service, and without both all that have no other entry.
fn read_name<'a>(node: &Node<'a>) -> Result<(&'a str, &'a str), ConfigError> {
    let part = |part| node.field(part)?.map_or(Ok(""), |node| node.text());
    let (service, method) = (part("service")?, part("method")?);
    let fault = match (service, method) {
        ("", "") => None,
        ("", _) => return Err(node.error("has a method and no service")),
        (_, "") => RuleError::of_service(service),
        _ => RuleError::of_method(service, method),
    };
    fault.map_or(Ok((service, method)), |fault| Err(node.error(fault.to_string())))
}

/// Reads `loadBalancingConfig`, or without it the older `loadBalancingPolicy`.
fn load_balancing(root: &Node<'_>) -> Result<Option<LoadBalancing>, ConfigError> {
    let older = root.field("loadBalancingPolicy")?;
    match (root.field("loadBalancingConfig")?, older) {
        (Some(node), _) => LoadBalancing::read(&node).map(Some),
        (None, Some(node)) => LoadBalancing::read_name(&node).map(Some),
        (None, None) => Ok(None),
    }
}

/// Reads `healthCheckConfig`.
fn health_check(root: &Node<'_>) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(health) = root.field("healthCheckConfig")? else { return Ok(None) };
    let name = health.field("serviceName")?;
    name.map(|name| name.text().map(Arc::from)).transpose()
}

/// A config without any settings.
impl Default for ServiceConfig {
    fn default() -> Self {
        Self(Arc::new(Settings {
            methods: MethodTable::new(None),
            retry_throttling: None,
            load_balancing: None,
            health_check: None,
        }))
    }
}

impl FromStr for ServiceConfig {
    type Err = ConfigError;

    fn from_str(json: &str) -> Result<Self, ConfigError> {
        Self::from_json(json)
    }
}
