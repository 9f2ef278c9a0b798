//! Requests whose sender says nothing more while their connection is lost. Time is paused, the network is in memory.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_balance::{Balanced, Policy, State};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;

use crate::network::{Network, address, addresses, endpoint};

const MINUTE: Duration = Duration::from_secs(60);

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Calls go to the first address while that is connected to.
async fn first_of_two(network: &Network) -> Balanced {
    let balanced = Balanced::list(endpoint(), addresses(2))
        .connector(network.connector())
        .policy(Policy::PickFirst)
        .build();
    while balanced.states().first().is_none_or(|(_, state)| *state != State::Ready) {
        sleep(Duration::from_millis(1)).await;
    }
    balanced
}

/// Starts a call that has reached the first server, with this many messages of its request.
async fn call(
    network: &Network,
    balanced: &Balanced,
    messages: usize,
) -> (mpsc::Sender<Ask>, JoinHandle<Result<(), Status>>) {
    let (asks, sent) = mpsc::channel(8);
    for _ in 0..messages {
        asks.send(Ask::default()).await.unwrap();
    }
    let mut kinds = KindsClient::new(balanced.clone());
    let answer =
        tokio::spawn(async move { kinds.client_stream(ReceiverStream::new(sent)).await.map(drop) });
    while network.calls(&address(1)) == 0 || asks.capacity() < asks.max_capacity() {
        sleep(Duration::from_millis(1)).await;
    }
    (asks, answer)
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_and_its_request_is_dropped() {
    // The server may have processed the head, even if no message has followed.
    for messages in [0, 1] {
        let before = alive_tasks();
        let network = Network::serving(2);
        let balanced = first_of_two(&network).await;
        let (asks, answer) = timeout(MINUTE, call(&network, &balanced, messages)).await.unwrap();
        network.cut(&address(1));
        let status = timeout(MINUTE, answer).await.unwrap().unwrap().unwrap_err();
        assert_eq!(tonic_call::code_of_error(&status), Code::Unavailable, "{status}");
        timeout(MINUTE, asks.closed()).await.unwrap();
        assert_eq!(network.calls(&address(1)) + network.calls(&address(2)), 1);
        drop(balanced);
        sleep(MINUTE).await;
        assert_eq!(alive_tasks(), before);
    }
}
