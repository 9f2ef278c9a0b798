//! The command line: the commands, their flags, and how mistakes are reported.

mod call;
mod call_tls;
mod certs;
mod configuration;
mod credentials;
mod demo;
mod environment;
mod help;
mod method;
mod secrets;
mod serve;
mod serve_certificates;
mod serve_config;
mod serve_redis;
mod serve_tls;
mod token;
mod values;

use std::ffi::OsString;
use std::io::{Write, stderr};

use clap::error::ContextKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing::Level;

use crate::logs::json_line;

pub use call::CallArgs;
pub use call_tls::CallTlsArgs;
pub use certs::CertsArgs;
pub use configuration::Configuration;
pub use credentials::CredentialArgs;
pub use demo::{DemoArgs, ExpectedCode};
pub use environment::Unknown;
pub use method::{Method, StageArg};
pub use serve::ServeArgs;
pub use serve_certificates::CertificateArgs;
pub use serve_redis::RedisArgs;
pub use serve_tls::{ClientCert, ServeTlsArgs};
pub(crate) use token::MAX_TTL;
pub use token::TokenArgs;
pub use values::{Metadata, MetricsAddress, ServiceConfigJson};

/// An order service over gRPC, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "orders", version, arg_required_else_help = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command and its flags.
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve orders.v1 and orders.v2 until SIGTERM or Ctrl-C
    Serve(ServeArgs),
    /// Call a method and print its response as JSON
    Call(CallArgs),
    /// Print a token that is signed with the development key of a server
    Token(TokenArgs),
    /// Make a development CA, and certificates of it for a server and a client
    Certs(CertsArgs),
    /// Serve and call it in each way, and show what callers and operators see
    Demo(DemoArgs),
}

impl Cli {
    /// Parses the arguments of this process. If they are invalid, reports it and exits.
    pub fn from_process() -> Self {
        Self::from_arguments(std::env::args_os()).unwrap_or_else(|mut error| {
            hide_suggestions(&mut error);
            if error.use_stderr() && wants_json_log(std::env::args_os()) {
                let text = error.render().to_string();
                // If standard error is closed, the exit status still reports the error.
                _ = stderr().lock().write_all(json_line(Level::ERROR, &text).as_bytes());
                std::process::exit(error.exit_code());
            }
            error.exit()
        })
    }

    /// Parses these arguments, and the environment variables of this process.
    fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_subcommand("serve", environment::read_environment);
        command.build();
        let parsed = command
            .try_get_matches_from_mut(arguments)
            .and_then(|matches| Ok((Self::from_arg_matches(&matches)?, matches)));
        let serve = command.find_subcommand_mut("serve").expect("it is a command");
        match parsed {
            Ok((mut cli, matches)) => {
                if let (Command::Serve(args), Some((_, given))) =
                    (&mut cli.command, matches.subcommand())
                {
                    args.configuration = Configuration::of(serve, given);
                }
                cli.checked()
            }
            Err(error) => Err(environment::name_variable(error, serve)),
        }
    }

    /// Parses the arguments of `orders call`, without the words before them.
    pub(crate) fn parse_call(arguments: &[&str]) -> Result<CallArgs, clap::Error> {
        let cli = Self::try_parse_from([&["orders", "call"], arguments].concat())?.checked()?;
        match cli.command {
            Command::Call(args) => Ok(args),
            _ => unreachable!("it is the command above"),
        }
    }

    /// Checks what clap cannot: values that contradict each other.
    fn checked(self) -> Result<Self, clap::Error> {
        let (name, conflict) = match &self.command {
            Command::Serve(args) => ("serve", args.conflict()),
            Command::Call(args) => ("call", args.conflict()),
            Command::Token(_) | Command::Certs(_) | Command::Demo(_) => return Ok(self),
        };
        let Some((kind, message)) = conflict else { return Ok(self) };
        let mut cli = Self::command();
        cli.build();
        Err(cli.find_subcommand_mut(name).expect("it was called").error(kind, message))
    }
}

/// Whether `--log json` is given: errors of the command line are then JSON, too.
fn wants_json_log(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    let two_words = arguments.windows(2).any(|two| two == ["--log", "json"]);
    let is_serve = arguments.get(1).is_some_and(|command| command == "serve");
    let by_variable = is_serve && std::env::var_os("ORDERS_LOG").is_some_and(|log| log == "json");
    two_words || by_variable || arguments.iter().any(|argument| argument == "--log=json")
}

/// Flags that are not in the help.
const HIDDEN: [&str; 3] = ["--faults", "--stop-at-eof", "--expect"];

/// clap suggests hidden flags, too.
fn hide_suggestions(error: &mut clap::Error) {
    let suggested = error.get(ContextKind::SuggestedArg).map(ToString::to_string);
    if suggested.is_some_and(|argument| HIDDEN.iter().any(|flag| argument.contains(flag))) {
        error.remove(ContextKind::SuggestedArg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections;
    use crate::limits;

    /// The help of `orders serve`, as one line.
    fn serve_help() -> String {
        let mut cli = Cli::command();
        let help = cli.find_subcommand_mut("serve").expect("serve").render_long_help().to_string();
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_how_many_calls_pass_by_default() {
        let help = serve_help();
        let of_others = |text: &str| text.strip_prefix("*=").expect("for all methods").to_owned();
        let [on, off] = [limits::DEFAULT, limits::DEFAULT_WITHOUT_AUTH].map(of_others);
        assert!(
            help.contains(&format!("[default of `*`: {on}; with --auth off, {off}, unless")),
            "{help}"
        );
    }

    #[test]
    fn the_help_says_how_many_calls_run_and_connections_there_are_by_default() {
        let help = serve_help();
        let idle = format!("[default: {}m]", connections::IDLE_TIMEOUT.as_secs() / 60);
        let (max, streams) = (connections::MAX_CONNECTIONS, connections::MAX_STREAMS);
        let defaults = [
            format!("[default: {}]", limits::DEFAULT_IN_FLIGHT),
            format!("[default: {max}, or"),
            format!("[default: {streams}]"),
            idle,
        ];
        assert!(defaults.iter().all(|default| help.contains(default)), "{defaults:?}: {help}");
    }

    #[test]
    fn faults_are_not_in_the_help() {
        assert!(HIDDEN.iter().all(|flag| !serve_help().contains(flag)));
    }
}
