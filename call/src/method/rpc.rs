//! The name of the method that is called.

use std::borrow::Cow;
use std::fmt;

use http::request;
use http::uri::{PathAndQuery, Uri};
use tonic::GrpcMethod;

use crate::method::{Idempotency, MethodKind};
use crate::show::sanitize_str;

/// The standard health service.
pub(crate) const HEALTH: &str = "grpc.health.v1.Health";

/// The reflection service, and its older version, which most clients try first.
pub(crate) const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
pub(crate) const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The method that a call names, from its path.
///
/// The path of a gRPC call is exactly `/{service}/{method}` (gRPC over HTTP/2, "Requests"). For any other path
/// [`service`](Self::service), [`method`](Self::method) and [`full`](Self::full) are empty and
/// [`is_well_formed`](Self::is_well_formed) is false. A query is ignored, as in tonic's router.
///
/// Creating, cloning and reading one does not allocate.
#[derive(Clone)]
pub struct Rpc {
    path: Option<PathAndQuery>,
    names: Option<Names>,
    known: Option<KnownMethod>,
    /// Whether there is a descriptor set that does not contain this method.
    undescribed: bool,
}

/// Where the two names are in the path, and the query behind them. A path has at most 65,534 bytes.
#[derive(Clone, Copy)]
struct Names {
    service: u16,
    method: u16,
    end: u16,
}

/// A method that is known to exist: see [`KnownMethods`](crate::KnownMethods).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownMethod {
    /// The index of the method, below the [capacity](crate::KnownMethods::capacity) and the same for every call
    /// of it. Use it to look up what was resolved once per method.
    pub index: usize,
    /// The kind of the method; `None` without a descriptor set.
    pub kind: Option<MethodKind>,
    /// The idempotency of the method; `None` without a descriptor set.
    pub idempotency: Option<Idempotency>,
    /// The full name, if it lives as long as the process.
    pub(super) name: Option<&'static str>,
    /// Whether the name has only characters that identifiers of protobuf have, and is not too long to be shown.
    pub(super) is_plain: bool,
    /// Whether this is a method of the standard health or reflection services.
    pub(super) is_infrastructure: bool,
}

impl Rpc {
    /// Reads the path of a request's URI.
    pub fn from_uri(uri: &Uri) -> Self {
        Self::from_path(uri.path_and_query().cloned())
    }

    /// Reads a path; `None` for a URI without one.
    pub fn from_path(path: Option<PathAndQuery>) -> Self {
        let names = path.as_ref().and_then(|path| split(path.path()));
        Self { path, names, known: None, undescribed: false }
    }

    /// Reads the head of a request.
    ///
    /// If the client's origin adds a prefix to the path, the [`GrpcMethod`] that generated clients set shows
    /// where the names begin.
    pub fn from_head(head: &request::Parts) -> Self {
        let mut rpc = Self::from_uri(&head.uri);
        if rpc.names.is_none()
            && let Some(generated) = head.extensions.get::<GrpcMethod<'static>>()
        {
            rpc.names = split_behind_prefix(rpc.path(), generated);
        }
        rpc
    }

    /// The fully qualified service name, `pkg.Svc`; empty if the path is not well formed.
    pub fn service(&self) -> &str {
        self.names.map_or("", |at| self.part(at.service, at.method - 1))
    }

    /// The method name, `Method`; empty if the path is not well formed.
    pub fn method(&self) -> &str {
        self.names.map_or("", |at| self.part(at.method, at.end))
    }

    /// Service and method, `pkg.Svc/Method`; empty if the path is not well formed.
    pub fn full(&self) -> &str {
        self.names.map_or("", |at| self.part(at.service, at.end))
    }

    fn part(&self, start: u16, end: u16) -> &str {
        let path = self.path.as_ref().map_or("", PathAndQuery::as_str);
        path.get(start.into()..end.into()).unwrap_or_default()
    }

    /// [`full`](Self::full) as text that lives as long as the process, for libraries that keep names without
    /// copying them.
    ///
    /// `None` if the method is not [known](Self::known), or if 2 MiB of such names exist in the process. Methods
    /// with the same name share one text, however many layers know them.
    pub fn static_name(&self) -> Option<&'static str> {
        self.known?.name
    }

    /// [`full`](Self::full), if it has only letters, digits, `_`, `.` and `/`, as described methods have. It can then be
    /// shown everywhere as it is.
    pub fn plain(&self) -> Option<&str> {
        self.known.filter(|known| known.is_plain).map(|_| self.full())
    }

    /// The method for log lines, sanitized: [`full`](Self::full), or the path if it is not well formed.
    pub fn shown(&self) -> Cow<'_, str> {
        if let Some(plain) = self.plain() {
            return plain.into();
        }
        sanitize_str(if self.is_well_formed() { self.full() } else { self.path() })
    }

    /// The path as received. This is the caller's text: bound and escape it before it is shown.
    pub fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    /// Whether the path is exactly `/service/method`.
    pub fn is_well_formed(&self) -> bool {
        self.names.is_some()
    }

    /// What is known about the method; `None` if it is not known to exist.
    ///
    /// Check this before using the names in a label: those of an unknown method are arbitrary text from the
    /// caller.
    pub fn known(&self) -> Option<KnownMethod> {
        self.known
    }

    /// Whether the method certainly does not exist: there is a descriptor set, and the method is neither in it
    /// nor one of the standard health and reflection services. Always false without a descriptor set.
    pub fn is_undescribed(&self) -> bool {
        self.undescribed
    }

    /// Whether this is a call of the standard health or reflection services.
    pub fn is_infrastructure(&self) -> bool {
        match self.known {
            Some(known) => known.is_infrastructure,
            None => is_infrastructure(self.service()),
        }
    }

    /// Whether this is a call of the standard health service, `grpc.health.v1.Health`.
    pub fn is_health(&self) -> bool {
        self.service() == HEALTH
    }

    /// A method of a descriptor set, which this path names: `/service/method` until `end`.
    pub(super) fn described(
        path: &PathAndQuery,
        service_len: usize,
        end: usize,
        known: KnownMethod,
    ) -> Option<Self> {
        let method = u16::try_from(service_len + 2).ok()?;
        let names = Some(Names { service: 1, method, end: u16::try_from(end).ok()? });
        let path = Some(path.clone());
        Some(Self { path, names, known: Some(known), undescribed: false })
    }

    pub(crate) fn with_known(mut self, known: Option<KnownMethod>, described: bool) -> Self {
        self.known = known;
        self.undescribed = described && known.is_none();
        self
    }
}

/// Whether this is one of the standard health and reflection services.
pub(super) fn is_infrastructure(service: &str) -> bool {
    matches!(service, HEALTH | REFLECTION | REFLECTION_ALPHA)
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("path", &self.path()).field("known", &self.known).finish()
    }
}

fn split(path: &str) -> Option<Names> {
    // Bytes, and the service without an early exit, so that the compiler vectorizes its comparison: searching for a
    // `char` takes five times as long in names of this length.
    let [b'/', names @ ..] = path.as_bytes() else { return None };
    let slash = names.iter().rposition(|&byte| byte == b'/')?;
    let (service, method) = (&names[..slash], &names[slash + 1..]);
    let nested = service.iter().fold(false, |any, &byte| any | (byte == b'/'));
    let exact = !service.is_empty() && !method.is_empty() && !nested;
    let method = u16::try_from(service.len() + 2).ok()?;
    let end = u16::try_from(path.len()).ok()?;
    exact.then_some(Names { service: 1, method, end })
}

fn split_behind_prefix(path: &str, generated: &GrpcMethod<'static>) -> Option<Names> {
    let rest = path.strip_suffix(generated.method())?.strip_suffix('/')?;
    let method = u16::try_from(rest.len() + 1).ok()?;
    let rest = rest.strip_suffix(generated.service())?;
    let end = u16::try_from(path.len()).ok()?;
    let named = !generated.service().is_empty() && !generated.method().is_empty();
    (named && rest.ends_with('/')).then_some(Names {
        service: u16::try_from(rest.len()).ok()?,
        method,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(path: &'static str) -> Rpc {
        Rpc::from_uri(&Uri::from_static(path))
    }

    #[test]
    fn a_path_of_two_names_is_split() {
        let rpc = rpc("/orders.v1.OrderService/GetOrder");
        assert_eq!(rpc.service(), "orders.v1.OrderService");
        assert_eq!(rpc.method(), "GetOrder");
        assert_eq!(rpc.full(), "orders.v1.OrderService/GetOrder");
        assert!(rpc.is_well_formed());
    }

    #[test]
    fn a_query_is_ignored() {
        assert_eq!(rpc("/a.B/C?d=/e").full(), "a.B/C");
        assert_eq!(rpc("http://host:1/a.B/C?d").full(), "a.B/C");
    }

    #[test]
    fn any_other_path_has_no_names() {
        for path in ["/", "/a", "/a/", "//a", "//", "/a/b/", "/a/b/c", "//b/c", "*", "http://host"]
        {
            let rpc = rpc(path);
            assert!(!rpc.is_well_formed(), "{path}");
            assert_eq!((rpc.service(), rpc.method(), rpc.full()), ("", "", ""), "{path}");
        }
        assert_eq!(rpc("host:1").path(), "");
    }

    #[test]
    fn a_generated_client_behind_a_prefix_keeps_its_names() {
        let mut request = http::Request::new(());
        *request.uri_mut() = Uri::from_static("http://host/some/prefix/a.B/C");
        assert!(!Rpc::from_uri(request.uri()).is_well_formed());

        request.extensions_mut().insert(GrpcMethod::new("a.B", "C"));
        let rpc = Rpc::from_head(&request.into_parts().0);
        assert_eq!((rpc.service(), rpc.method(), rpc.full()), ("a.B", "C", "a.B/C"));
    }

    #[test]
    fn a_generated_client_does_not_name_another_path() {
        for (path, service, method) in [
            ("/x/a.B/C", "B", "C"),
            ("/x/a.B/C", "", "C"),
            ("/x/a.B/C", "a.B", ""),
            ("/x/a.B/C", "a.B", "D"),
        ] {
            let mut request = http::Request::new(());
            *request.uri_mut() = Uri::from_static(path);
            request.extensions_mut().insert(GrpcMethod::new(service, method));
            assert!(
                !Rpc::from_head(&request.into_parts().0).is_well_formed(),
                "{service} {method}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics_and_names_are_the_parts_between_the_slashes(path in "[/a-cA-Z.?%*]{0,20}") {
            let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
            let rpc = Rpc::from_uri(&uri);
            let parts: Vec<_> = uri.path().split('/').collect();
            let exact = matches!(parts[..], ["", service, method] if !service.is_empty() && !method.is_empty());
            proptest::prop_assert_eq!(rpc.is_well_formed(), exact);
            if exact {
                proptest::prop_assert_eq!((rpc.service(), rpc.method()), (parts[1], parts[2]));
            }
        }
    }

    #[test]
    fn health_and_reflection_are_infrastructure() {
        assert!(rpc("/grpc.health.v1.Health/Check").is_infrastructure());
        assert!(
            rpc("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").is_infrastructure()
        );
        assert!(!rpc("/grpc.health.v1.Healthy/Check").is_infrastructure());
    }
}
