//! A call that is cut from outside ends with the cut's status, at any time and for any poller.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::Response;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::{CallInfo, Cut, CutBody, End, EndedBy};
use tonic_call_test_kit::{PanicsInDrop, Script, frame_of, silence_panics};

type Body = CutBody<Script, Infallible>;

async fn cut_with_body(script: Script) -> (Cut, Body) {
    let (cut, response) = Cut::around(ready(Ok(script.respond())), None);
    (cut, response.await.unwrap().into_body())
}

fn poll(body: &mut Body, waker: &Waker) -> Poll<Option<http_body::Frame<bytes::Bytes>>> {
    let frame = Pin::new(body).poll_frame(&mut Context::from_waker(waker));
    frame.map(|frame| frame.map(Result::unwrap))
}

fn code(headers: &http::HeaderMap) -> Code {
    Code::from_bytes(headers["grpc-status"].as_bytes())
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sets its count when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn before_the_head_the_answer_is_trailers_only() {
    let drops = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(drops.clone());
    let (cut, response) = Cut::around(
        async move {
            let _guard = guard;
            pending::<Result<Response<Script>, Infallible>>().await
        },
        None,
    );
    let mut response = pin!(response);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    assert!(response.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());

    assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
    assert_eq!(drops.load(Ordering::SeqCst), 1, "dropped at once, while nobody polls");
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")), "the first cut counts");

    let response = response.await.unwrap();
    assert_eq!(code(response.headers()), Code::DeadlineExceeded);
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn a_call_that_was_never_polled_can_be_cut() {
    let (cut, response) = Cut::around(pending::<Result<Response<Script>, Infallible>>(), None);
    assert!(cut.cut(EndedBy::Deadline, Status::unavailable("")));
    assert_eq!(code(response.await.unwrap().headers()), Code::Unavailable);
}

#[tokio::test]
async fn after_the_head_the_trailers_carry_the_status() {
    let (cut, mut body) = cut_with_body(Script::new().messages(2).stall()).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), frame_of(b"x"));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    assert!(poll(&mut body, &waker).is_ready());
    assert!(poll(&mut body, &waker).is_pending());
    assert!(!body.is_end_stream());

    assert!(cut.cut(EndedBy::Deadline, Status::unauthenticated("expired")));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(!body.is_end_stream(), "the trailers are still to come");
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (code(&trailers), &trailers["grpc-message"]),
        (Code::Unauthenticated, &"expired".parse().unwrap())
    );
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_message_that_is_ready_is_not_read_after_the_cut() {
    let (cut, mut body) = cut_with_body(Script::new().messages(1_000_000)).await;
    body.frame().await.unwrap().unwrap();
    cut.cut(EndedBy::Deadline, Status::aborted(""));
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(code(&trailers), Code::Aborted);
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")), "its caller already has the end");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_call_that_is_over_is_not_cut() {
    let (cut, mut body) = cut_with_body(Script::new().messages(1).trailers(Code::Ok)).await;
    while body.frame().await.is_some() {}
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));

    let (cut, mut body) = cut_with_body(Script::new().messages(1).says_end()).await;
    body.frame().await.unwrap().unwrap();
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));
    assert!(body.is_end_stream());

    let (cut, body) = cut_with_body(Script::new().stall()).await;
    drop(body);
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));

    let (cut, response) = Cut::around(pending::<Result<Response<Script>, Infallible>>(), None);
    drop(response);
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));

    let (cut, response) = Cut::around(ready(Err::<Response<Script>, _>("failed")), None);
    assert_eq!(response.await.unwrap_err(), "failed");
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));
}

/// A body that cuts its own call while it is polled.
struct CutsItself {
    cut: Arc<std::sync::OnceLock<Cut>>,
    then: Poll<Option<http_body::Frame<bytes::Bytes>>>,
    _guard: Dropped,
}

impl http_body::Body for CutsItself {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Infallible>>> {
        assert!(self.cut.get().unwrap().cut(EndedBy::Deadline, Status::aborted("")));
        std::mem::replace(&mut self.then, Poll::Pending).map(|frame| frame.map(Ok))
    }
}

#[tokio::test]
async fn a_cut_during_a_poll_takes_effect_right_after_the_poll() {
    let data = http_body::Frame::data(frame_of(b"out"));
    for (then, frames) in [(Poll::Pending, 0), (Poll::Ready(None), 0), (Poll::Ready(Some(data)), 1)]
    {
        let slot = Arc::new(std::sync::OnceLock::new());
        let drops = Arc::new(AtomicUsize::new(0));
        let body = CutsItself { cut: slot.clone(), then, _guard: Dropped(drops.clone()) };
        let (cut, response) = Cut::around(ready(Ok::<_, Infallible>(Response::new(body))), None);
        let mut body = response.await.unwrap().into_body();
        assert!(slot.set(cut).is_ok());
        for _ in 0..frames {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!((code(&trailers), drops.load(Ordering::SeqCst)), (Code::Aborted, 1));
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_panic_while_dropping_a_cut_call_is_caught() {
    silence_panics();
    let (cut, mut body) = cut_with_body(Script::new().stall().panics_in_drop()).await;
    assert!(cut.cut(EndedBy::Deadline, Status::aborted("")));
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(code(&trailers), Code::Aborted);

    let bomb = PanicsInDrop;
    let (cut, response) = Cut::around(
        async move {
            let _bomb = bomb;
            pending::<Result<Response<Script>, Infallible>>().await
        },
        None,
    );
    assert!(cut.cut(EndedBy::Deadline, Status::aborted("")));
    assert_eq!(code(response.await.unwrap().headers()), Code::Aborted);
}

#[tokio::test]
async fn a_panic_payload_that_panics_when_dropped_does_not_delay_the_status() {
    struct PanicsTwice;

    impl Drop for PanicsTwice {
        fn drop(&mut self) {
            std::panic::panic_any(PanicsInDrop);
        }
    }

    silence_panics();
    let bomb = PanicsTwice;
    let (cut, response) = Cut::around(
        async move {
            let _bomb = bomb;
            pending::<Result<Response<Script>, Infallible>>().await
        },
        None,
    );
    let mut response = pin!(response);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    assert!(response.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(cut.cut(EndedBy::Deadline, Status::aborted("")));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(code(response.await.unwrap().headers()), Code::Aborted);
}

#[tokio::test]
async fn a_call_that_ended_with_its_head_is_not_cut() {
    let only = || Status::not_found("").into_http::<Script>().map(|_| Script::new().says_end());
    let with_a_body = || Status::not_found("").into_http::<Script>().map(|_| Script::new().stall());
    for response in [only(), with_a_body()] {
        let (cut, response) = Cut::around(ready(Ok::<_, Infallible>(response)), None);
        let response = response.await.unwrap();
        let at_end = response.body().is_end_stream();
        assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")));
        assert_eq!(response.body().is_end_stream(), at_end);
        assert_eq!(code(response.headers()), Code::NotFound);
    }
}

#[tokio::test]
async fn a_cut_during_the_poll_that_returns_the_head_takes_effect() {
    for answers in [true, false] {
        let slot = Arc::new(std::sync::OnceLock::<Cut>::new());
        let cut_by_itself = slot.clone();
        let (cut, response) = Cut::around(
            async move {
                let cut = cut_by_itself.get().unwrap();
                assert!(cut.cut(EndedBy::Deadline, Status::aborted("")));
                if !answers {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(Script::new().messages(1).respond())
            },
            None,
        );
        assert!(slot.set(cut).is_ok());
        let response = response.await.unwrap();
        assert_eq!(code(response.headers()), Code::Aborted);
        assert!(response.body().is_end_stream());
    }
}

#[tokio::test]
async fn a_poll_that_unwinds_keeps_what_it_polled_until_the_call_is_dropped() {
    silence_panics();
    // Dropping the body while its panic unwinds would be a second panic, and abort the process.
    let script = Script::new().panic().panics_in_drop();
    let (cut, response) = Cut::around(ready(Ok::<_, Infallible>(script.respond())), None);
    let mut body = response.await.unwrap().into_body();
    let caught = |poll: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).unwrap_err()
    };
    caught(&mut || drop(poll(&mut body, Waker::noop())));
    assert!(!cut.cut(EndedBy::Deadline, Status::aborted("")), "it has ended by itself");
    let mut body = Some(body);
    caught(&mut || drop(body.take()));
}

#[tokio::test]
async fn a_cut_ends_the_request_body_even_in_another_task() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let mut service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let sender = sender.lock().unwrap().take().unwrap();
        let _ = sender.send(request.into_body());
        pending::<Result<Response<Script>, Infallible>>()
    });
    let drops = Arc::new(AtomicUsize::new(0));
    let requests = Guarded(Script::new().messages(1).stall(), Dropped(drops.clone()));
    let (cut, response) = Cut::call(&mut service, http::Request::new(requests));
    let mut requests = receiver.await.unwrap();
    assert!(requests.frame().await.unwrap().unwrap().is_data());
    let reader = tokio::spawn(async move {
        let last = requests.frame().await.unwrap().unwrap_err();
        (last.code(), requests.frame().await.is_none(), requests)
    });
    tokio::task::yield_now().await;
    assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
    let (last, is_over, _requests) = reader.await.unwrap();
    assert_eq!((last, is_over), (Code::DeadlineExceeded, true));
    assert_eq!(drops.load(Ordering::SeqCst), 1, "HTTP's own body is gone, whoever holds this one");
    assert_eq!(code(response.await.unwrap().headers()), Code::DeadlineExceeded);
}

/// A body with a value that signals when it is dropped.
struct Guarded(Script, #[allow(dead_code)] Dropped);

impl http_body::Body for Guarded {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test]
async fn a_cut_records_what_ended_the_call_before_it_drops_the_call() {
    struct Asks(CallInfo, Arc<std::sync::Mutex<Option<EndedBy>>>);

    impl Drop for Asks {
        fn drop(&mut self) {
            let dropped = End::Dropped { responded: false, cause: tonic_call::Cause::CallerLeft };
            *self.1.lock().unwrap() = Some(self.0.ended_by(&dropped));
        }
    }

    let (info, seen) = (CallInfo::new(tonic_call::Side::Server), Arc::default());
    let asks = Asks(info.clone(), Arc::clone(&seen));
    let (cut, _response) = Cut::around(
        async move {
            let _asks = asks;
            pending::<Result<Response<Script>, Infallible>>().await
        },
        Some(info),
    );
    assert!(cut.cut(EndedBy::Refusal { by: "auth" }, Status::unauthenticated("expired")));
    assert_eq!(*seen.lock().unwrap(), Some(EndedBy::Refusal { by: "auth" }));
}

#[tokio::test]
async fn a_cut_that_is_a_refusal_records_its_reason_once() {
    let info = CallInfo::new(tonic_call::Side::Server);
    let response = pending::<Result<Response<Script>, Infallible>>();
    let (cut, _response) = Cut::around(response, Some(info.clone()));
    let expired = tonic_call::Refusal::new("auth", "TOKEN_EXPIRED");
    let fields = [("auth.check", "expiry".into())];
    assert!(cut.refuse_with(&expired, fields, Status::unauthenticated("expired")));
    let later = tonic_call::Refusal::new("drain", "STOPPING");
    let fields = [("drain.left", 3_u32.into()), ("auth.check", "another".into())];
    assert!(!cut.refuse_with(&later, fields, Status::unavailable("stopping")));
    assert!(!cut.refuse(&later, Status::unavailable("stopping")));
    assert_eq!(info.refusals(), [expired]);
    assert_eq!(info.fields(), [("auth.check".into(), "expiry".into())]);
    let dropped = End::Dropped { responded: false, cause: tonic_call::Cause::CallerLeft };
    assert_eq!(info.ended_by(&dropped), EndedBy::Refusal { by: "auth" });
}

/// One thread cuts at any moment while another polls: the call always ends, with one status.
#[test]
fn a_cut_from_another_thread_is_never_lost() {
    for round in 0..2_000 {
        let script = Script::new().messages(round % 50).stall();
        let (cut, response) = Cut::around(ready(Ok::<_, Infallible>(script.respond())), None);
        let cutter = std::thread::spawn(move || cut.cut(EndedBy::Deadline, Status::aborted("")));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ended = runtime.block_on(async {
            let response = response.await.unwrap();
            if response.headers().contains_key("grpc-status") {
                return code(response.headers());
            }
            let collected = response.into_body().collect().await.unwrap();
            code(collected.trailers().unwrap())
        });
        assert_eq!(ended, Code::Aborted);
        assert!(cutter.join().unwrap());
    }
}
