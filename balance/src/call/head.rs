use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};
use tonic::body::Body;
use tonic_call::{Deadline, GRPC_TIMEOUT, format_timeout};

/// A copy of a request's head, to send it again. It has no extensions, which a channel does not read, and no map: the
/// copies of these would be most of the cost of a call.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Box<[(HeaderName, HeaderValue)]>,
}

impl Head {
    pub(super) fn of(parts: &request::Parts) -> Self {
        let headers = parts.headers.iter();
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The request, with the time that is left until the deadline as its `grpc-timeout`, if it has one.
    pub(super) fn request(&self, deadline: Option<Deadline>, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        if let Some(deadline) = deadline
            && let Some(timeout) = headers.get_mut(GRPC_TIMEOUT)
        {
            *timeout = format_timeout(deadline.remaining());
        }
        *request.headers_mut() = headers;
        request
    }
}
