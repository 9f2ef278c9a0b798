//! The command line.

mod tokens;
mod values;

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tonic::transport::Uri;
use tracing::Level;

use crate::auth::{Callers, KeySet, dev_key_of};
use crate::connections::{self, Connections};
use crate::drain::{DelayTooLong, Drain};
use crate::duration;
use crate::faults::Faults;
use crate::limits::{CallsInFlight, IN_FLIGHT, Limit, Limits};
use crate::serve;
use crate::store::Database;
use crate::v1::OrderStage;

use crate::logs::{Format, json_line};

pub(crate) use tokens::LONGEST_TTL;
pub use tokens::{Auth, CredentialArgs, TokenArgs};
pub use values::{Metadata, MetricsAddress};
use values::{
    at_least_one, collector_url, host_and_port, idle_time, key_set, metadata, metrics_address,
    server_url,
};

/// An order service over gRPC, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "orders", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve orders.v1 until SIGTERM or Ctrl-C
    Serve(ServeArgs),
    /// Call a method, and print the answer as JSON
    Call(CallArgs),
    /// Print a token by which a server with a development key lets callers in
    Token(TokenArgs),
}

/// What more there is to say of `--otlp`.
const OTLP_VARIABLES: &str = "\
With --otlp, the environment counts as well:
  OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
          Whom the spans are from [default: service.name=orders; of a call, orders-call]
  OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
          Which calls have one [default: parentbased_always_on]
  OTEL_SEMCONV_STABILITY_OPT_IN
          What their attributes are called
  OTEL_BSP_SCHEDULE_DELAY, and others of OTEL_BSP_*, OTEL_BLRP_* and OTEL_SPAN_*
          How many are kept before they are sent, for how long, and what of them
  OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT, and OTEL_EXPORTER_OTLP_{TRACES,LOGS}_*
          What is sent along, such as credentials, and how many milliseconds an answer may take
Not so OTEL_EXPORTER_OTLP_ENDPOINT: nothing is sent without --otlp.

What is left to send at the end may take three seconds. If it cannot be sent, that is told, and the exit
status is the same.";

/// How to serve.
#[derive(Args, Debug)]
#[command(after_long_help = OTLP_VARIABLES)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_parser = host_and_port)]
    pub listen: String,

    /// SQLite file to keep the orders in, made if it is not there, and served by one process at a time;
    /// `:memory:` keeps them until the end only
    #[arg(long, value_name = "PATH", default_value = "orders.db")]
    pub db: Database,

    /// After SIGTERM: how long to serve on while not ready, so that load balancers notice [default: 5s, or
    /// half of the drain limit if that is less]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub drain_delay: Option<Duration>,

    /// After SIGTERM or Ctrl-C: when to end even though calls are running
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub drain_limit: Duration,

    /// How to log to standard error; with json every line of it is JSON, also the last one
    /// [default: pretty on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<Format>,

    /// Address to serve Prometheus metrics on, under /metrics; port 0 takes a free one, `off` serves none
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = metrics_address)]
    pub metrics: MetricsAddress,

    /// Collector to send a span of each call to (OTLP over gRPC), such as http://127.0.0.1:4317; callers
    /// are then told their trace, as x-trace-id
    #[arg(long, value_name = "URL", value_parser = collector_url)]
    pub otlp: Option<Uri>,

    /// Whether callers need a token. With `off` everybody may call everything, and so only this machine can be
    /// served
    #[arg(long, value_name = "WHETHER", default_value = "on", help_heading = CALLERS)]
    pub auth: Auth,

    /// File with the development key, made if it is not there: whose tokens are asked for, unless there is an
    /// --issuer; `orders token` makes them [default: the name of the database with -dev-key behind it; where
    /// that is in memory, orders.db-dev-key]
    #[arg(long, value_name = "FILE", conflicts_with = "issuer", help_heading = CALLERS)]
    pub dev_key: Option<PathBuf>,

    /// Issuer whose tokens are asked for instead, to the letter of their `iss`; the server is not ready until
    /// its keys are there
    #[arg(long, value_name = "ISSUER", requires = "audience", help_heading = CALLERS, value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Option<String>,

    /// Who the issuer's tokens must be for, to the letter of their `aud`
    #[arg(long, value_name = "NAME", requires = "issuer", help_heading = CALLERS, value_parser = NonEmptyStringValueParser::new())]
    pub audience: Option<String>,

    /// Where the issuer's keys are: the URL of a JSON Web Key Set, or a file with one, which is read again
    /// when it has changed [default: found by OpenID Connect discovery]
    #[arg(long, value_name = "URL|FILE", requires = "issuer", help_heading = CALLERS, value_parser = key_set)]
    pub jwks: Option<KeySet>,

    /// How long a token may live, from its `iat` to its `exp`, such as 1h or 48h: one that lives longer is
    /// refused [default: 24h]
    #[arg(long, value_name = "TIME", help_heading = CALLERS, value_parser = duration::parse_lifetime)]
    pub longest_token: Option<Duration>,

    /// How many calls pass: RATE per second, and BURST at once. WHAT is a method, such as
    /// orders.v1.OrderService/GetOrder, a service, or `*` for all that no other limit is for. BY is whose calls
    /// share it: `principal`, those of one caller; `peer`, those from one address (of IPv6, one /64);
    /// `metadata:NAME`, those with the same value of it; `global`, all, as without it. May be given more than
    /// once, and also for one WHAT: a call then takes from all of them, or from none; only those by `peer` are
    /// asked first, and before the token is looked at. Health and reflection have no limit but their own. Calls
    /// whose token is no good are refused before the others, and not counted there. `off`: nothing
    /// has one [default of `*`: 2000/4000:principal; with --auth off, 2000/4000]
    #[arg(long, value_name = "WHAT=RATE/BURST[:BY]|off", help_heading = HOW_MANY)]
    pub limit: Vec<Limit>,

    /// File with more limits, one a line as --limit has them; what begins with # says nothing. It is read again on
    /// SIGHUP: if something in it is wrong, the limits stay as they were, and the log says which line
    #[arg(long, value_name = "FILE", help_heading = HOW_MANY)]
    pub limit_file: Option<PathBuf>,

    /// Network or address of a proxy that is trusted to name any client in x-forwarded-for: for limits by
    /// `peer`, and for the limit of bad tokens from one address; may be given more than once
    #[arg(long, value_name = "NETWORK", help_heading = HOW_MANY)]
    pub behind: Vec<String>,

    /// How many calls may run at a time: of each caller, and of all; one more is refused at once. Where --auth is
    /// off, the first is not enforced. Streams that watch health or reflection are counted by address instead,
    /// and Health/Check always answers
    #[arg(long, value_name = "PER_CALLER/ALL|off", default_value = IN_FLIGHT, help_heading = HOW_MANY)]
    pub in_flight: CallsInFlight,

    /// How many connections there may be [default: 10000, or as many as this process may open files, less 32].
    /// When one more comes, those close that have had no call for the longest time; if all have calls, the new
    /// one is closed
    #[arg(long, value_name = "NUMBER", help_heading = CONNECTIONS, value_parser = at_least_one)]
    pub connections: Option<u32>,

    /// How many streams one connection may have open at a time; clients wait with more
    #[arg(long, value_name = "NUMBER", default_value_t = connections::STREAMS, help_heading = CONNECTIONS, value_parser = at_least_one)]
    pub streams: u32,

    /// How long a connection may be without a stream before it is closed. One that does not even send its
    /// HTTP/2 preface is closed after 10s
    #[arg(long, value_name = "TIME", default_value = "5m", help_heading = CONNECTIONS, value_parser = idle_time)]
    pub idle: Duration,

    /// Obey the request metadata x-fault
    #[arg(long, hide = true)]
    faults: bool,
}

/// How long a token may live where nothing else is asked for.
const LONGEST_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// The heading of what says who may call.
const CALLERS: &str = "Who may call";

/// The heading of what says over what.
const CONNECTIONS: &str = "Connections";

/// The heading of what says how often.
const HOW_MANY: &str = "How many calls pass";

impl Cli {
    /// What the process was called with. Where that makes no sense, it says so and ends.
    pub fn of_this_process() -> Self {
        Self::try_parse().and_then(Self::checked).unwrap_or_else(|mut error| {
            keep_hidden(&mut error);
            if error.use_stderr() && asks_for_json(std::env::args_os()) {
                let text = error.render().to_string();
                // If nobody reads it, the exit status still tells.
                _ = stderr().lock().write_all(json_line(Level::ERROR, &text).as_bytes());
                std::process::exit(error.exit_code());
            }
            error.exit()
        })
    }

    /// What clap cannot see: values that do not go together.
    fn checked(self) -> Result<Self, clap::Error> {
        let (name, wrong) = match &self.command {
            Command::Serve(args) => ("serve", args.wrong()),
            Command::Call(args) => ("call", args.wrong()),
            Command::Token(_) => return Ok(self),
        };
        let Some((kind, why)) = wrong else { return Ok(self) };
        let mut cli = Self::command();
        cli.build();
        Err(cli.find_subcommand_mut(name).expect("it was called").error(kind, why))
    }
}

/// Whether every line of standard error is to be JSON: that also holds for what is wrong with the command line.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    let apart = arguments.windows(2).any(|two| two == ["--log", "json"]);
    apart || arguments.iter().any(|argument| argument == "--log=json")
}

/// clap proposes hidden arguments too.
fn keep_hidden(error: &mut clap::Error) {
    let proposed = error.get(ContextKind::SuggestedArg).map(ToString::to_string);
    if proposed.is_some_and(|argument| argument.contains("--faults")) {
        error.remove(ContextKind::SuggestedArg);
    }
}

impl ServeArgs {
    fn wrong(&self) -> Option<(ErrorKind, String)> {
        if let Err(error) = self.drain() {
            return Some((ErrorKind::ValueValidation, error.to_string()));
        }
        let limits = || {
            let methods = serve::methods().map_err(|error| error.to_string())?;
            self.limits()?.layers(&methods).map(drop)
        };
        if let Err(error) = limits() {
            return Some((ErrorKind::ValueValidation, error));
        }
        let whose = self.issuer.is_some() || self.dev_key.is_some();
        let which = whose || self.longest_token.is_some();
        let why = "--auth off asks for no token: --issuer, --dev-key and --longest-token make no sense \
                   with it";
        (which && self.auth == Auth::Off).then(|| (ErrorKind::ArgumentConflict, why.to_owned()))
    }

    /// Who is let in.
    pub fn callers(&self) -> Callers {
        match (self.auth, &self.issuer, &self.audience) {
            (Auth::Off, ..) => Callers::Anybody,
            (Auth::On, Some(issuer), Some(audience)) => Callers::Issuer {
                name: issuer.clone(),
                audience: audience.clone(),
                keys: self.jwks.clone(),
            },
            (Auth::On, ..) => {
                let own = || dev_key_of(&self.db);
                Callers::Development(self.dev_key.clone().unwrap_or_else(own))
            }
        }
    }

    /// How long the tokens of callers may live.
    pub fn longest_token(&self) -> Duration {
        self.longest_token.unwrap_or(LONGEST_TOKEN)
    }

    /// How many calls pass. The error says what does not go together.
    pub fn limits(&self) -> Result<Limits, String> {
        let limits = match &self.limit_file {
            None => Limits::of(&self.limit, &self.behind, self.auth)?,
            Some(file) => {
                let methods = serve::methods().map_err(|error| error.to_string())?;
                Limits::with_file(&self.limit, file, &self.behind, self.auth, &methods)?
            }
        };
        Ok(limits.and_in_flight(self.in_flight, self.auth))
    }

    /// How many connections there may be, with how many streams, and how long they may be idle.
    pub fn connections(&self) -> Connections {
        let connections = Connections::default().streams(self.streams).idle(self.idle);
        match self.connections {
            Some(at_most) => connections.at_most(at_most as usize),
            None => connections,
        }
    }

    /// How to go down.
    pub fn drain(&self) -> Result<Drain, DelayTooLong> {
        Drain::new(self.drain_delay, self.drain_limit)
    }

    /// Whether callers may ask for faults.
    pub fn faults(&self) -> Faults {
        if self.faults { Faults::Obeyed } else { Faults::Ignored }
    }
}

/// The heading of what is not about one method only.
const FOR_ALL: &str = "Options of every call";

/// What to call, and where.
#[derive(Args, Debug)]
#[command(after_long_help = OTLP_VARIABLES)]
pub struct CallArgs {
    /// Server to call
    #[arg(long, value_name = "URL", global = true, help_heading = FOR_ALL, default_value = "http://127.0.0.1:50051", value_parser = server_url)]
    pub to: Uri,

    /// Give up after this time; the server is told (grpc-timeout)
    #[arg(long, value_name = "TIME", global = true, help_heading = FOR_ALL, value_parser = duration::parse)]
    pub timeout: Option<Duration>,

    /// Metadata to send along; may be given more than once
    #[arg(short = 'H', long, value_name = "KEY=VALUE", global = true, help_heading = FOR_ALL, value_parser = metadata)]
    pub metadata: Vec<Metadata>,

    /// Which token to send.
    #[command(flatten)]
    pub credentials: CredentialArgs,

    /// Collector to send a span of the call to (OTLP over gRPC), such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", global = true, help_heading = FOR_ALL, value_parser = collector_url)]
    pub otlp: Option<Uri>,

    /// Show on standard error what the layers around the channel say: the call's log lines, its metrics, and
    /// with --otlp the id of its trace
    #[arg(short, long, global = true, help_heading = FOR_ALL)]
    pub verbose: bool,

    /// The method.
    #[command(subcommand)]
    pub method: Method,
}

impl CallArgs {
    fn wrong(&self) -> Option<(ErrorKind, String)> {
        let input = Some(Path::new("-"));
        let why = if self.credentials.token_file.as_deref() == input && self.method.file() == input
        {
            "standard input holds the token or the requests: one of them must be in a file"
        } else if self.credentials.given() && self.authorizes_by_hand() {
            "-H authorization=… sends credentials: --token, --token-file and --dev-key make no sense with it"
        } else {
            return None;
        };
        Some((ErrorKind::ArgumentConflict, why.to_owned()))
    }

    /// Whether the credentials are among the metadata.
    pub(crate) fn authorizes_by_hand(&self) -> bool {
        self.metadata.iter().any(|(key, _)| key == "authorization")
    }
}

/// A method, and its request.
#[derive(Debug, Subcommand)]
pub enum Method {
    /// Order something
    CreateOrder {
        /// Who orders
        #[arg(long, default_value = "", hide_default_value = true)]
        customer_email: String,
        /// Price in hundredths of the currency
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        total_cents: i64,
        /// ISO 4217, such as EUR
        #[arg(long, default_value = "", hide_default_value = true)]
        currency: String,
        /// With it, the same order can be sent again
        #[arg(long, default_value = "", hide_default_value = true)]
        idempotency_key: String,
    },
    /// Show an order
    GetOrder {
        /// The order
        #[arg(long)]
        id: String,
    },
    /// Show a page of orders, one a line; the token of the next page goes to standard error
    ListOrders {
        /// Only orders of this customer
        #[arg(long, default_value = "", hide_default_value = true)]
        customer_email: String,
        /// At most so many; 0 leaves it to the server
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        page_size: i32,
        /// Where to go on
        #[arg(long, default_value = "", hide_default_value = true)]
        page_token: String,
    },
    /// Show where an order stands, and every change, one a line
    WatchOrder {
        /// The order
        #[arg(long)]
        id: String,
    },
    /// Move an order on
    AdvanceOrder {
        /// The order
        #[arg(long)]
        id: String,
        /// What has happened to it
        #[arg(long)]
        stage: StageArg,
    },
    /// Order many things: one CreateOrderRequest a line, as JSON
    ImportOrders {
        /// The file; `-` is standard input
        file: PathBuf,
    },
    /// Ask for prices: one QuoteRequest a line, as JSON
    QuoteOrders {
        /// The file; `-` is standard input
        file: PathBuf,
    },
}

impl Method {
    /// The file with its requests, if they come from one.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::ImportOrders { file } | Self::QuoteOrders { file } => Some(file),
            Self::CreateOrder { .. }
            | Self::GetOrder { .. }
            | Self::ListOrders { .. }
            | Self::WatchOrder { .. }
            | Self::AdvanceOrder { .. } => None,
        }
    }

    /// Whether answers come on and on.
    pub(crate) fn answers_stream(&self) -> bool {
        match self {
            Self::ListOrders { .. } | Self::WatchOrder { .. } | Self::QuoteOrders { .. } => true,
            Self::CreateOrder { .. }
            | Self::GetOrder { .. }
            | Self::AdvanceOrder { .. }
            | Self::ImportOrders { .. } => false,
        }
    }
}

/// What can happen to an order.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StageArg {
    /// It was shipped
    Shipped,
    /// It was delivered
    Delivered,
}

impl From<StageArg> for OrderStage {
    fn from(stage: StageArg) -> Self {
        match stage {
            StageArg::Shipped => Self::Shipped,
            StageArg::Delivered => Self::Delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_how_many_calls_pass_by_default() {
        let mut cli = Cli::command();
        let help = cli.find_subcommand_mut("serve").expect("serve").render_long_help().to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let of_others = |text: &str| text.strip_prefix("*=").expect("for all methods").to_owned();
        let (on, off) = (of_others(limits::DEFAULT), of_others(limits::DEFAULT_OF_ANYBODY));
        assert!(
            words.contains(&format!("[default of `*`: {on}; with --auth off, {off}]")),
            "{words}"
        );
    }

    #[test]
    fn the_help_says_how_many_calls_run_and_connections_there_are_by_default() {
        let mut cli = Cli::command();
        let help = cli.find_subcommand_mut("serve").expect("serve").render_long_help().to_string();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let idle = format!("[default: {}m]", connections::IDLE.as_secs() / 60);
        let (at_most, streams) = (connections::AT_MOST, connections::STREAMS);
        let defaults = [
            format!("[default: {IN_FLIGHT}]"),
            format!("[default: {at_most}, or as many"),
            format!("[default: {streams}]"),
            idle,
        ];
        assert!(defaults.iter().all(|default| words.contains(default)), "{defaults:?}: {words}");
    }

    #[test]
    fn faults_are_not_in_the_help() {
        let mut cli = Cli::command();
        let serve = cli.find_subcommand_mut("serve").expect("serve");
        assert!(!serve.render_long_help().to_string().contains("--faults"));
    }
}
