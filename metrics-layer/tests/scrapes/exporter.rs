//! `/metrics` over HTTP, and the settings of the exporter.

use std::net::SocketAddr;
use std::time::Duration;

use metrics::{Key, Level, Metadata, Recorder as _};
use metrics_util::MetricKindMask;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic_metrics_layer::exporter::{BucketsError, CONTENT_TYPE, InstallError, Prometheus, Scrape};
use tonic_metrics_layer::{
    CALL_DURATION_SECONDS_BUCKETS, HANDLING_SECONDS_BUCKETS, MESSAGE_BYTES_BUCKETS, MetricsLayer,
};

static METADATA: Metadata<'static> = Metadata::new("test", Level::INFO, None);

/// Serves a scrape that contains one counter.
async fn serve() -> (SocketAddr, Scrape, tokio::task::JoinHandle<()>) {
    let (recorder, scrape) = Prometheus::new().build().unwrap();
    recorder.register_counter(&Key::from_name("things_total"), &METADATA).increment(7);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, scrape.clone(), tokio::spawn(scrape.serve(listener)))
}

/// Sends one request; returns status line, headers in lower case, and body.
async fn ask(address: SocketAddr, line: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The connection ends here, because the request asks to close it.
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status.to_owned(), headers.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn metrics_are_served_as_prometheus_asks_for_them() {
    let (address, scrape, _serve) = serve().await;
    for line in ["GET /metrics", "GET /metrics?name[]=things_total"] {
        let (status, headers, body) = ask(address, line).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert_eq!(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
        assert!(headers.contains(&format!("content-type: {CONTENT_TYPE}")), "{headers}");
        assert!(headers.contains(&format!("content-length: {}", body.len())), "{headers}");
        assert_eq!(body, scrape.render());
        assert_eq!(body, "# TYPE things_total counter\nthings_total 7\n\n");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let (address, scrape, _serve) = serve().await;
    let (status, headers, body) = ask(address, "HEAD /metrics").await;
    assert_eq!((&*status, &*body), ("HTTP/1.1 200 OK", ""));
    assert!(headers.contains(&format!("content-type: {CONTENT_TYPE}")), "{headers}");
    assert!(headers.contains(&format!("content-length: {}", scrape.render().len())), "{headers}");
}

#[tokio::test]
async fn nothing_else_is_there() {
    let (address, _, _serve) = serve().await;
    for line in ["GET /", "GET /metrics/", "GET //metrics", "GET /Metrics", "POST /", "HEAD /x"] {
        let (status, ..) = ask(address, line).await;
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{line}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let (status, headers, _) = ask(address, &format!("{method} /metrics")).await;
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert!(headers.contains("allow: get, head"), "{headers}");
    }
}

#[tokio::test]
async fn what_is_no_request_ends_its_own_connection_only() {
    let (address, _, _serve) = serve().await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"\r\n\r\n\0\0\0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let (status, ..) = ask(address, "GET /metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
}

/// Requests the metrics on a connection, and keeps it open.
async fn scrape_on(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    // In these tests every response body ends with this text, and nothing else does.
    while !answer.ends_with(b"things_total 7\n\n") {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn callers_that_say_nothing_do_not_delay_a_scrape() {
    let (address, _, _serve) = serve().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metr").await.unwrap();
        silent.push(stream);
    }
    let scraped = tokio::time::timeout(Duration::from_secs(5), ask(address, "GET /metrics")).await;
    assert_eq!(scraped.expect("long before 10 seconds").0, "HTTP/1.1 200 OK");
}

#[tokio::test(start_paused = true)]
async fn the_first_request_comes_within_a_second_and_the_next_within_sixty() {
    let (address, _, _serve) = serve().await;
    let begin = tokio::time::Instant::now();
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /metr").await.unwrap();
    // Closing a connection with unread bytes may reset it.
    let _ = silent.read_to_end(&mut Vec::new()).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");

    // Prometheus reuses its connection.
    let mut kept = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        let answer = scrape_on(&mut kept).await.expect("still open");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        tokio::time::advance(Duration::from_secs(55)).await;
    }
    scrape_on(&mut kept).await.expect("still open");
    let begin = tokio::time::Instant::now();
    assert_eq!(kept.read(&mut [0; 8]).await.unwrap(), 0);
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(59) && took < Duration::from_secs(62), "{took:?}");
}

#[tokio::test]
async fn the_connection_that_has_been_idle_for_longest_gives_way_to_a_new_one() {
    let (address, _, _serve) = serve().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        scrape_on(&mut stream).await.expect("a place");
        open.push(stream);
    }
    // The first connection is the most recently used one now.
    scrape_on(&mut open[0]).await.expect("still open");
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        scrape_on(&mut stream).await.expect("a place");
        open.push(stream);
    }
    for (index, stream) in open.iter_mut().enumerate() {
        let still = scrape_on(stream).await.is_ok();
        assert_eq!(still, !(1..=8).contains(&index), "{index}");
    }
}

#[tokio::test]
async fn dropped_it_serves_no_more() {
    let (address, _, serve) = serve().await;
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET /metr").await.unwrap();
    ask(address, "GET /metrics").await;
    serve.abort();
    assert!(serve.await.unwrap_err().is_cancelled());
    assert!(TcpStream::connect(address).await.is_err());
    // Open connections are closed, too.
    let _ = open.read_to_end(&mut Vec::new()).await;
}

/// The bounds of a histogram, as text.
fn bounds(text: &str, family: &str) -> Vec<f64> {
    let prefix = format!("{family}_bucket");
    let lines = text.lines().filter(|line| line.starts_with(&prefix));
    let bound = |line: &str| line.split("le=\"").nth(1)?.split('"').next()?.parse().ok();
    lines.filter_map(bound).collect()
}

async fn rendered(prometheus: Prometheus) -> String {
    let (recorder, scrape) = prometheus.build().unwrap();
    for family in [
        "grpc_server_handling_seconds",
        "grpc_client_handling_seconds",
        "rpc_server_call_duration_seconds",
        "rpc_client_call_duration_seconds",
        "grpc_server_msg_received_bytes",
        "grpc_server_msg_sent_bytes",
        "grpc_client_msg_received_bytes",
        "grpc_client_msg_sent_bytes",
    ] {
        recorder.register_histogram(&Key::from_name(family), &METADATA).record(1.0);
    }
    scrape.render()
}

fn with_infinity(bounds: &[f64]) -> Vec<f64> {
    bounds.iter().copied().chain([f64::INFINITY]).collect()
}

#[tokio::test]
async fn every_histogram_has_its_buckets() {
    let text = rendered(Prometheus::new()).await;
    for side in ["server", "client"] {
        for (family, buckets) in [
            (format!("grpc_{side}_handling_seconds"), &HANDLING_SECONDS_BUCKETS[..]),
            (format!("rpc_{side}_call_duration_seconds"), &CALL_DURATION_SECONDS_BUCKETS),
            (format!("grpc_{side}_msg_received_bytes"), &MESSAGE_BYTES_BUCKETS),
            (format!("grpc_{side}_msg_sent_bytes"), &MESSAGE_BYTES_BUCKETS),
        ] {
            assert!(text.contains(&format!("# TYPE {family} histogram\n")), "{text}");
            assert_eq!(bounds(&text, &family), with_infinity(buckets), "{family}");
        }
    }
}

#[tokio::test]
async fn buckets_of_one_s_own_are_those_of_durations() {
    let text = rendered(Prometheus::new().buckets(&[0.1, 1.0]).unwrap()).await;
    for family in ["grpc_server_handling_seconds", "rpc_client_call_duration_seconds"] {
        assert_eq!(bounds(&text, family), [0.1, 1.0, f64::INFINITY]);
    }
    let sizes = bounds(&text, "grpc_server_msg_sent_bytes");
    assert_eq!(sizes, with_infinity(&MESSAGE_BYTES_BUCKETS));
}

#[test]
fn buckets_that_are_none_are_an_error() {
    let error = |buckets: &[f64]| Prometheus::new().buckets(buckets).unwrap_err();
    assert_eq!(error(&[]), BucketsError::Empty);
    assert_eq!(error(&[1.0, 1.0]), BucketsError::NotAscending(1.0));
    assert_eq!(error(&[1.0, 2.0, 0.5]), BucketsError::NotAscending(0.5));
    assert_eq!(error(&[1.0, f64::INFINITY]), BucketsError::NotFinite(f64::INFINITY));
    assert!(matches!(error(&[f64::NAN, 1.0]), BucketsError::NotFinite(_)));
    let text = error(&[2.0, 0.5]).to_string();
    assert_eq!(text, "the bucket 0.5 is not greater than the one before it");
}

#[tokio::test]
async fn the_exporter_s_own_settings_count_but_for_what_would_harm() {
    let prometheus = Prometheus::new().configure(|builder| {
        builder
            .add_global_label("cluster", "one")
            .with_recommended_naming(true)
            .idle_timeout(MetricKindMask::ALL, Some(Duration::ZERO))
            .set_buckets(&[7.0])
            .unwrap()
    });
    let (recorder, scrape) = prometheus.build().unwrap();
    let _ = MetricsLayer::server()
        .message_bytes()
        .methods(
            &tonic_call::Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET)
                .unwrap(),
        )
        .with_recorder(recorder.clone())
        .observer();
    recorder.register_histogram(&Key::from_name("other"), &METADATA).record(1.0);
    let text = scrape.render();
    assert_eq!(bounds(&text, "other"), [7.0, f64::INFINITY]);
    let started = "grpc_server_started_total{cluster=\"one\",grpc_type=\"unary\",grpc_service=\
                   \"test.v1.Kinds\",grpc_method=\"Unary\"} 0\n";
    assert!(text.contains(started), "{text}");
    for name in ["grpc_server_handling_seconds", "grpc_server_msg_sent_bytes"] {
        assert!(text.contains(&format!("# TYPE {name} histogram\n")), "{text}");
        assert!(bounds(&text, name).len() > 2);
    }
    assert!(text.contains("# TYPE grpc_server_in_flight gauge\n"), "{text}");
    // A series is kept even if it was idle for longer than the timeout.
    assert_eq!(scrape.render().lines().count(), text.lines().count());
    assert_eq!(scrape.render().lines().count(), text.lines().count());
}

#[test]
fn without_a_runtime_there_is_no_upkeep_and_so_an_error() {
    let error = Prometheus::new().install().unwrap_err();
    assert!(matches!(error, InstallError::NoRuntime), "{error}");
    let error = Prometheus::new().build().unwrap_err();
    assert_eq!(error.to_string(), "no tokio runtime is running, which the exporter's upkeep needs");
}
#[tokio::test]
async fn families_and_series_have_the_same_order_in_every_scrape() {
    let rendered = |rotate: usize| {
        let (recorder, scrape) = Prometheus::new().build().unwrap();
        let mut numbers: Vec<_> = (10..60).collect();
        numbers.rotate_left(rotate);
        for number in numbers {
            let key = |name: &str| Key::from_parts(format!("{name}_{number}"), &[("a", "b")]);
            recorder.register_counter(&key("things_total"), &METADATA).increment(1);
            let labels = [("number", number.to_string().as_str())]
                .map(|(name, value)| metrics::Label::new(name, value.to_owned()));
            let key = Key::from_parts("grpc_server_handling_seconds", labels.to_vec());
            recorder.register_histogram(&key, &METADATA).record(0.2);
        }
        scrape.render()
    };
    let text = rendered(0);
    assert_eq!(text, rendered(30));
    let families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert!(families.is_sorted() && families.len() == 51, "{families:?}");
    let counts: Vec<_> = text.lines().filter(|line| line.contains("seconds_count")).collect();
    assert!(counts.is_sorted() && counts.len() == 50, "{counts:?}");
}

#[tokio::test]
async fn metrics_are_served_over_what_is_made_of_a_connection() {
    let (_, scrape) = Prometheus::new().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // As a handshake: it reads first, and may refuse.
    let serve = scrape.serve_over(listener, async |mut stream: TcpStream| {
        let hello = stream.read_u8().await.ok()?;
        (hello == b'!').then_some(stream)
    });
    let asking = async {
        let mut answers = Vec::new();
        for hello in ["!", "?"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("{hello}GET /metrics HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // A refused connection may be reset.
            let _ = stream.read_to_string(&mut answer).await;
            answers.push(answer);
        }
        answers
    };
    let answers = tokio::select! {
        answers = asking => answers,
        () = serve => unreachable!("it serves until it is dropped"),
    };
    assert!(
        answers[0].starts_with("HTTP/1.1 200 ") || answers[0].starts_with("HTTP/1.0 200 "),
        "{answers:?}"
    );
    assert_eq!(answers[1], "");
}
