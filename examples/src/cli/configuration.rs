//! The configuration that is in effect, as it is logged at the start.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::environment::{Unknown, unknown, variable};
use super::secrets::without_secrets;

/// What is logged of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The flags that have a value: `listen=127.0.0.1:50051 db=orders.db …`. What is not a default says where it is
    /// from. Without secrets.
    pub settings: String,
    /// The variables `ORDERS_…` that set nothing.
    pub unknown: Vec<Unknown>,
}

impl Configuration {
    pub(super) fn of(serve: &Command, matches: &ArgMatches) -> Self {
        let settings = serve.get_arguments().filter_map(|arg| {
            let flag = arg.get_long().filter(|_| !arg.is_hide_set())?;
            let values = matches.get_raw(arg.get_id().as_str())?;
            let values: Vec<_> =
                values.map(|value| without_secrets(&value.to_string_lossy())).collect();
            let setting = format!("{flag}={}", values.join(","));
            Some(match matches.value_source(arg.get_id().as_str())? {
                ValueSource::CommandLine => format!("{setting} (flag)"),
                ValueSource::EnvVariable => format!("{setting} ({})", variable(flag)),
                _ => setting,
            })
        });
        Self { settings: settings.collect::<Vec<_>>().join(" "), unknown: unknown(serve) }
    }

    /// Logs it.
    pub(crate) fn log(&self) {
        tracing::info!(settings = self.settings, "configuration");
        for Unknown { name, meant } in &self.unknown {
            match meant {
                Some(meant) => {
                    tracing::warn!(
                        name,
                        meant,
                        "this environment variable sets nothing: is another one meant?"
                    );
                }
                None => tracing::warn!(name, "this environment variable sets nothing"),
            }
        }
    }
}
