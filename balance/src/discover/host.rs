//! The addresses of a host name.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic_call::{Guarded, guarded};

use super::{Change, Resolve, Update};
use crate::Address;
use crate::error_text::error_text;

/// The name is resolved again after this time.
const INTERVAL: Duration = Duration::from_secs(30);
/// And never earlier than this after the last time.
const PAUSE: Duration = Duration::from_secs(5);

/// Resolves by the operating system, which does not report how long an answer is valid.
pub(crate) fn lookup(uri: &Uri) -> Resolve {
    let host = uri.host().unwrap_or_default();
    // IPv6 addresses are in brackets in a URI.
    let host: Arc<str> = host.trim_start_matches('[').trim_end_matches(']').into();
    let port = uri.port_u16().unwrap_or(match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    });
    Box::new(move || {
        let host = Arc::clone(&host);
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((&*host, port)).await?;
            Ok(addresses.map(Address::Tcp).collect())
        })
    })
}

/// Resolves every 30 seconds; sooner after `again` or after a failure, but at least 5 seconds after the last time.
pub(crate) async fn resolve(mut asked: Resolve, updates: Sender<Update>, again: Arc<Notify>) {
    loop {
        let started = Instant::now();
        let answer = match guarded(&mut asked) {
            Ok(future) => {
                let mut future = Guarded::new(future);
                poll_fn(|cx| future.poll(cx)).await
            }
            Err(message) => Err(message),
        };
        let (update, is_good) = match answer {
            Ok(Ok(addresses)) if addresses.is_empty() => {
                (Update::Failed("the resolver's answer is empty".into()), false)
            }
            Ok(Ok(addresses)) => (Update::Change(Change::Replace(addresses)), true),
            Ok(Err(error)) => (Update::Failed(error_text(&error).into()), false),
            Err(message) => {
                (Update::Failed(format!("the resolver panicked: {message}").into()), false)
            }
        };
        if updates.send(update).await.is_err() {
            return;
        }
        if is_good {
            // The pause follows in both cases.
            let _ = timeout_at(started + INTERVAL, again.notified()).await;
        }
        sleep_until(started + PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    fn answers(answers: Vec<io::Result<Vec<Address>>>) -> Resolve {
        let mut answers = answers.into_iter();
        Box::new(move || {
            let answer = answers.next().unwrap_or_else(|| Ok(vec![address()]));
            Box::pin(async move { answer })
        })
    }

    fn address() -> Address {
        "10.0.0.1:1".parse().expect("an address")
    }

    struct Times {
        updates: mpsc::Receiver<Update>,
        started: Instant,
    }

    impl Times {
        async fn next(&mut self) -> (u64, Update) {
            let update = self.updates.recv().await.expect("it never ends");
            (self.started.elapsed().as_secs(), update)
        }
    }

    fn start(resolver: Resolve, again: &Arc<Notify>) -> Times {
        let (sender, updates) = mpsc::channel(1);
        tokio::spawn(resolve(resolver, sender, Arc::clone(again)));
        Times { updates, started: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_every_30_seconds() {
        let mut times = start(answers(vec![]), &Arc::default());
        for expected in [0, 30, 60] {
            let (at, update) = times.next().await;
            assert_eq!(at, expected);
            assert!(matches!(update, Update::Change(Change::Replace(all)) if all == [address()]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_again_at_once_but_at_most_every_5_seconds() {
        let again = Arc::new(Notify::new());
        let mut times = start(answers(vec![]), &again);
        assert_eq!(times.next().await.0, 0);
        again.notify_one();
        assert_eq!(times.next().await.0, 5);
        tokio::time::sleep(Duration::from_secs(12)).await;
        again.notify_one();
        assert_eq!(times.next().await.0, 17);
        assert_eq!(times.next().await.0, 47);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_reported_and_the_name_is_resolved_again_soon() {
        let no_name = io::Error::other("no such host");
        let mut times = start(answers(vec![Err(no_name), Ok(vec![])]), &Arc::default());
        let failed = |update: Update| match update {
            Update::Failed(why) => why,
            Update::Change(change) => panic!("{change:?}"),
        };
        let (at, update) = times.next().await;
        assert_eq!((at, &*failed(update)), (0, "no such host"));
        let (at, update) = times.next().await;
        assert_eq!((at, &*failed(update)), (5, "the resolver's answer is empty"));
        let (at, update) = times.next().await;
        assert_eq!(at, 10);
        assert!(matches!(update, Update::Change(_)));
    }

    #[tokio::test]
    async fn the_port_and_the_host_are_those_of_the_uri() {
        for (uri, expected) in [
            ("http://127.0.0.1:7", "127.0.0.1:7"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("https://127.0.0.1", "127.0.0.1:443"),
            ("http://[::1]:7", "[::1]:7"),
        ] {
            let found = lookup(&Uri::from_static(uri))().await.expect("an address is resolved");
            assert_eq!(found, [expected.parse().expect("an address")], "{uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_panics_has_failed() {
        tonic_call_test_kit::silence_panics();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver: Resolve = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { panic!("on purpose") })
        });
        let mut times = start(resolver, &Arc::default());
        for _ in 0..2 {
            let (_, update) = times.next().await;
            assert!(matches!(update, Update::Failed(why) if why.ends_with("panicked: on purpose")));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
