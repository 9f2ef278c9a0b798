//! The flags of `orders serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tonic::transport::Uri;

use super::configuration::Configuration;
use super::help::{AUTHENTICATION, LIMITS, SERVE_VARIABLES};
use super::serve_certificates::CertificateArgs;
use super::serve_redis::RedisArgs;
use super::serve_tls::ServeTlsArgs;
use super::values::{
    MetricsAddress, collector_url, header_bytes, host_and_port, idle_timeout, key_set,
    metrics_address, positive, request_bytes,
};
use crate::auth::{Auth, KeySet};
use crate::connections::{MAX_HEADER_BYTES, MAX_RESET_STREAMS, MAX_STREAMS};
use crate::deadlines::{DEFAULT_CAP, DEFAULT_STALL_LIMIT, TimeLimit};
use crate::duration;
use crate::limits::{DEFAULT_IN_FLIGHT, InFlightLimit, RateLimit};
use crate::logs::Format;
use crate::serve::Origin;
use crate::service::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};
use crate::store::Database;

const DEADLINES: &str = "Deadlines";
const CONNECTIONS: &str = "Connections";

/// The flags of `orders serve`.
#[derive(Args, Debug)]
#[command(after_long_help = SERVE_VARIABLES)]
pub struct ServeArgs {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_parser = host_and_port)]
    pub listen: String,

    /// SQLite file for the orders, created if it does not exist
    ///
    /// Only one process at a time can use it. `:memory:` stores the orders in memory only.
    #[arg(long, value_name = "FILE", default_value = "orders.db")]
    pub db: Database,

    /// How long to keep serving after SIGTERM, such as 5s or 1m [default: 5s, or half of --drain-limit if that is
    /// less]
    ///
    /// Health reports "not serving" meanwhile, so that load balancers stop sending calls.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub drain_delay: Option<Duration>,

    /// Maximum duration of a shutdown after SIGTERM or Ctrl-C
    ///
    /// Calls that are still running then are ended.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub drain_limit: Duration,

    /// Format of the log on standard error [default: pretty on a terminal, otherwise json]
    ///
    /// With json every line is JSON, error messages included.
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<Format>,

    /// Address that serves Prometheus metrics at /metrics; port 0 selects a free port, `off` disables metrics
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:9464", value_parser = metrics_address)]
    pub metrics: MetricsAddress,

    /// OpenTelemetry collector (OTLP over gRPC) for a span of each call, such as http://127.0.0.1:4317
    ///
    /// Responses then carry the trace id in x-trace-id.
    #[arg(long, value_name = "URL", value_parser = collector_url)]
    pub otlp: Option<Uri>,

    /// Address that serves only the health service, in plain text and without a token; port 0 selects a free port
    ///
    /// For probes that speak no TLS, such as those of Kubernetes. It answers from the start, before the database is
    /// open, until the process ends: "not serving" until the server is ready, while its database fails, and from the
    /// first signal on. The name `liveness` is serving until the process ends.
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub health: Option<String>,

    /// The files of TLS.
    #[command(flatten)]
    pub tls: ServeTlsArgs,

    /// Origin of a web page that may call the server from a browser, such as `https://shop.example`; may be given more
    /// than once, or several between commas
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub cors: Vec<Origin>,

    /// Serve a web page at / that lists, creates and watches orders
    ///
    /// It asks for a token if callers must send one.
    #[arg(long)]
    pub web: bool,

    /// Whether callers must send a token
    ///
    /// With `off` callers need no token, and may call every method. --listen must then be a loopback address, unless
    /// callers need the client certificate of --allow-spiffe.
    #[arg(long, value_name = "on|off", default_value = "on", hide_possible_values = true, help_heading = AUTHENTICATION)]
    pub auth: Auth,

    /// File with the development key, created if it does not exist [default: the name of the database file with
    /// -dev-key appended; orders.db-dev-key for a database in memory]
    ///
    /// Without --issuer, tokens must be signed with this key, as those of `orders token` are.
    #[arg(long, value_name = "FILE", conflicts_with = "issuer", help_heading = AUTHENTICATION)]
    pub dev_key: Option<PathBuf>,

    /// Issuer whose tokens are accepted, exactly as in their `iss`
    ///
    /// The server is not ready until it has the issuer's keys.
    #[arg(long, value_name = "ISSUER", requires = "audience", help_heading = AUTHENTICATION, value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Option<String>,

    /// Required audience of the issuer's tokens, exactly as in their `aud`
    #[arg(long, value_name = "AUDIENCE", requires = "issuer", help_heading = AUTHENTICATION, value_parser = NonEmptyStringValueParser::new())]
    pub audience: Option<String>,

    /// Keys of the issuer: URL of a JSON Web Key Set, or a file with one [default: found by OpenID Connect
    /// discovery]
    ///
    /// A file is read again when it changes.
    #[arg(long, value_name = "URL|FILE", requires = "issuer", help_heading = AUTHENTICATION, value_parser = key_set)]
    pub jwks: Option<KeySet>,

    /// Maximum lifetime of a token, from its `iat` to its `exp`, such as 1h or 48h [default: 24h]
    #[arg(long, value_name = "DURATION", help_heading = AUTHENTICATION, value_parser = duration::parse_lifetime)]
    pub longest_token: Option<Duration>,

    /// The client certificates.
    #[command(flatten)]
    pub certificates: CertificateArgs,

    /// Rate limit: `METHODS=RATE/BURST[:KEY]`, or `off` for no rate limits; may be given more than once, or several
    /// between commas
    ///
    /// METHODS is a method such as orders.v1.OrderService/GetOrder, a service, or `*` for all methods without a
    /// limit of their own, except health and reflection. A limit of one version of the API holds in every version:
    /// calls of orders.v2 use up the same limit. RATE is the number of calls per second, BURST the number of calls
    /// at once.
    ///
    /// KEY selects which calls share the limit: `principal`, the calls of one caller; `peer`, the calls from
    /// one IP address (IPv6: one /64 network); `metadata:NAME`, the calls with the same value of that
    /// metadata; `global` or none, all calls.
    ///
    /// With several limits for the same METHODS, a call must pass all of them; a refused call uses up none.
    /// Limits by `peer` are separate: they are checked before authentication, all others after it, so that a
    /// call with an invalid token uses up only limits by `peer`.
    ///
    /// [default of `*`: 2000/4000:principal; with --auth off, 2000/4000, unless --allow-spiffe is given]
    #[arg(long, value_name = "LIMIT", value_delimiter = ',', help_heading = LIMITS)]
    pub limit: Vec<RateLimit>,

    /// File with more rate limits, one per line as in --limit
    ///
    /// A line that begins with # is a comment. SIGHUP reads the file again; if a line is invalid, the limits do not
    /// change and the log names the line.
    #[arg(long, value_name = "FILE", help_heading = LIMITS)]
    pub limit_file: Option<PathBuf>,

    /// Redis, where limits are shared.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// Network or address of a trusted proxy, whose x-forwarded-for names the client; may be given more than once, or
    /// several between commas
    ///
    /// The client's address is used for limits by `peer`, and for the limit of failed tokens per address.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', help_heading = LIMITS)]
    pub behind: Vec<String>,

    /// Maximum number of concurrent calls, per caller and in total
    ///
    /// Further calls are refused at once. With --auth off only the total applies, unless --allow-spiffe is given. Streams
    /// of health and reflection are counted per address, and Health/Check is not limited.
    #[arg(long, value_name = "PER_CALLER/TOTAL|off", default_value = DEFAULT_IN_FLIGHT, help_heading = LIMITS)]
    pub in_flight: InFlightLimit,

    /// How long a call with one request and one response may take if its caller has set no deadline [default: 30s, or
    /// --deadline-cap if that is less]
    ///
    /// At the limit the call ends with DEADLINE_EXCEEDED, and its handler is dropped. Streams have no deadline unless
    /// their caller has set one: a watch may last.
    #[arg(long, value_name = "DURATION|off", help_heading = DEADLINES)]
    pub default_deadline: Option<TimeLimit>,

    /// Maximum duration of a call with one request and one response, even if its caller would wait longer
    #[arg(long, value_name = "DURATION|off", default_value = DEFAULT_CAP, help_heading = DEADLINES)]
    pub deadline_cap: TimeLimit,

    /// How long a caller may read nothing while there is something to read
    ///
    /// At the limit the call ends with DEADLINE_EXCEEDED. A caller that reads slowly, or waits for the next message,
    /// is not affected.
    #[arg(long, value_name = "DURATION|off", default_value = DEFAULT_STALL_LIMIT, help_heading = DEADLINES)]
    pub stall_limit: TimeLimit,

    /// Maximum number of connections [default: 10000, or the limit of open files minus 32 if that is lower]
    ///
    /// When a further client connects, the connections that have been without a call for the longest time are
    /// closed; if every connection has a call, the new one is closed.
    #[arg(long, value_name = "NUMBER", help_heading = CONNECTIONS, value_parser = positive)]
    pub connections: Option<u32>,

    /// Maximum number of concurrent streams per connection; clients queue further calls
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_STREAMS, help_heading = CONNECTIONS, value_parser = positive)]
    pub streams: u32,

    /// Maximum number of streams per connection that clients may have reset before the server accepted them
    ///
    /// One more closes the connection (ENHANCE_YOUR_CALM): only an attack, or a burst of cancelled calls, has so many.
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_RESET_STREAMS, help_heading = CONNECTIONS, value_parser = positive)]
    pub reset_streams: u32,

    /// Maximum size of the header list of a request, in bytes
    ///
    /// Counted as HTTP/2 does: names, values, and 32 bytes for each header. A larger one is answered with the HTTP status
    /// 431, without running the call. The head of a request by HTTP/1.1 may have 64 KiB.
    #[arg(long, value_name = "BYTES", default_value_t = MAX_HEADER_BYTES, help_heading = CONNECTIONS, value_parser = header_bytes)]
    pub header_bytes: u32,

    /// Maximum size of a request message, in bytes, up to 4194304
    ///
    /// A larger one ends its call with OUT_OF_RANGE.
    #[arg(long, value_name = "BYTES", default_value_t = MAX_REQUEST_BYTES, help_heading = CONNECTIONS, value_parser = request_bytes)]
    pub request_bytes: u32,

    /// Maximum size of a response message, in bytes
    ///
    /// A larger one ends its call with OUT_OF_RANGE.
    #[arg(long, value_name = "BYTES", default_value_t = MAX_RESPONSE_BYTES, help_heading = CONNECTIONS, value_parser = positive)]
    pub response_bytes: u32,

    /// How long a connection may have no stream before it is closed
    ///
    /// A connection that sends nothing, after its TLS handshake if there is one, is closed after 10s.
    #[arg(long, value_name = "DURATION", default_value = "5m", help_heading = CONNECTIONS, value_parser = idle_timeout)]
    pub idle: Duration,

    /// Age at which a connection is closed, 10 % more or less, so that its client connects again and is verified again
    ///
    /// From then on it accepts no further calls (GOAWAY). Calls that are running go on, and it closes after the last
    /// one.
    #[arg(long, value_name = "DURATION|off", default_value = "30m", help_heading = CONNECTIONS)]
    pub connection_age: TimeLimit,

    /// Shut down at the end of standard input, as after Ctrl-C
    #[arg(long, hide = true)]
    pub stop_at_eof: bool,

    /// Inject the faults that calls ask for in the metadata x-fault
    #[arg(long, hide = true)]
    pub(super) faults: bool,

    /// What is logged of these flags.
    #[arg(skip)]
    pub configuration: Configuration,
}
