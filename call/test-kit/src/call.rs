use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};
use tonic_call::{BoxError, MethodKind};
use tower_service::Service;

use crate::v1::kinds_client::KindsClient;
use crate::v1::{Act, Ask, Note};

/// The four kinds of calls.
pub const KINDS: [MethodKind; 4] =
    [MethodKind::Unary, MethodKind::ClientStream, MethodKind::ServerStream, MethodKind::BidiStream];

/// The method of [`KindsService`](crate::KindsService) that is of that kind, as `pkg.Svc/Method`.
pub fn method_of(kind: MethodKind) -> &'static str {
    match kind {
        MethodKind::Unary => "test.v1.Kinds/Unary",
        MethodKind::ClientStream => "test.v1.Kinds/ClientStream",
        MethodKind::ServerStream => "test.v1.Kinds/ServerStream",
        MethodKind::BidiStream => "test.v1.Kinds/BidiStream",
    }
}

/// Asks for so many notes, and then for `act`.
pub fn ask(act: Act, notes: u32) -> Ask {
    Ask { act: act.into(), notes, ..Ask::default() }
}

/// What a call gave: its messages, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many messages came.
    pub notes: usize,
    /// The code at the end.
    pub code: Code,
    /// The message beside it.
    pub message: String,
}

impl Outcome {
    /// So many messages, and a good end.
    pub fn ok(notes: usize) -> Self {
        Self { notes, code: Code::Ok, message: String::new() }
    }

    /// So many messages, and then what a recovered panic is by default.
    pub fn internal(notes: usize) -> Self {
        Self { notes, code: Code::Internal, message: "internal error".to_owned() }
    }

    fn failed(notes: usize, status: &Status) -> Self {
        Self { notes, code: status.code(), message: status.message().to_owned() }
    }
}

/// Calls the method of that kind with some metadata, and reads all there is.
///
/// # Panics
///
/// If the metadata is none.
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
    fn tell<T>(message: T, metadata: &[(&'static str, &str)]) -> tonic::Request<T> {
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
        MethodKind::Unary => return one(kinds.unary(tell(ask, metadata)).await),
        MethodKind::ClientStream => {
            let asks = tokio_stream::iter([Ask::default(), ask]);
            return one(kinds.client_stream(tell(asks, metadata)).await);
        }
        MethodKind::ServerStream => kinds.server_stream(tell(ask, metadata)).await,
        MethodKind::BidiStream => kinds.bidi_stream(tell(tokio_stream::once(ask), metadata)).await,
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
