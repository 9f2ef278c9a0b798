//! The environment variables of `orders serve`: `ORDERS_` and the name of a flag.

use std::env;
use std::ffi::OsString;
use std::sync::LazyLock;

use clap::builder::Str;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use super::secrets::without_secrets;

const PREFIX: &str = "ORDERS_";

/// Kubernetes sets these in each container if there is a service with the name `orders`.
const OF_KUBERNETES: [&str; 2] = ["ORDERS_SERVICE_", "ORDERS_PORT"];

/// The variable of a flag: `ORDERS_DRAIN_LIMIT` for `--drain-limit`.
pub(super) fn variable(flag: &str) -> String {
    PREFIX.to_owned() + &flag.replace('-', "_").to_ascii_uppercase()
}

/// Lets each flag of `orders serve` be set by its variable, too. One that is set to nothing counts as not set.
pub(super) fn read_environment(serve: Command) -> Command {
    serve.mut_args(|arg| {
        let Some(flag) = arg.get_long().filter(|_| is_settable(&arg)) else { return arg };
        let name = variable(flag);
        if env::var_os(&name).is_some_and(|value| value.is_empty()) {
            return arg;
        }
        // Values can have passwords in them.
        arg.env(Str::from(name)).hide_env_values(true)
    })
}

/// Not `--help` and `--version`, and not what tests use.
fn is_settable(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

/// The variables of this process that begin with the prefix and set no flag, each with the one that it may be meant to
/// be.
pub(super) fn unknown(serve: &Command) -> Vec<Unknown> {
    let known: Vec<_> =
        serve.get_arguments().filter_map(|arg| Some(variable(arg.get_long()?))).collect();
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter(|name| {
        name.starts_with(PREFIX) && !OF_KUBERNETES.iter().any(|prefix| name.starts_with(prefix))
    });
    ours.filter(|name| !known.contains(name)).map(|name| Unknown::new(name, &known)).collect()
}

/// A variable that sets nothing.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// The most similar one that sets something, if there is one that is very similar.
    pub meant: Option<String>,
}

impl Unknown {
    fn new(name: String, known: &[String]) -> Self {
        let similarity = |other: &&String| (strsim::jaro(&name, other) * 1_000.0) as u32;
        let best = known.iter().max_by_key(similarity).filter(|best| similarity(best) > 850);
        Self { meant: best.cloned(), name }
    }
}

/// Names the variable in an error about a value that is from it.
pub(super) fn name_variable(error: clap::Error, serve: &mut Command) -> clap::Error {
    static ARGUMENTS: LazyLock<Vec<OsString>> = LazyLock::new(|| env::args_os().collect());
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(argument), Some(value)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue))
    else {
        return error;
    };
    let Some(flag) = argument.split([' ', '=']).next().and_then(|flag| flag.strip_prefix("--"))
    else {
        return error;
    };
    let name = variable(flag);
    let is_given = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(flag))
    };
    if ARGUMENTS.iter().any(is_given) || env::var_os(&name).is_none_or(|value| value.is_empty()) {
        return error;
    }
    let reason = match (std::error::Error::source(&error), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => format!(": {reason}"),
        (None, Some(ContextValue::Strings(values))) => format!(": must be {}", values.join(" or ")),
        (None, _) => String::new(),
    };
    let (kind, value) = (error.kind(), without_secrets(value));
    let text = format!(
        "invalid value '{value}' of the environment variable {name}, for '{argument}'{reason}"
    );
    serve.error(kind, text)
}
