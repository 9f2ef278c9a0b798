//! Choosing keys, behind proxies and meshes too.
//!
//! A key must be something that the caller can't choose at will, and that tells apart those whom the limit is
//! to tell apart. Ask two questions of it: *what does it cost to have another?* Who can invent keys has a new
//! burst with each, until there is no room, and shares one bucket with all newcomers from then on. And *who
//! else has the same?* They are refused when one of them is too busy.
//!
//! | what stands in front | key | why |
//! |---|---|---|
//! | nothing | [`Key::peer`](crate::Key::peer) | the address is the caller's, and can't be forged: TCP has answered it |
//! | an L4 balancer that keeps addresses (direct server return, `externalTrafficPolicy: Local`) | `Key::peer` | as without one |
//! | an L4 balancer that does not | [`Key::principal`](crate::Key::principal) | all calls have the balancer's address: a limit by it is one for all |
//! | an L4 balancer with the PROXY protocol | `Key::peer`, if what accepts connections reads it | tonic does not: give it a listener that does, whose streams say the address in `TcpConnectInfo` |
//! | Envoy, nginx, an ingress or a cloud's L7 balancer | `Key::peer` and [`behind`](crate::RateLimitBuilder::behind) | each adds to `x-forwarded-for` who called it |
//! | a mesh's sidecar | `Key::principal`, or `behind(["127.0.0.1", "::1"])` if it adds `x-forwarded-for` | all calls come from loopback; a warning tells so after the first 1,000 |
//! | axum's own server (`axum::serve`) | `Key::peer` with the feature `axum`, and `into_make_service_with_connect_info::<SocketAddr>()` | without either of them no address is known: all calls would share one limit |
//! | a NAT64 | `Key::principal` | all its addresses are in one /64 |
//! | a Unix socket | `Key::principal` | there is no address: all calls share one limit by it |
//!
//! # Behind proxies
//!
//! Name exactly the networks of your proxies, and no others: whoever calls from within them may say who he is.
//!
//! ```
//! use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer};
//!
//! let limits = RateLimitLayer::server(Quota::per_second(50).by(Key::peer()))
//!     .behind(["10.8.0.0/16", "fd00:8::/32"]) // the ingress, and nothing else
//!     .build()?;
//! # Ok::<(), tonic_ratelimit_layer::BuildError>(())
//! ```
//!
//! `x-forwarded-for` grows to the right: each proxy adds who called it. It is read from the right, as long as
//! the hops are proxies of yours; the first that is none is the caller. What stands left of that is what the
//! caller sent, and is not looked at. So several proxies in a row need all be named; if one is not, its address is
//! taken for the caller's, and all its callers share a limit. A proxy that *replaces* the header is fine. One that
//! passes it on without adding to it is not: callers then write what they like. (Envoy adds to it with
//! `use_remote_address: true`; nginx with `grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`.)
//!
//! Several lines of the header are one list. A hop that is missing, or no address (`unknown`, a name), ends the
//! walk: the proxy that should have known is taken for the caller. `Forwarded` (RFC 7239) is not read.
//!
//! # Shared and changing addresses
//!
//! Behind a carrier's NAT, a company's proxy or a university's, thousands have one address: a limit by address
//! must be wide enough for them, and is there against floods, not for fairness. A phone has a new address every
//! few minutes. Of IPv6 the first 64 bits count, since who has one address of them has all; who has a /48 has
//! 65,536 such keys. So: a wide limit by address, outside of authentication; a narrow one by principal, inside.
//!
//! # Who is calling
//!
//! [`Key::principal`](crate::Key::principal) is the fairest: it follows the caller through all networks, and
//! nobody can invent one. It needs an authenticating layer further out, such as `tonic-auth-layer`, which tells the
//! principal by [`CallInfo`](tonic_call::CallInfo). Callers who are not known (public methods) share one bucket:
//! give such methods a rule by address.
//!
//! # Metadata
//!
//! [`Key::metadata`](crate::Key::metadata) is right for what a proxy or an outer layer has put there or checked: a
//! tenant, a plan. Of an API key that nobody has checked yet an attacker chooses another with each call: each has a
//! new burst, and when there is no room all newcomers share one bucket with him. Put such a limit inside the layer
//! that checks keys, or beside one by address:
//!
//! ```
//! use tonic_ratelimit_layer::{Key, Quota};
//!
//! let rule = [
//!     Quota::per_second(20).by(Key::metadata("x-api-key")),
//!     Quota::per_second(200).by(Key::peer()), // whatever keys it invents
//! ];
//! ```
//!
//! The value is taken as it was sent: spelt differently (case, spaces, base64 with or without padding) it is
//! another key. A [function](crate::Key::function) can make one of them.
