//! A future or body that completes is dropped in its last poll, within the scope of that poll.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Response, request};
use http_body::{Body, Frame};
use tonic::{Code, Status};
use tonic_call::{Call, End, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::{PanicsInDrop, SIDES, Script, poll_once, silence_panics, to};
use tower::{Layer as _, Service as _, service_fn};

/// Counts the scopes that are entered, and the panics.
#[derive(Clone, Default)]
struct Scopes {
    entered: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    unwound: Arc<AtomicUsize>,
    codes: Arc<Mutex<Vec<Code>>>,
}

impl Scopes {
    fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    fn is_inside(&self) -> bool {
        self.entered() > self.left.load(Ordering::SeqCst)
    }
}

impl Observer for Scopes {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut request::Parts) -> Option<Self> {
        Some(self.clone())
    }
}

impl Call for Scopes {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let output = poll();
        self.left.fetch_add(1, Ordering::SeqCst);
        output
    }

    fn unwound(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
        self.unwound.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self, end: End<'_>) {
        self.codes.lock().unwrap().push(end.code());
    }
}

/// Notes in which scope it is dropped: its number, or 0 outside all scopes.
struct NotesDrop(Scopes, Arc<Mutex<Vec<usize>>>);

impl Drop for NotesDrop {
    fn drop(&mut self) {
        let number = if self.0.is_inside() { self.0.entered() } else { 0 };
        self.1.lock().unwrap().push(number);
    }
}

/// A future or body with a value that is dropped with it.
struct With<T, D>(T, D);

impl<D> With<Script, D> {
    fn respond(self) -> Response<Self> {
        let Self(script, with) = self;
        script.respond().map(|script| Self(script, with))
    }
}

impl<T: Unpin, D: Unpin> Future for With<Option<T>, D> {
    type Output = Result<T, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
    }
}

impl<D: Unpin> Body for With<Script, D> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

/// Polls a body until a frame is not data, and returns whether that was the trailers.
fn poll_to_end<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> bool {
    loop {
        match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {}
            Poll::Ready(Some(Ok(_))) => return true,
            Poll::Ready(_) | Poll::Pending => return false,
        }
    }
}

fn layer(side: Side, scopes: &Scopes) -> ObserveLayer<Scopes> {
    ObserveLayer::new(side, scopes.clone())
}

fn answer() -> Script {
    Script::new().messages(1).trailers(Code::Ok)
}

#[test]
fn a_future_and_a_body_that_complete_are_dropped_in_the_scope_of_their_last_poll() {
    for side in SIDES {
        let (scopes, drops) = (Scopes::default(), Arc::default());
        let noted = || NotesDrop(scopes.clone(), Arc::clone(&drops));
        let numbers = || drops.lock().unwrap().clone();
        let service = service_fn(|_| With(Some(With(answer(), noted()).respond()), noted()));
        let mut future = Box::pin(layer(side, &scopes).layer(service).call(to("/a.B/C")));
        // To call the service, and to drop the request, which this service does not read.
        assert_eq!((scopes.entered(), numbers()), (2, vec![]));
        let Poll::Ready(Ok(response)) = poll_once(future.as_mut()) else { panic!("it is ready") };
        assert_eq!((scopes.entered(), numbers()), (3, vec![3]));
        drop(future);
        assert_eq!(scopes.entered(), 3, "nothing is left to drop");

        let mut body = response.into_body();
        assert!(poll_to_end(&mut body));
        // One scope for the message, one for the trailers.
        assert_eq!((scopes.entered(), numbers()), (5, vec![3, 5]));
        assert!(body.is_end_stream());
        assert!(!poll_to_end(&mut body));
        let entered = scopes.entered();
        drop(body);
        assert_eq!(scopes.entered(), entered, "nothing is left to drop");
        assert_eq!(*scopes.codes.lock().unwrap(), [Code::Ok]);
    }
}

#[test]
fn a_request_body_that_ends_is_dropped_in_the_scope_of_its_last_poll() {
    for side in SIDES {
        let (scopes, drops) = (Scopes::default(), Arc::default());
        let sent = With(Script::new().messages(2), NotesDrop(scopes.clone(), Arc::clone(&drops)));
        let service = service_fn(|request: http::Request<tonic::body::Body>| {
            let mut body = request.into_body();
            let before = scopes.entered();
            assert!(!poll_to_end(&mut body));
            assert_eq!(*drops.lock().unwrap(), [before + 3], "two messages, and the end");
            drop(body);
            assert_eq!(scopes.entered(), before + 3, "nothing is left to drop");
            std::future::ready(Ok::<_, Infallible>(answer().respond()))
        });
        drop(layer(side, &scopes).layer(service).call(to("/a.B/C").map(|_| sent)));
        assert_eq!(drops.lock().unwrap().len(), 1);
    }
}

#[test]
fn what_has_not_completed_is_dropped_in_a_scope_of_its_own() {
    for side in SIDES {
        let (scopes, drops) = (Scopes::default(), Arc::default());
        let noted = || NotesDrop(scopes.clone(), Arc::clone(&drops));
        let never = service_fn(|_| With(None::<Response<Script>>, noted()));
        let mut future = Box::pin(layer(side, &scopes).layer(never).call(to("/a.B/C")));
        assert!(poll_once(future.as_mut()).is_pending());
        let before = scopes.entered();
        drop(future);
        assert_eq!(
            (scopes.entered(), drops.lock().unwrap().clone()),
            (before + 1, vec![before + 1])
        );

        let stalls = service_fn(|_| {
            let body = With(Script::new().messages(1).stall(), noted());
            std::future::ready(Ok::<_, Infallible>(body.respond()))
        });
        let mut future = Box::pin(layer(side, &scopes).layer(stalls).call(to("/a.B/C")));
        let Poll::Ready(Ok(response)) = poll_once(future.as_mut()) else { panic!("it is ready") };
        let mut body = response.into_body();
        assert!(!poll_to_end(&mut body));
        let before = scopes.entered();
        drop(body);
        assert_eq!(scopes.entered(), before + 1);
        assert_eq!(drops.lock().unwrap().last(), Some(&(before + 1)));
    }
}

/// As before: the panic of a destructor comes after the answer, when the watched future or body is dropped.
#[test]
fn a_panic_of_a_destructor_does_not_lose_the_answer_and_is_reported_once() {
    silence_panics();
    for side in SIDES {
        let scopes = Scopes::default();
        let unwound = || scopes.unwound.load(Ordering::SeqCst);
        let service =
            service_fn(|_| With(Some(With(answer(), PanicsInDrop).respond()), PanicsInDrop));
        let mut future = Box::pin(layer(side, &scopes).layer(service).call(to("/a.B/C")));
        let Poll::Ready(Ok(response)) = poll_once(future.as_mut()) else { panic!("it is ready") };
        assert_eq!(unwound(), 0);
        catch_unwind(AssertUnwindSafe(|| drop(future))).unwrap_err();
        assert_eq!(unwound(), 1);

        let mut body = response.into_body();
        assert!(poll_to_end(&mut body), "the trailers are not lost");
        assert_eq!((unwound(), scopes.codes.lock().unwrap().clone()), (1, vec![Code::Ok]));
        let payload = catch_unwind(AssertUnwindSafe(|| drop(body))).unwrap_err();
        assert_eq!(tonic_call::panic_message(&*payload), Some("in drop, on purpose"));
        assert_eq!((unwound(), scopes.codes.lock().unwrap().clone()), (2, vec![Code::Ok]));
    }
}

#[test]
fn a_panic_of_a_destructor_that_nobody_watches_is_not_lost_either() {
    silence_panics();
    for side in SIDES {
        let service =
            service_fn(|_| With(Some(With(answer(), PanicsInDrop).respond()), PanicsInDrop));
        let mut skipped = ObserveLayer::new(side, None::<Scopes>).layer(service);
        let mut future = Box::pin(skipped.call(to("/a.B/C")));
        let Poll::Ready(Ok(response)) = poll_once(future.as_mut()) else { panic!("it is ready") };
        catch_unwind(AssertUnwindSafe(|| drop(future))).unwrap_err();

        let mut body = response.into_body();
        assert!(poll_to_end(&mut body), "the trailers are not lost");
        let payload = catch_unwind(AssertUnwindSafe(|| drop(body))).unwrap_err();
        assert_eq!(tonic_call::panic_message(&*payload), Some("in drop, on purpose"));
    }
}
