//! The command line.

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tonic::transport::Uri;

use crate::duration;
use crate::faults::Faults;
use crate::store::Database;
use crate::v1::OrderStage;

pub use values::Metadata;
use values::{host_and_port, metadata, server_url};

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

/// How to serve.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_parser = host_and_port)]
    pub listen: String,

    /// SQLite file to keep the orders in, made if it is not there; `:memory:` keeps them until the end only
    #[arg(long, value_name = "PATH", default_value = "orders.db")]
    pub db: Database,

    /// After SIGTERM: how long to serve on while not ready, so that load balancers notice; at most half of
    /// the drain limit
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub drain_delay: Duration,

    /// After SIGTERM or Ctrl-C: when to end even though calls are running
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub drain_limit: Duration,

    /// Obey the request metadata x-fault
    #[arg(long, hide = true)]
    faults: bool,
}

impl ServeArgs {
    /// Whether callers may ask for faults.
    pub fn faults(&self) -> Faults {
        if self.faults { Faults::Obeyed } else { Faults::Ignored }
    }
}

/// What to call, and where.
#[derive(Args, Debug)]
pub struct CallArgs {
    /// Server to call
    #[arg(long, value_name = "URL", global = true, default_value = "http://127.0.0.1:50051", value_parser = server_url)]
    pub to: Uri,

    /// Give up after this time; the server is told (grpc-timeout)
    #[arg(long, value_name = "TIME", global = true, value_parser = duration::parse)]
    pub timeout: Option<Duration>,

    /// Metadata to send along; may be given more than once
    #[arg(short = 'H', long, value_name = "KEY=VALUE", global = true, value_parser = metadata)]
    pub metadata: Vec<Metadata>,

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
    use clap::CommandFactory;

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
