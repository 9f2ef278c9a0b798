//! The methods of `orders call`, and the flags of each request.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use crate::v1::OrderStage;

/// A method and the fields of its request.
#[derive(Clone, Debug, Subcommand)]
pub enum Method {
    /// Create an order
    CreateOrder {
        /// E-mail address of the customer
        #[arg(long, value_name = "EMAIL", default_value = "", hide_default_value = true)]
        customer_email: String,
        /// Total in hundredths of the currency
        #[arg(long, value_name = "CENTS", default_value_t = 0, allow_negative_numbers = true)]
        total_cents: i64,
        /// ISO 4217 currency code, such as EUR
        #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
        currency: String,
        /// Makes retries safe: requests with the same key create one order [default: a new key for each call]
        #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
        idempotency_key: String,
    },
    /// Print an order
    GetOrder {
        /// Id of the order
        #[arg(long, value_name = "ID")]
        id: String,
    },
    /// Print one page of orders, one per line; the token of the next page goes to standard error
    ListOrders {
        /// List only the orders of this customer
        #[arg(long, value_name = "EMAIL", default_value = "", hide_default_value = true)]
        customer_email: String,
        /// Maximum number of orders; 0 uses the server's default
        #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
        page_size: i32,
        /// Token of the page to print, from the previous page
        #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
        page_token: String,
    },
    /// Print the current state of an order and every change, one per line
    WatchOrder {
        /// Id of the order
        #[arg(long, value_name = "ID")]
        id: String,
    },
    /// Move an order to its next stage
    AdvanceOrder {
        /// Id of the order
        #[arg(long, value_name = "ID")]
        id: String,
        /// The stage that the order has reached
        #[arg(long, value_name = "STAGE")]
        stage: StageArg,
    },
    /// Create many orders from a file with one CreateOrderRequest per line, as JSON
    ImportOrders {
        /// File with the requests; `-` reads standard input
        file: PathBuf,
    },
    /// Get prices for a file with one QuoteRequest per line, as JSON
    QuoteOrders {
        /// File with the requests; `-` reads standard input
        file: PathBuf,
    },
}

impl Method {
    /// The file that the requests are read from, if any.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::ImportOrders { file } | Self::QuoteOrders { file } => Some(file),
            Self::CreateOrder { .. }
            | Self::GetOrder { .. }
            | Self::ListOrders { .. }
            | Self::WatchOrder { .. }
            | Self::AdvanceOrder { .. } => None,
        }
    }

    /// Whether the response is a stream.
    pub(crate) fn streams_response(&self) -> bool {
        match self {
            Self::ListOrders { .. } | Self::WatchOrder { .. } | Self::QuoteOrders { .. } => true,
            Self::CreateOrder { .. }
            | Self::GetOrder { .. }
            | Self::AdvanceOrder { .. }
            | Self::ImportOrders { .. } => false,
        }
    }
}

/// The stage of an order.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StageArg {
    /// The order was shipped
    Shipped,
    /// The order was delivered
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
