use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};
use tonic_call::{BoxError, MethodKind};
use tower_service::Service;

use crate::v1::kinds_client::KindsClient;
use crate::v1::{Act, Ask, Note};

/// The four method kinds.
pub const KINDS: [MethodKind; 4] =
    [MethodKind::Unary, MethodKind::ClientStream, MethodKind::ServerStream, MethodKind::BidiStream];

/// The method of [`KindsService`](crate::KindsService) with this kind, as `pkg.Svc/Method`.
pub fn method_of(kind: MethodKind) -> &'static str {
    match kind {
        MethodKind::Unary => "test.v1.Kinds/Unary",
        MethodKind::ClientStream => "test.v1.Kinds/ClientStream",
        MethodKind::ServerStream => "test.v1.Kinds/ServerStream",
        MethodKind::BidiStream => "test.v1.Kinds/BidiStream",
    }
}

/// A request for this number of notes, followed by `act`.
pub fn ask(act: Act, notes: u32) -> Ask {
    Ask { act: act.into(), notes, ..Ask::default() }
}

/// The result of a call: its messages, and its status.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of messages received.
    pub notes: usize,
    /// The status code.
    pub code: Code,
    /// The status message.
    pub message: String,
}

impl Outcome {
    /// This number of messages, and then `OK`.
    pub fn ok(notes: usize) -> Self {
        Self { notes, code: Code::Ok, message: String::new() }
    }

    /// This number of messages, and then recovery's default status.
    pub fn internal(notes: usize) -> Self {
        Self { notes, code: Code::Internal, message: "internal error".to_owned() }
    }

    fn failed(notes: usize, status: &Status) -> Self {
        Self { notes, code: status.code(), message: status.message().to_owned() }
    }
}

/// Calls the method of this kind with some metadata, and reads the whole response.
///
/// # Panics
///
/// If a metadata value is invalid.
pub async fn call<C, B>(
    kinds: &mut KindsClient<C>,
    kind: MethodKind,
    ask: Ask,
    metadata: &[(&'static str, &str)],
) -> Outcome
where
    C: Service<Request<tonic::body::Body>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    fn request<T>(message: T, metadata: &[(&'static str, &str)]) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, value.parse().expect("visible ASCII"));
        }
        request
    }

    let one = |answer: Result<tonic::Response<Note>, Status>| match answer {
        Ok(_) => Outcome::ok(1),
        Err(status) => Outcome::failed(0, &status),
    };
    let stream = match kind {
        MethodKind::Unary => return one(kinds.unary(request(ask, metadata)).await),
        MethodKind::ClientStream => {
            let asks = tokio_stream::iter([Ask::default(), ask]);
            return one(kinds.client_stream(request(asks, metadata)).await);
        }
        MethodKind::ServerStream => kinds.server_stream(request(ask, metadata)).await,
        MethodKind::BidiStream => {
            kinds.bidi_stream(request(tokio_stream::once(ask), metadata)).await
        }
    };
    match stream {
        Ok(notes) => read(notes.into_inner()).await,
        Err(status) => Outcome::failed(0, &status),
    }
}

/// Reads a stream of notes to its end.
pub async fn read(mut notes: impl Stream<Item = Result<Note, Status>> + Unpin) -> Outcome {
    let mut count = 0;
    loop {
        match notes.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(status)) => return Outcome::failed(count, &status),
            None => return Outcome::ok(count),
        }
    }
}
