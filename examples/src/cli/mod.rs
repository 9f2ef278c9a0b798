//! The command line.

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tonic::transport::Uri;

use crate::drain::{DelayTooLong, Drain};
use crate::duration;
use crate::faults::Faults;
use crate::store::Database;
use crate::v1::OrderStage;

use crate::logs::Format;

pub use values::{Metadata, MetricsAddress};
use values::{collector_url, host_and_port, metadata, metrics_address, server_url};

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

    /// How to log to standard error [default: pretty on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<Format>,

    /// Address to serve Prometheus metrics on, under /metrics; port 0 takes a free one, `off` serves none
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = metrics_address)]
    pub metrics: MetricsAddress,

    /// Collector to send a span of each call to (OTLP over gRPC), such as http://127.0.0.1:4317; callers
    /// are then told their trace, as x-trace-id
    #[arg(long, value_name = "URL", value_parser = collector_url)]
    pub otlp: Option<Uri>,

    /// Obey the request metadata x-fault
    #[arg(long, hide = true)]
    faults: bool,
}

impl Cli {
    /// What the process was called with. Where that makes no sense, it says so and ends.
    pub fn of_this_process() -> Self {
        Self::try_parse().and_then(Self::checked).unwrap_or_else(|mut error| {
            keep_hidden(&mut error);
            error.exit()
        })
    }

    /// What clap cannot see: values that do not go together.
    fn checked(self) -> Result<Self, clap::Error> {
        if let Command::Serve(args) = &self.command
            && let Err(error) = args.drain()
        {
            let mut cli = Self::command();
            cli.build();
            let serve = cli.find_subcommand_mut("serve").expect("it was called");
            return Err(serve.error(ErrorKind::ValueValidation, error));
        }
        Ok(self)
    }
}

/// clap proposes hidden arguments too.
fn keep_hidden(error: &mut clap::Error) {
    let proposed = error.get(ContextKind::SuggestedArg).map(ToString::to_string);
    if proposed.is_some_and(|argument| argument.contains("--faults")) {
        error.remove(ContextKind::SuggestedArg);
    }
}

impl ServeArgs {
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

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn faults_are_not_in_the_help() {
        let mut cli = Cli::command();
        let serve = cli.find_subcommand_mut("serve").expect("serve");
        assert!(!serve.render_long_help().to_string().contains("--faults"));
    }
}
