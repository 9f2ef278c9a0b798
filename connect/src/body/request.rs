use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use pin_project::pin_project;
use tonic::Status;
use tonic_call::{BoxError, CallInfo};

use super::Progress;
use super::decoding::Decoding;
use super::stream_request::StreamRequest;
use super::unary_request::UnaryRequest;
use crate::detect::{Answer, Input, Source};
use crate::methods::MethodId;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// The name of this layer in records of refusals.
const LAYER: &str = "connect";

/// The body of a request, as gRPC frames. Nothing is read or decoded before the inner service asks for it.
#[pin_project]
pub(crate) struct RequestBody<B> {
    #[pin]
    kind: Kind<B>,
    progress: Progress,
    is_over: bool,
}

#[pin_project(project = KindProjection)]
enum Kind<B> {
    Unary(#[pin] UnaryRequest<B>),
    Stream(#[pin] StreamRequest<B>),
    Refused(Refused),
}

/// The failure of a request that is refused for its head.
struct Refused {
    status: Status,
    reason: &'static str,
    info: CallInfo,
}

impl<B> RequestBody<B> {
    pub(crate) fn new(
        settings: &Arc<Settings>,
        answer: &Answer,
        method: MethodId,
        input: Input,
        body: B,
        progress: Progress,
    ) -> Self {
        let decoding = Decoding {
            settings: Arc::clone(settings),
            method,
            codec: answer.codec,
            gzip: input.gzip,
        };
        let kind = match input.source {
            Source::Body => Kind::Unary(UnaryRequest::of_body(body, decoding)),
            Source::Query(message) => Kind::Unary(UnaryRequest::of_query(message, decoding)),
            Source::Envelopes => Kind::Stream(StreamRequest::new(body, decoding)),
        };
        Self { kind, progress, is_over: false }
    }

    /// A body that fails as soon as it is read, which is recorded as a refusal of the call.
    pub(crate) fn refused(refusal: &Refusal, info: CallInfo, progress: Progress) -> Self {
        let refused = Refused { status: refusal.status.clone(), reason: refusal.reason, info };
        Self { kind: Kind::Refused(refused), progress, is_over: false }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        let data = match this.kind.project() {
            KindProjection::Unary(request) => request.poll_data(cx, this.progress),
            KindProjection::Stream(request) => request.poll_data(cx, this.progress),
            KindProjection::Refused(refused) => {
                this.progress.set_refused();
                refused.info.add_refusal(tonic_call::Refusal::new(LAYER, refused.reason));
                Poll::Ready(Some(Err(refused.status.clone().into())))
            }
        };
        let data = std::task::ready!(data);
        *this.is_over = !matches!(data, Some(Ok(_)));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}
