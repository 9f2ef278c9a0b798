//! Logs and metrics agree on every call, however it ends and whichever layer is outside.
#![allow(clippy::unwrap_used)]

#[path = "../../logging/tests/common/mod.rs"]
mod common;

use std::future::pending;
use std::time::Duration;

use common::{Lines, SIDES, frame, poll_once, run, stream, to_kind, trailers_only, with};
use http::{Request, Response};
use tokio::time::advance;
use tonic::Status;
use tonic::body::Body;
use tonic_call::{AnswerBody, Cut, EndedBy, MethodKind, ObserveLayer, Refusal, Rejection, Side};
use tonic_call_test_kit::{Script, silence_panics};
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::exporter::{Prometheus, Scrape};
use tonic_metrics_layer::{CodeSpelling, MetricsLayer};
use tonic_recovery_layer::RecoveryLayer;
use tower::{Layer, Service, service_fn};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Well,
    NotFoundInHead,
    DataLossInTrailers,
    WithoutStatus,
    Undefined,
    ServiceFails,
    BodyFails,
    RequestBreaksOff,
    Refused,
    NeverPolled,
    DroppedBeforeHead,
    DroppedUnread,
    DroppedInStream,
    DroppedBeforeTrailers,
    DroppedAfterTrailers,
    DeadlineBeforeHead,
    DeadlineInStream,
    IsCut,
}

use Ending::*;

const ENDINGS: [(Ending, &str, &str); 18] = [
    (Well, "OK", "service"),
    (NotFoundInHead, "NOT_FOUND", "service"),
    (DataLossInTrailers, "DATA_LOSS", "service"),
    (WithoutStatus, "UNKNOWN", "service"),
    (Undefined, "UNKNOWN", "service"),
    (ServiceFails, "ABORTED", "service"),
    (BodyFails, "UNAVAILABLE", "service"),
    (RequestBreaksOff, "CANCELLED", "caller"),
    (Refused, "PERMISSION_DENIED", "refusal"),
    (NeverPolled, "CANCELLED", "caller"),
    (DroppedBeforeHead, "CANCELLED", "caller"),
    (DroppedUnread, "CANCELLED", "caller"),
    (DroppedInStream, "CANCELLED", "caller"),
    (DroppedBeforeTrailers, "CANCELLED", "caller"),
    (DroppedAfterTrailers, "OK", "service"),
    (DeadlineBeforeHead, "DEADLINE_EXCEEDED", "deadline"),
    (DeadlineInStream, "DEADLINE_EXCEEDED", "deadline"),
    (IsCut, "DEADLINE_EXCEEDED", "deadline"),
];

type Answer = Result<Response<AnswerBody<Script>>, Status>;

/// A service whose calls end in this way, if the service ends them.
fn service(
    ending: Ending,
) -> impl Service<
    Request<Body>,
    Response = Response<AnswerBody<Script>>,
    Error = Status,
    Future: Future<Output = Answer> + Send,
> + Clone {
    service_fn(move |request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        common::drain(body).await;
        let response = match ending {
            NotFoundInHead => trailers_only(&Status::not_found("")),
            DataLossInTrailers => stream(2, &Status::data_loss("")),
            WithoutStatus => Script::new().messages(2).respond(),
            Undefined => {
                let status = ("grpc-status".parse().unwrap(), 99.into());
                Script::new().trailers_of(http::HeaderMap::from_iter([status])).respond()
            }
            ServiceFails => return Err(Status::aborted("")),
            BodyFails => Script::new().messages(1).error(Status::unavailable("")).respond(),
            Refused => {
                let refusal = Refusal::new("auth", "TOKEN_EXPIRED");
                let rejection = Rejection::new(refusal, Status::permission_denied(""));
                return Ok(rejection.into_response(&head.extensions));
            }
            DroppedBeforeHead | DeadlineBeforeHead => pending().await,
            DeadlineInStream | IsCut => Script::new().messages(1).stall().respond(),
            _ => stream(2, &Status::ok("")),
        };
        Ok(response.map(AnswerBody::inner))
    })
}

/// Makes one call, and ends it in this way, if the caller ends it.
async fn end<S, B>(ending: Ending, mut service: S)
where
    S: Service<Request<Script>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Error: std::fmt::Debug> + Unpin,
{
    let mut request = with(to_kind(MethodKind::ServerStream), &[("grpc-timeout", "1S")]);
    if ending == RequestBreaksOff {
        *request.body_mut() = Script::new().messages(1).error(Status::cancelled("reset"));
    }
    let taken = match ending {
        NeverPolled => return drop(service.call(request)),
        DroppedBeforeHead | DeadlineBeforeHead => {
            let mut response = Box::pin(service.call(request));
            assert!(poll_once(response.as_mut()).is_pending());
            if ending == DeadlineBeforeHead {
                advance(Duration::from_secs(1)).await;
            }
            return;
        }
        DroppedUnread => 0,
        DroppedInStream | DeadlineInStream => 1,
        DroppedBeforeTrailers => 2,
        DroppedAfterTrailers => 3,
        _ => {
            run(service, request).await;
            return;
        }
    };
    let mut body = service.call(request).await.unwrap().into_body();
    for _ in 0..taken {
        frame(&mut body).await;
    }
    if ending == DeadlineInStream {
        advance(Duration::from_secs(1)).await;
    }
}

/// Ends each call after its response head.
fn cuts<S>(
    service: S,
) -> impl Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error = Status> + Unpin>,
    Error = Status,
    Future: Future + Send,
>
where
    S: Service<
            Request<Body>,
            Response = Response<AnswerBody<Script>>,
            Error = Status,
            Future: Future<Output = Answer> + Send + 'static,
        > + Clone
        + Send
        + 'static,
{
    service_fn(move |request: Request<Body>| {
        let (cut, response) = Cut::call(&mut service.clone(), request);
        async move {
            let response = response.await;
            assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
            response
        }
    })
}

/// The metrics.
struct Metrics {
    scrape: Scrape,
    layer: MetricsLayer,
}

impl Metrics {
    fn new(side: Side) -> Self {
        let (recorder, scrape) = Prometheus::new().build().unwrap();
        let layer = match side {
            Side::Server => MetricsLayer::server(),
            Side::Client => MetricsLayer::client(),
        };
        let layer = layer.methods(&common::methods()).code_spelling(CodeSpelling::UpperSnake);
        Self { scrape, layer: layer.with_recorder(recorder) }
    }

    /// The labels of the series of this family that are not zero.
    fn of(&self, family: &str) -> Vec<(String, f64)> {
        let text = self.scrape.render();
        assert!(text.contains(family), "{family} is not there");
        let samples = text.lines().filter_map(|line| {
            let (labels, value) =
                line.strip_prefix(family)?.strip_prefix('{')?.rsplit_once("} ")?;
            Some((labels.to_owned(), value.parse().unwrap()))
        });
        samples.filter(|(_, value)| *value != 0.0).collect()
    }
}

/// Checks that there is one log line and one increment, and that they agree.
#[track_caller]
fn agree(lines: &Lines, metrics: &Metrics, side: Side, code: &str, ended_by: &str, case: &str) {
    let line = lines.take_only();
    assert_eq!(line.ending(), (code, ended_by), "{case}");
    let side = common::name_of(side);
    let handled = metrics.of(&format!("grpc_{side}_handled_total"));
    let [(labels, count)] = &handled[..] else { panic!("{case}: one series, not {handled:#?}") };
    assert_eq!(*count, 1.0, "{case}");
    assert!(labels.contains(&format!("grpc_code=\"{code}\"")), "{case}: {labels}");
    assert!(labels.contains("grpc_method=\"ServerStream\""), "{case}: {labels}");
    let started = metrics.of(&format!("grpc_{side}_started_total"));
    assert!(matches!(started[..], [(_, 1.0)]), "{case}: {started:?}");
    let in_flight = metrics.of(&format!("grpc_{side}_in_flight"));
    assert!(in_flight.is_empty(), "{case}: {in_flight:?}");
    let sent = if side == "server" { "sent" } else { "received" };
    let sent = metrics.of(&format!("grpc_{side}_msg_{sent}_total"));
    let sent = sent.iter().map(|(_, count)| *count as u64).sum::<u64>();
    assert_eq!(line.number("grpc.response.messages"), Some(sent), "{case}");
    if side == "server" {
        let panics = metrics.of("grpc_server_panics_total").len();
        assert!(panics == 0 || ended_by == "panic", "{case}");
    }
}

fn logging(side: Side) -> LoggingLayer {
    common::described(side)
}

#[tokio::test(start_paused = true)]
async fn every_ending_is_one_line_and_one_increment_in_either_order() {
    let lines = Lines::listen();
    for side in SIDES {
        for (ending, code, ended_by) in ENDINGS.into_iter().filter(|(ending, ..)| *ending != IsCut)
        {
            // Services always send a status: for a client, a missing one was lost in transit.
            let ended_by = match (side, ending) {
                (Side::Client, WithoutStatus) => "transport",
                _ => ended_by,
            };
            let metrics = Metrics::new(side);
            end(ending, metrics.layer.layer(logging(side).layer(service(ending)))).await;
            let case = format!("{side:?} {ending:?}, metrics outside");
            agree(&lines, &metrics, side, code, ended_by, &case);

            let metrics = Metrics::new(side);
            end(ending, logging(side).layer(metrics.layer.layer(service(ending)))).await;
            let case = format!("{side:?} {ending:?}, logging outside");
            agree(&lines, &metrics, side, code, ended_by, &case);

            let metrics = Metrics::new(side);
            let observers = (metrics.layer.observer(), logging(side).observer());
            let one_pass = match side {
                Side::Server => ObserveLayer::server(observers),
                Side::Client => ObserveLayer::client(observers),
            };
            let one_pass = one_pass.known(metrics.layer.known_methods());
            end(ending, one_pass.layer(service(ending))).await;
            let case = format!("{side:?} {ending:?}, in one pass");
            agree(&lines, &metrics, side, code, ended_by, &case);
        }
    }
}

#[tokio::test]
async fn a_call_that_is_cut_is_one_line_and_one_increment_in_either_order() {
    let lines = Lines::listen();
    let (_, code, ended_by) = ENDINGS[ENDINGS.len() - 1];
    for side in SIDES {
        let metrics = Metrics::new(side);
        let cut = cuts(service(IsCut));
        end(IsCut, metrics.layer.layer(logging(side).layer(cut))).await;
        agree(&lines, &metrics, side, code, ended_by, "metrics outside");

        let metrics = Metrics::new(side);
        let cut = cuts(service(IsCut));
        end(IsCut, logging(side).layer(metrics.layer.layer(cut))).await;
        agree(&lines, &metrics, side, code, ended_by, "logging outside");
    }
}

/// Where a call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Call,
    Future,
    Stream,
    Drop,
}

fn panics(
    place: Place,
) -> impl Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = common::Answer> + Send,
> + Clone {
    service_fn(move |_: Request<Body>| {
        assert!(place != Place::Call, "in call, on purpose");
        async move {
            assert!(place != Place::Future, "in a future, on purpose");
            let script = Script::new().messages(2);
            Ok(match place {
                Place::Drop => script.error(Status::internal("")).panics_in_drop().respond(),
                _ => script.panic().respond(),
            })
        }
    })
}

#[tokio::test]
async fn a_panic_is_one_line_and_one_increment_wherever_it_is_recovered() {
    let lines = Lines::listen();
    silence_panics();
    for side in SIDES {
        for place in [Place::Call, Place::Future, Place::Stream] {
            let recovery = match side {
                Side::Server => RecoveryLayer::server,
                Side::Client => RecoveryLayer::client,
            };
            for number in 0..6 {
                let (metrics, logging) = (Metrics::new(side), logging(side));
                let (counts, recovers, panics) = (&metrics.layer, recovery(), panics(place));
                let request = to_kind(MethodKind::ServerStream);
                match number {
                    0 => run(counts.layer(logging.layer(recovers.layer(panics))), request).await,
                    1 => run(counts.layer(recovers.layer(logging.layer(panics))), request).await,
                    2 => run(logging.layer(counts.layer(recovers.layer(panics))), request).await,
                    3 => run(logging.layer(recovers.layer(counts.layer(panics))), request).await,
                    4 => run(recovers.layer(counts.layer(logging.layer(panics))), request).await,
                    _ => run(recovers.layer(logging.layer(counts.layer(panics))), request).await,
                };
                let case = format!("{side:?} {place:?}, order {number}");
                agree(&lines, &metrics, side, "INTERNAL", "panic", &case);
            }
        }
    }
}

#[tokio::test]
async fn a_panic_in_a_destructor_after_the_end_changes_neither() {
    let lines = Lines::listen();
    silence_panics();
    let (metrics, logging) = (Metrics::new(Side::Server), logging(Side::Server));
    let recovered = RecoveryLayer::server().layer(panics(Place::Drop));
    run(logging.layer(metrics.layer.layer(recovered)), to_kind(MethodKind::ServerStream)).await;
    assert_eq!(lines.take_only().ending(), ("INTERNAL", "service"));
    let handled = metrics.of("grpc_server_handled_total");
    assert!(matches!(handled[..], [(_, 1.0)]), "{handled:?}");
}

#[tokio::test]
async fn an_unknown_path_is_told_as_it_came_and_counted_as_unknown() {
    let lines = Lines::listen();
    let metrics = Metrics::new(Side::Server);
    let service = logging(Side::Server).layer(metrics.layer.layer(service(NotFoundInHead)));
    run(service, common::to("/a.B/C")).await;
    assert_eq!(lines.take_only().text("rpc.method"), Some("a.B/C"));
    let handled = metrics.of("grpc_server_handled_total");
    let [(labels, 1.0)] = &handled[..] else { panic!("one series, not {handled:#?}") };
    assert!(labels.contains("grpc_method=\"unknown\"") && !labels.contains("a.B"), "{labels}");
}
