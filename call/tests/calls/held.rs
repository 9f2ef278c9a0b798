//! The held value is dropped at the call's real end, in every way a call can end.

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Response};
use http_body::{Body as _, Frame};
use tonic::{Code, Status};
use tonic_call::{Held, HeldBody};
use tonic_call_test_kit::{PanicsInDrop, Script, frame_of, silence_panics};

type Permit = Arc<()>;

fn is_free(permit: &Permit) -> bool {
    Arc::strong_count(permit) == 1
}

fn poll_now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is pending"),
    }
}

fn held<B: http_body::Body<Data = bytes::Bytes>>(
    permit: &Permit,
    response: Response<B>,
) -> HeldBody<B, Permit> {
    let response = Held::new(ready(Ok::<_, Status>(response)), Some(Arc::clone(permit)));
    poll_now(response).unwrap().into_body()
}

fn next<B: http_body::Body<Data = bytes::Bytes> + Unpin>(
    body: &mut HeldBody<B, Permit>,
) -> Poll<Option<Result<Frame<bytes::Bytes>, B::Error>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn trailers_release_it_before_the_caller_gets_them() {
    let permit = Permit::default();
    let script = Script::new().message(b"a").pending().message(b"b").trailers(Code::Ok);
    let mut body = held(&permit, script.respond());
    for _ in 0..3 {
        assert!(!is_free(&permit));
        let frame = next(&mut body);
        assert!(!matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    }
    assert!(!is_free(&permit));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
    assert!(is_free(&permit));
}

#[test]
fn a_body_that_ends_without_trailers_releases_it() {
    let permit = Permit::default();
    let mut body = held(&permit, Script::new().message(b"a").respond());
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))) && !is_free(&permit));
    assert!(matches!(next(&mut body), Poll::Ready(None)) && is_free(&permit));
}

#[test]
fn a_body_that_is_at_its_end_after_data_releases_it() {
    let permit = Permit::default();
    let script = Script::new().data(frame_of(b"a")).data(frame_of(b"b")).says_end();
    let mut body = held(&permit, script.respond());
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))) && !is_free(&permit));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))) && is_free(&permit));
    assert!(body.is_end_stream());
}

#[test]
fn an_error_of_the_body_releases_it() {
    let permit = Permit::default();
    let mut body = held(&permit, Script::new().error(Status::data_loss("lost")).respond());
    assert!(!is_free(&permit));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Err(_)))) && is_free(&permit));
}

#[test]
fn a_head_that_is_the_whole_answer_releases_it() {
    let permit = Permit::default();
    let ended = held(&permit, Script::new().says_end().respond());
    assert!(is_free(&permit));
    drop(ended);

    // The call has failed, although the body does not report its end.
    let mut failed = Script::new().stall().respond();
    failed.headers_mut().insert("grpc-status", 5.into());
    let failed = held(&permit, failed);
    assert!(is_free(&permit));
    drop(failed);

    // A head with `OK` may be followed by a body.
    let mut going_on = Script::new().message(b"a").respond();
    going_on.headers_mut().insert("grpc-status", 0.into());
    let going_on = held(&permit, going_on);
    assert!(!is_free(&permit));
    drop(going_on);
    assert!(is_free(&permit));
}

#[test]
fn an_error_of_the_service_releases_it() {
    let permit = Permit::default();
    let failed = ready(Err::<Response<Script>, _>(Status::unavailable("gone")));
    let mut response = pin!(Held::new(failed, Some(Arc::clone(&permit))));
    let poll = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Ready(Err(_))) && is_free(&permit));
}

#[test]
fn a_dropped_call_releases_it() {
    let permit = Permit::default();
    let waiting = pending::<Result<Response<Script>, Status>>();
    let waiting = Held::new(waiting, Some(Arc::clone(&permit)));
    assert!(!is_free(&permit));
    drop(waiting);
    assert!(is_free(&permit));

    let mut body = held(&permit, Script::new().message(b"a").stall().respond());
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(next(&mut body).is_pending() && !is_free(&permit));
    drop(body);
    assert!(is_free(&permit));
}

/// Records, when it is dropped, whether the permit was already free.
struct Tells(Permit, Arc<std::sync::Mutex<Option<bool>>>);

impl Drop for Tells {
    fn drop(&mut self) {
        // One reference belongs to the test, one to this value.
        *self.1.lock().unwrap() = Some(Arc::strong_count(&self.0) <= 2);
    }
}

#[test]
fn a_dropped_call_releases_it_last() {
    let (permit, seen) = (Permit::default(), Arc::default());
    let tells = Tells(Arc::clone(&permit), Arc::clone(&seen));
    let waiting = async move {
        let _tells = tells;
        pending::<Result<Response<Script>, Status>>().await
    };
    drop(Held::new(waiting, Some(Arc::clone(&permit))));
    assert_eq!(*seen.lock().unwrap(), Some(false));
    assert!(is_free(&permit));

    let seen = Arc::default();
    drop(held(&permit, Response::new(Telling(Tells(Arc::clone(&permit), Arc::clone(&seen))))));
    assert_eq!(*seen.lock().unwrap(), Some(false));
    assert!(is_free(&permit));
}

/// A body that stays pending for ever.
struct Telling(#[expect(dead_code, reason = "it tells when it is dropped")] Tells);

impl http_body::Body for Telling {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        Poll::Pending
    }
}

#[test]
fn after_a_panic_it_is_released_when_the_call_is_dropped() {
    silence_panics();
    let permit = Permit::default();
    let panics = async { panic!("in a future, on purpose") };
    let panics = Held::<_, Permit>::new(panics, Some(Arc::clone(&permit)));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _: Result<Response<HeldBody<Script, Permit>>, Status> = poll_now(panics);
    }));
    assert!(caught.is_err() && is_free(&permit));

    let mut body = held(&permit, Script::new().panic().respond());
    assert!(catch_unwind(AssertUnwindSafe(|| next(&mut body))).is_err());
    drop(body);
    assert!(is_free(&permit));
}

#[test]
fn a_panic_while_dropping_the_inner_future_or_body_releases_it() {
    silence_panics();
    let permit = Permit::default();
    let body = held(&permit, Script::new().stall().panics_in_drop().respond());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(body))).is_err() && is_free(&permit));

    let panics = PanicsInDrop;
    let waiting = async move {
        let _panics = panics;
        pending::<Result<Response<Script>, Status>>().await
    };
    let waiting = Held::new(waiting, Some(Arc::clone(&permit)));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waiting))).is_err() && is_free(&permit));
}

#[test]
fn without_a_value_the_call_passes_unchanged() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let script = Script::new().message(b"a").trailers_of(trailers.clone());
    let response = Held::new(ready(Ok::<_, Status>(script.respond())), None::<Permit>);
    let mut body = poll_now(response).unwrap().into_body();
    let Poll::Ready(Some(Ok(data))) = next(&mut body) else { panic!("no data") };
    assert_eq!(data.into_data().unwrap(), frame_of(b"a"));
    let Poll::Ready(Some(Ok(last))) = next(&mut body) else { panic!("no trailers") };
    assert_eq!(last.into_trailers().unwrap(), trailers);
    assert!(matches!(next(&mut body), Poll::Ready(None)));

    let exact = http_body_util::Full::new(frame_of(b"abc"));
    let response = Held::new(ready(Ok::<_, Status>(Response::new(exact))), None::<Permit>);
    let body = poll_now(response).unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(8), false));
    assert!(HeldBody::<tonic_call::AnswerBody<Script>, Permit>::default().is_end_stream());
}
