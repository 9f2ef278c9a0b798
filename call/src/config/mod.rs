//! gRPC's service config: settings per method, as JSON that every gRPC client reads.

mod duration;
mod error;
mod json;
mod load_balancing;
mod method_config;
mod retry_policy;
mod retry_throttling;
mod service_config;

pub use self::error::ConfigError;
pub use self::load_balancing::LoadBalancing;
pub use self::method_config::MethodConfig;
pub use self::retry_policy::RetryPolicy;
pub use self::retry_throttling::RetryThrottling;
pub use self::service_config::ServiceConfig;
