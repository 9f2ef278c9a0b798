//! Answers in the protocol of the request.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, response};
use http_body::Body;
use tonic::{Code, Status};
use tonic_call::{code_of_head, is_grpc};

use crate::body::{Collected, Progress, ResponseBody, ResponseStream, UnaryResponse};
use crate::detect::Answer;
use crate::error::{Failure, error_body, http_status, retry_after};
use crate::gzip;
use crate::head::{
    CONNECT_ACCEPT_ENCODING, CONNECT_CONTENT_ENCODING, content_length, prefix_trailers, strip_head,
    strip_trailers,
};
use crate::refusal::Refusal;
use crate::settings::Settings;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What is needed to answer a call.
pub(crate) struct Answering {
    pub(crate) settings: Arc<Settings>,
    pub(crate) answer: Answer,
    pub(crate) progress: Progress,
    pub(crate) refusal: Option<Box<Refusal>>,
}

/// What follows the head of the inner answer.
pub(crate) enum Next<B> {
    Answer(Response<ResponseBody<B>>),
    /// The answer depends on the trailers.
    Collect(Answering, response::Parts, UnaryResponse<B>),
}

impl Answering {
    /// Whether this answer is to be translated. That of another route is not; but tonic's own answer to an unknown path
    /// is one that only gRPC clients understand.
    pub(crate) fn is_needed<B: Body>(&self, inner: &Response<B>) -> bool {
        let is_unimplemented = || {
            inner.headers().contains_key(Status::GRPC_STATUS)
                && code_of_head(inner) == Some(Code::Unimplemented)
        };
        !self.answer.may_be_other || is_unimplemented()
    }

    /// Translates the answer of the inner service, or begins to.
    pub(crate) fn begin<B: Body<Data = Bytes>>(self, inner: Response<B>) -> Next<B> {
        let code = code_of_head(&inner);
        let (mut head, body) = inner.into_parts();
        let is_ok = head.headers.contains_key(Status::GRPC_STATUS);
        let failure = failure_in(code, &head);
        strip_head(&mut head.headers);
        if let Some(refusal) = self.refusal_for(failure.as_ref()) {
            return Next::Answer(self.refuse(head, refusal));
        }
        if let Some(failure) = failure {
            return Next::Answer(self.fail(head, None, &failure));
        }
        if self.answer.is_stream {
            if code == Some(Code::Ok) {
                return Next::Answer(self.end(head, None));
            }
            return Next::Answer(self.stream(head, |this| {
                ResponseStream::new(body, is_ok, this.settings, this.answer)
            }));
        }
        Next::Collect(self, head, UnaryResponse::new(body, is_ok))
    }

    /// The refusal of the request, unless a layer inside refused the call before it saw that.
    fn refusal_for(&self, failure: Option<&Failure>) -> Option<Refusal> {
        let refusal = self.refusal.as_ref()?;
        let is_unknown = refusal.http == Some(StatusCode::NOT_FOUND);
        let applies = match failure {
            None => true,
            Some(_) if self.progress.is_refused() => true,
            // The service has not read the body of a call to an unknown method.
            Some(failure) => is_unknown && failure.code == Code::Unimplemented,
        };
        applies.then(|| Refusal::clone(refusal))
    }

    /// Answers with a refusal. Those with an HTTP status of their own are no Connect errors, but plain text: a client
    /// of any protocol may get them, and a Connect client derives the code from the status.
    fn refuse<B>(self, mut head: response::Parts, refusal: Refusal) -> Response<ResponseBody<B>> {
        let Some(http) = refusal.http else {
            return self.fail(head, None, &Failure::from(&refusal.status));
        };
        head.headers.extend(refusal.header);
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        head.headers.insert(CONTENT_TYPE, text);
        self.whole_of_type(head, http, refusal.status.message().to_owned().into())
    }

    /// Answers when all of a unary answer is here.
    pub(crate) fn finish<B>(
        self,
        mut head: response::Parts,
        collected: Collected,
    ) -> Response<ResponseBody<B>> {
        let Collected { outcome, trailers } = collected;
        let message = outcome.and_then(|message| {
            let Some(method) = self.answer.method else { return Err(Failure::malformed()) };
            let output = &self.settings.methods.get(method).output;
            let message = self.answer.codec.encode(&self.settings, output, message);
            message.map_err(|status| Failure::from(&status))
        });
        let mut message = match message {
            Ok(message) => message,
            Err(failure) => return self.fail(head, Some(trailers), &failure),
        };
        if self.settings.compression {
            head.headers.insert(ACCEPT_ENCODING, GZIP);
            if self.answer.is_get {
                head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
            }
        }
        if self.answer.gzip && message.len() >= self.settings.compress_from {
            message = gzip::compress(&message);
            head.headers.insert(CONTENT_ENCODING, GZIP);
        }
        prefix_trailers(&mut head.headers, &trailers);
        self.whole(head, StatusCode::OK, message)
    }

    /// Answers with an error. `metadata` of a failure in the trailers is trailing metadata.
    fn fail<B>(
        self,
        mut head: response::Parts,
        trailers: Option<HeaderMap>,
        failure: &Failure,
    ) -> Response<ResponseBody<B>> {
        if self.answer.is_stream {
            return self.end(head, Some(failure));
        }
        if let Some(mut trailers) = trailers {
            // HTTP has a place for this one.
            while let Some(challenge) = trailers.remove(WWW_AUTHENTICATE) {
                head.headers.append(WWW_AUTHENTICATE, challenge);
            }
            prefix_trailers(&mut head.headers, &trailers);
        }
        if let Some(after) = retry_after(&failure.details) {
            head.headers.insert(RETRY_AFTER, after);
        }
        let body = error_body(&self.settings, failure);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.whole_of_type(head, http_status(failure.code), body)
    }

    fn whole<B>(
        self,
        mut head: response::Parts,
        status: StatusCode,
        body: Bytes,
    ) -> Response<ResponseBody<B>> {
        head.headers.insert(CONTENT_TYPE, self.answer.codec.content_type(false));
        self.whole_of_type(head, status, body)
    }

    fn whole_of_type<B>(
        self,
        mut head: response::Parts,
        status: StatusCode,
        body: Bytes,
    ) -> Response<ResponseBody<B>> {
        head.headers.insert(CONTENT_LENGTH, content_length(body.len()));
        head.status = status;
        Response::from_parts(head, ResponseBody::whole(body))
    }

    /// Ends a stream without a message. All metadata of such an answer are trailing.
    fn end<B>(
        self,
        mut head: response::Parts,
        failure: Option<&Failure>,
    ) -> Response<ResponseBody<B>> {
        let mut metadata = std::mem::take(&mut head.headers);
        strip_trailers(&mut metadata);
        self.stream(head, |this| {
            ResponseStream::ended(this.settings, this.answer, failure, &metadata)
        })
    }

    fn stream<B>(
        self,
        mut head: response::Parts,
        body: impl FnOnce(Self) -> ResponseStream<B>,
    ) -> Response<ResponseBody<B>> {
        head.status = StatusCode::OK;
        head.headers.insert(CONTENT_TYPE, self.answer.codec.content_type(true));
        if self.settings.compression {
            head.headers.insert(CONNECT_ACCEPT_ENCODING, GZIP);
        }
        if self.answer.gzip {
            head.headers.insert(CONNECT_CONTENT_ENCODING, GZIP);
        }
        Response::from_parts(head, ResponseBody::stream(body(self)))
    }
}

/// The failure that a head reports.
fn failure_in(code: Option<Code>, head: &response::Parts) -> Option<Failure> {
    match code {
        Some(code) if head.headers.contains_key(Status::GRPC_STATUS) => {
            Failure::with_code(code, &head.headers)
        }
        Some(code) => Some(Failure { code, ..Failure::without_status() }),
        None if is_grpc(&head.headers) == Some(true) => None,
        None => Some(Failure::new(Code::Unknown, "the service did not answer in gRPC")),
    }
}
