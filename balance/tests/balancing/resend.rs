//! Which calls are sent again elsewhere, and which are not. Time is paused, the network is in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use tonic_balance::{Balanced, State, WaitForReady};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, Outcome, ask};

use crate::network::{Behaviour, Network, address, addresses, endpoint};

/// A balancer over addresses that are all ready.
async fn ready(network: &Network, count: u8) -> Balanced {
    let balanced =
        Balanced::list(endpoint(), addresses(count)).connector(network.connector()).build();
    until_ready(&balanced).await;
    balanced
}

async fn until_ready(balanced: &Balanced) {
    let all_ready = async {
        while !balanced.states().iter().all(|(_, state)| *state == State::Ready) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), all_ready).await.unwrap();
}

fn with_text(text: &str) -> Ask {
    Ask { text: text.to_owned(), ..ask(Act::Unspecified, 1) }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_server_has_not_processed_is_sent_to_the_next() {
    for refusing in [Behaviour::RefusesStreams, Behaviour::SendsGoaway] {
        for kind in KINDS {
            let network = Network::serving(2);
            network.set(&address(1), refusing);
            let balanced = ready(&network, 2).await;
            for _ in 0..4 {
                let mut kinds = KindsClient::new(balanced.clone());
                let outcome =
                    tonic_call_test_kit::call(&mut kinds, kind, with_text("x"), &[]).await;
                assert_eq!(outcome, Outcome::ok(1), "{refusing:?} {kind:?}");
                sleep(Duration::from_secs(2)).await;
            }
            assert_eq!(network.calls(&address(2)), 4, "{refusing:?} {kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_request_is_the_same_when_it_is_sent_again() {
    let network = Network::serving(2);
    network.set(&address(1), Behaviour::RefusesStreams);
    let balanced = ready(&network, 2).await;
    let mut kinds = KindsClient::new(balanced);
    // Much more than the window of one stream.
    let text = "0123456789".repeat(20_000);
    for _ in 0..2 {
        let note = kinds.unary(with_text(&text)).await.unwrap().into_inner();
        assert_eq!(note.text, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_continues_where_it_is_sent_again() {
    let network = Network::serving(2);
    network.set(&address(1), Behaviour::RefusesStreams);
    let balanced = ready(&network, 2).await;
    let mut kinds = KindsClient::new(balanced);
    for _ in 0..2 {
        let (asks, sent) = mpsc::channel(8);
        asks.send(with_text("early")).await.unwrap();
        let mut notes = kinds.bidi_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
        asks.send(with_text("late")).await.unwrap();
        drop(asks);
        let mut texts = Vec::new();
        while let Some(note) = notes.message().await.unwrap() {
            texts.push(note.text);
        }
        assert_eq!(texts, ["early", "late"]);
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_all_refuse_are_not_asked_for_ever() {
    for refusing in [Behaviour::RefusesStreams, Behaviour::SendsGoaway] {
        for waits in [false, true] {
            let network = Network::default();
            for one in addresses(2) {
                network.set(&one, refusing);
            }
            let balanced = ready(&network, 2).await;
            let mut request = Request::new(Ask::default());
            request.extensions_mut().insert(WaitForReady(waits));
            let mut kinds = KindsClient::new(balanced);
            let call = kinds.unary(request);
            let status = timeout(Duration::from_secs(60), call).await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{refusing:?} {waits}");
        }
    }
}

/// As in a deployment, where a call can meet all of them but for the last.
#[tokio::test(start_paused = true)]
async fn servers_that_all_leave_cost_no_call_while_another_one_is_there() {
    for kind in KINDS {
        let network = Network::serving(4);
        for leaving in 1..4 {
            network.set(&address(leaving), Behaviour::SendsGoaway);
        }
        let balanced = ready(&network, 4).await;
        for _ in 0..4 {
            let mut kinds = KindsClient::new(balanced.clone());
            let outcome = tonic_call_test_kit::call(&mut kinds, kind, with_text("x"), &[]).await;
            assert_eq!(outcome, Outcome::ok(1), "{kind:?}");
            sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(network.calls(&address(4)), 4, "{kind:?}");
    }
}

/// A6 sends a call that a server refuses once more, whichever server it is. One that leaves is counted by itself.
#[tokio::test(start_paused = true)]
async fn a_call_is_sent_once_more_when_it_is_refused_and_once_for_each_server_that_leaves() {
    for (behaviour, sent) in [(Behaviour::RefusesStreams, 2), (Behaviour::SendsGoaway, 4)] {
        let network = Network::default();
        for one in addresses(3) {
            network.set(&one, behaviour);
        }
        let picks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&picks);
        let balanced = Balanced::list(endpoint(), addresses(3))
            .connector(network.connector())
            .on_pick(move |_| _ = counted.fetch_add(1, Ordering::Relaxed))
            .build();
        until_ready(&balanced).await;
        let mut kinds = KindsClient::new(balanced);
        let call = kinds.unary(Ask::default());
        let status = timeout(Duration::from_secs(60), call).await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{behaviour:?}");
        // A server that leaves a second time ends the call.
        assert_eq!(picks.load(Ordering::Relaxed), sent, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_free_stream_is_sent_elsewhere_when_its_connection_dies() {
    let network = Network::serving(2);
    network.set(&address(1), Behaviour::ServesOneAtATime);
    let balanced = ready(&network, 2).await;
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let mut kinds = KindsClient::new(balanced.clone());
        tasks.push(tokio::spawn(async move { kinds.unary(ask(Act::Hang, 0)).await }));
    }
    network.service(&address(1)).until_alive(1).await;
    network.service(&address(2)).until_alive(1).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut kinds = KindsClient::new(balanced.clone());
        waiting.push(tokio::spawn(async move { kinds.unary(Ask::default()).await }));
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(network.calls(&address(1)), 1);
    assert_eq!(waiting.iter().filter(|call| call.is_finished()).count(), 1);

    network.set(&address(1), Behaviour::Refuses);
    network.cut(&address(1));
    for call in waiting {
        timeout(Duration::from_secs(5), call).await.unwrap().unwrap().unwrap();
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_sent_is_not_sent_again() {
    let network = Network::serving(2);
    let balanced = ready(&network, 2).await;
    let mut kinds = KindsClient::new(balanced);
    let call = tokio::spawn(async move { kinds.unary(ask(Act::Hang, 0)).await });
    let count = || addresses(2).iter().map(|one| network.calls(one)).collect::<Vec<_>>();
    while count().iter().sum::<usize>() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    for one in addresses(2) {
        network.cut(&one);
    }
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(tonic_call::code_of_error(&status), Code::Unavailable, "{status:?}");
    assert_eq!(count().iter().sum::<usize>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_expires_in_the_channel_is_not_a_reason_to_send_again() {
    let network = Network::serving(2);
    let balanced = ready(&network, 2).await;
    let mut kinds = KindsClient::new(balanced);
    let mut request = Request::new(ask(Act::Hang, 0));
    request.set_timeout(Duration::from_secs(1));
    assert_eq!(kinds.unary(request).await.unwrap_err().code(), Code::Cancelled);
    let calls: usize = addresses(2).iter().map(|one| network.calls(one)).sum();
    assert_eq!(calls, 1);
}
