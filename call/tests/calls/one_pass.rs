//! Layers in one pass watch calls as a layer each would, and layers that can't share a pass are an error.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::request;
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::{
    Batch, Call, End, Flow, KnownMethods, Message, Methods, ObserveLayer, Observer, Observing,
    Pass, PassError, Rpc, Side, Stopwatch, observe, time_of_day,
};
use tonic_call_test_kit::{
    Ended, FILE_DESCRIPTOR_SET, Recorder, Script, answers, methods, to, trailers_only,
};
use tower::{Layer as _, Service as _};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down which of its hooks run, in which order, and in whose scope.
#[derive(Clone)]
struct Told {
    name: &'static str,
    log: Log,
    reports_in_scope: bool,
}

thread_local! {
    static SCOPES: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Told {
    fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: Arc::clone(log), reports_in_scope: true }
    }

    fn note(&self, hook: &str) {
        let scopes = SCOPES.with_borrow(|scopes| scopes.join(" "));
        self.log.lock().unwrap().push(format!("{} {hook} [{scopes}]", self.name));
    }
}

impl Observer for Told {
    type Call = Self;

    fn begin(&self, _: Side, rpc: &Rpc, _: &mut request::Parts) -> Option<Self> {
        self.note(if rpc.known().is_some() { "begin known" } else { "begin" });
        Some(self.clone())
    }

    fn begins_in_scope(&self) -> bool {
        self.reports_in_scope
    }
}

impl Call for Told {
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.note("scope");
        SCOPES.with_borrow_mut(|scopes| scopes.push(self.name));
        let output = poll();
        SCOPES.with_borrow_mut(Vec::pop);
        output
    }

    fn responded(&self, _: http::StatusCode, _: &mut http::HeaderMap) {
        self.note("responded");
    }

    fn message(&self, flow: Flow, _: Message) {
        self.note(&format!("message {flow:?}"));
    }

    fn batch(&self, flow: Flow, _: Batch) {
        self.note(&format!("batch {flow:?}"));
    }

    fn reports_in_scope(&self) -> bool {
        self.reports_in_scope
    }

    fn end(&self, end: End<'_>) {
        self.note(&format!("end {:?}", end.code()));
    }
}

/// What is noted of the beginning, of the response head and of a message in each direction, without the scopes that are
/// entered.
async fn messages_of<O: Observer>(log: &Log, layer: ObserveLayer<O>) -> Vec<String> {
    let mut service =
        layer.layer(answers(|| Ok(Script::new().message(b"a").trailers(Code::Ok).respond())));
    let request = to("/test.v1.Kinds/Unary").map(|_| Script::new().message(b"a"));
    service.call(request).await.unwrap().into_body().collect().await.unwrap();
    let noted = std::mem::take(&mut *log.lock().unwrap());
    let is_report = |note: &String| {
        ["begin", "message", "batch", "responded"].iter().any(|hook| note.contains(hook))
    };
    noted.into_iter().filter(is_report).collect()
}

#[tokio::test]
async fn beginnings_heads_and_messages_are_reported_in_the_scope_outside_only_to_calls_that_ask_for_it()
 {
    let log = Log::default();
    let outer = || ObserveLayer::server(Told::new("outer", &log));
    let inner = |reports_in_scope| {
        ObserveLayer::server(Told { reports_in_scope, ..Told::new("inner", &log) })
    };
    for (asks, request, response) in
        [(true, "[outer inner outer]", "[outer]"), (false, "[outer inner]", "[]")]
    {
        let noted = messages_of(&log, observe![outer(), inner(asks)].unwrap()).await;
        // The service reads the request in the scope of both.
        assert_eq!(
            noted,
            [
                "outer begin []",
                &format!("inner begin {response}"),
                "outer message Request [outer inner]",
                &format!("inner message Request {request}"),
                "outer batch Request [outer inner]",
                &format!("inner batch Request {request}"),
                &format!("inner responded {response}"),
                "outer responded []",
                &format!("inner message Response {response}"),
                "outer message Response []",
                &format!("inner batch Response {response}"),
                "outer batch Response []",
            ]
        );
    }
}

#[tokio::test]
async fn the_innermost_of_three_gets_messages_in_both_scopes_if_it_asks_for_it() {
    let log = Log::default();
    let told = |name, reports_in_scope| {
        ObserveLayer::server(Told { reports_in_scope, ..Told::new(name, &log) })
    };
    let layer = observe![told("a", false), told("b", false), told("c", true)].unwrap();
    let noted = messages_of(&log, layer).await;
    assert!(noted.contains(&"b begin [a]".to_owned()), "{noted:?}");
    assert!(noted.contains(&"c begin [a b]".to_owned()), "{noted:?}");
    assert!(noted.contains(&"c message Request [a b c a b]".to_owned()), "{noted:?}");
    assert!(noted.contains(&"c batch Response [a b]".to_owned()), "{noted:?}");
}

#[tokio::test]
async fn one_pass_calls_the_hooks_as_layers_of_their_own_do() {
    let all = |log: &Log, known: bool| {
        ["a", "b", "c"].map(|name| {
            let layer = ObserveLayer::server(Told::new(name, log));
            if known { layer.methods(&methods()) } else { layer }
        })
    };
    for known in [true, false] {
        for code in [Code::Ok, Code::NotFound] {
            let answer = move || {
                Ok(match code {
                    Code::Ok => Script::new().messages(2).trailers(Code::Ok).respond(),
                    code => trailers_only(&Status::new(code, "")),
                })
            };
            let (stacked, together) = (Log::default(), Log::default());
            let [a, b, c] = all(&stacked, known);
            let mut service = a.layer(b.layer(c.layer(answers(answer))));
            let body = service.call(to("/test.v1.Kinds/Unary")).await.unwrap().into_body();
            body.collect().await.unwrap();
            let [a, b, c] = all(&together, known);
            let mut service = observe![a, b, c].unwrap().layer(answers(answer));
            let body = service.call(to("/test.v1.Kinds/Unary")).await.unwrap().into_body();
            body.collect().await.unwrap();
            let hooks = |log: &Log, of: &dyn Fn(&str) -> bool| -> Vec<String> {
                let log = log.lock().unwrap();
                let hooks = log.iter().filter_map(|note| note.split(" [").next());
                hooks
                    .filter(|hook| !hook.contains(" scope") && of(hook))
                    .map(str::to_owned)
                    .collect()
            };
            for name in ["a", "b", "c"] {
                let of = |hook: &str| hook.starts_with(name);
                assert!(hooks(&together, &of).len() >= 5, "{name}, {known}, {code:?}");
                assert_eq!(
                    hooks(&together, &of),
                    hooks(&stacked, &of),
                    "{name}, {known}, {code:?}"
                );
            }
            // A layer of its own handles a frame or a head to its end before the next layer gets it.
            let of = |hook: &str| !hook.contains("batch") && !hook.contains("responded");
            assert_eq!(hooks(&together, &of), hooks(&stacked, &of), "{known}, {code:?}");
        }
    }
}

#[tokio::test]
async fn all_layers_use_the_first_descriptor_set() {
    let log = Log::default();
    let told = |name| ObserveLayer::server(Told::new(name, &log));
    let mut service = observe![told("a"), told("b").methods(&methods()), told("c")]
        .unwrap()
        .layer(answers(|| Ok(Script::new().trailers(Code::Ok).respond())));
    drop(service.call(to("/test.v1.Kinds/Unary")).await);
    let begun: Vec<String> =
        log.lock().unwrap().iter().filter(|note| note.contains("begin")).cloned().collect();
    assert_eq!(begun, ["a begin known []", "b begin known [a]", "c begin known [a b]"]);
}

/// A layer that shows which methods its observer is made for.
struct Asks(Arc<KnownMethods>, Arc<Mutex<Option<Arc<KnownMethods>>>>);

impl Observing for Asks {
    type Observer = Option<Recorder>;

    fn declare(&self, pass: &mut Pass) {
        pass.add::<Self>(Side::Server, &self.0, None);
    }

    fn into_observer(self, known: &Arc<KnownMethods>) -> Option<Recorder> {
        *self.1.lock().unwrap() = Some(Arc::clone(known));
        None
    }
}

#[test]
fn an_observer_is_made_for_the_methods_of_the_pass() {
    let described = Arc::new(KnownMethods::from(&methods()));
    let learning = || Arc::new(KnownMethods::learning());
    let (first, second) = (learning(), learning());
    for (own, other, expected) in [
        (&first, &described, &described),
        (&described, &first, &described),
        (&first, &second, &first),
    ] {
        let made_for = Arc::default();
        let recorder = ObserveLayer::server(Recorder::new()).known(Arc::clone(other));
        observe![Asks(Arc::clone(own), Arc::clone(&made_for)), recorder].unwrap();
        assert!(Arc::ptr_eq(made_for.lock().unwrap().as_ref().unwrap(), expected));
    }
}

#[test]
fn layers_of_two_sides_are_an_error() {
    let (server, client) =
        (ObserveLayer::server(Recorder::new()), ObserveLayer::client(Recorder::new()));
    for (first, second) in [(&server, &client), (&client, &server)] {
        let error = observe![first.clone(), first.clone(), second.clone()].unwrap_err();
        let expected = PassError::Sides { server: "ObserveLayer", client: "ObserveLayer" };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "`ObserveLayer::server()` and `ObserveLayer::client()` can't watch the same calls: make all layers of \
             one pass for the same side"
        );
    }
    observe![client.clone(), client].unwrap();
}

#[test]
fn layers_with_different_descriptor_sets_are_an_error() {
    let with = |methods: &Methods| ObserveLayer::server(Recorder::new()).methods(methods);
    let none = Methods::from_descriptor_set(&[]).unwrap();
    let (all, again) = (methods(), Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap());
    observe![with(&all), with(&all), with(&again)].unwrap();
    let bare = ObserveLayer::server(Recorder::new());
    for layers in [[&all, &none], [&none, &all]] {
        let [first, second] = layers.map(with);
        let error = observe![first, bare.clone(), second].unwrap_err();
        assert_eq!(error, PassError::Methods);
        assert!(error.to_string().contains("different methods"), "{error}");
    }
}

#[test]
fn layers_with_different_server_timeouts_are_an_error() {
    let [short, long] = [5, 10].map(Duration::from_secs);
    let with =
        |timeout: Option<Duration>| ObserveLayer::server(Recorder::new()).server_timeout(timeout);
    observe![with(Some(short)), with(None), with(Some(short))].unwrap();
    let error = observe![with(Some(short)), with(None), with(Some(long))].unwrap_err();
    assert_eq!(error, PassError::ServerTimeouts(short, long));
    assert!(error.to_string().contains("5s and 10s"), "{error}");
    // On a client it has no effect.
    let client = |timeout| ObserveLayer::client(Recorder::new()).server_timeout(timeout);
    observe![client(short), client(long)].unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_layers_use_the_server_timeout_of_one() {
    let recorder = Recorder::new();
    let layer = observe![
        ObserveLayer::server(recorder.clone()),
        ObserveLayer::server(Recorder::new()).server_timeout(Duration::from_secs(5)),
    ];
    let mut service = layer.unwrap().layer(tower::service_fn(async |_: http::Request<_>| {
        std::future::pending::<Result<http::Response<Script>, Status>>().await
    }));
    let call = service.call(to("/test.v1.Kinds/Unary"));
    tokio::time::timeout(Duration::from_secs(5), call).await.unwrap_err();
    let call = recorder.only();
    assert_eq!(
        (call.code, call.ended),
        (Code::DeadlineExceeded, Ended::Dropped { responded: false })
    );
}

#[tokio::test]
async fn a_layer_that_is_switched_off_watches_nothing() {
    let (on, off) = (Recorder::new(), Recorder::new());
    let layer =
        |recorder: &Recorder, is_on: bool| is_on.then(|| ObserveLayer::server(recorder.clone()));
    let layer = observe![layer(&off, false), layer(&on, true), layer(&off, false)].unwrap();
    let answer = || Ok(Script::new().messages(1).trailers(Code::Ok).respond());
    let mut service = layer.layer(answers(answer));
    let body = service.call(to("/test.v1.Kinds/Unary")).await.unwrap().into_body();
    body.collect().await.unwrap();
    assert_eq!((on.only().code, off.begun()), (Code::Ok, 0));

    let nothing = observe![None::<ObserveLayer<Recorder>>].unwrap();
    nothing.layer(answers(answer)).call(to("/test.v1.Kinds/Unary")).await.unwrap();
}

/// Notes how long each call took, and the time of day at its end.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<(Duration, SystemTime)>>>, Option<Stopwatch>);

impl Observer for Times {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, head: &mut request::Parts) -> Option<Self> {
        Some(Self(Arc::clone(&self.0), Some(Stopwatch::since_arrival(&head.extensions))))
    }
}

impl Call for Times {
    fn end(&self, _: End<'_>) {
        self.0.lock().unwrap().push((self.1.unwrap().elapsed_at_end(), time_of_day()));
    }
}

/// In one pass, the times are equal to the nanosecond, which two readings of a clock are not.
#[tokio::test]
async fn a_call_takes_equally_long_and_ends_at_one_time_for_all_layers_of_one_pass() {
    let times: [Times; 3] = Default::default();
    let [a, b, c] = times.clone().map(ObserveLayer::server);
    let mut service = observe![a, b, c]
        .unwrap()
        .layer(answers(|| Ok(Script::new().trailers(Code::Ok).respond())));
    for _ in 0..100 {
        let before = time_of_day();
        let body = service.call(to("/test.v1.Kinds/Unary")).await.unwrap().into_body();
        body.collect().await.unwrap();
        assert_ne!(before, time_of_day(), "the time stands still");
    }
    let [a, b, c] = times.map(|times| times.0.lock().unwrap().clone());
    assert_eq!((a.len(), &a, &a), (100, &b, &c));
    assert!(a.iter().any(|(took, _)| !took.is_zero()) && a.iter().any(|(took, _)| *took != a[0].0));
    assert!(a.iter().any(|(_, end)| *end != a[0].1));
}
