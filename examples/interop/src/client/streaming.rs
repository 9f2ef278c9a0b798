//! Cases of streams, and of streams that the caller ends.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::{Code, Request};

use super::cases::Tester;
use super::check::{Outcome, Stop, expect, expect_zeros, failed};
use crate::proto::{
    ResponseParameters, StreamingInputCallRequest, StreamingOutputCallRequest, zeros,
};

const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [usize; 4] = [31_415, 9, 2_653, 58_979];

/// How many requests the sender of a stream may be ahead: one.
const AHEAD: usize = 1;

pub(super) fn response_of(size: usize) -> ResponseParameters {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    ResponseParameters { size, ..Default::default() }
}

fn ping(request: usize, response: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![response_of(response)],
        payload: Some(zeros(request)),
        ..Default::default()
    }
}

/// The requests that a sender sends, until it is dropped.
fn channel<T: Send + 'static>()
-> (mpsc::Sender<T>, impl futures_util::Stream<Item = T> + Send + 'static) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let requests = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|request| (request, receiver))
    });
    (sender, requests)
}

impl Tester {
    pub(super) async fn client_streaming(&self) -> Outcome {
        let requests = REQUESTS.map(|size| StreamingInputCallRequest {
            payload: Some(zeros(size)),
            ..Default::default()
        });
        let response = self.client.clone().streaming_input_call(stream::iter(requests)).await?;
        expect("aggregated_payload_size", response.get_ref().aggregated_payload_size, 74_922)
    }

    pub(super) async fn server_streaming(&self) -> Outcome {
        let response_parameters = RESPONSES.map(response_of).into();
        let request = StreamingOutputCallRequest { response_parameters, ..Default::default() };
        let responses = self.client.clone().streaming_output_call(request).await?;
        let responses: Vec<_> = responses.into_inner().collect().await;
        expect("the number of responses", responses.len(), RESPONSES.len())?;
        for (response, size) in responses.into_iter().zip(RESPONSES) {
            expect_zeros("a payload", response?.payload, size)?;
        }
        Ok(())
    }

    pub(super) async fn ping_pong(&self) -> Outcome {
        let (sender, requests) = channel();
        let mut client = self.client.clone();
        let (call, _) = futures_util::join!(
            client.full_duplex_call(requests),
            sender.send(ping(REQUESTS[0], RESPONSES[0]))
        );
        let mut responses = call?.into_inner();
        for turn in 0..RESPONSES.len() {
            if turn > 0 {
                let sent = sender.send(ping(REQUESTS[turn], RESPONSES[turn])).await;
                sent.map_err(|_| Stop::Failed("the requests are not read".to_owned()))?;
            }
            let response = responses.message().await?.unwrap_or_default();
            expect_zeros("a payload", response.payload, RESPONSES[turn])?;
        }
        drop(sender);
        expect("a fifth response", responses.message().await?, None)
    }

    pub(super) async fn empty_stream(&self) -> Outcome {
        let call = self.client.clone().full_duplex_call(stream::empty()).await?;
        expect("a response", call.into_inner().message().await?, None)
    }

    /// The call begins and is dropped before it has sent a message.
    pub(super) async fn cancel_after_begin(&self) -> Outcome {
        self.take_endings();
        let (sender, requests) = channel::<StreamingInputCallRequest>();
        let mut client = self.client.clone();
        let mut call = Box::pin(client.streaming_input_call(requests));
        // The head is on its way.
        if let Some(ended) = call.as_mut().now_or_never() {
            ended?;
        }
        tokio::task::yield_now().await;
        drop(call);
        drop(sender);
        self.expect_ending(Code::Cancelled)
    }

    pub(super) async fn cancel_after_first_response(&self) -> Outcome {
        self.take_endings();
        let (sender, requests) = channel();
        let mut client = self.client.clone();
        let (call, _) = futures_util::join!(
            client.full_duplex_call(requests),
            sender.send(ping(REQUESTS[0], RESPONSES[0]))
        );
        let mut responses = call?.into_inner();
        let response = responses.message().await?.unwrap_or_default();
        expect_zeros("the payload", response.payload, RESPONSES[0])?;
        drop(responses);
        self.expect_ending(Code::Cancelled)
    }

    pub(super) async fn timeout_on_sleeping_server(&self) -> Outcome {
        let (sender, requests) = channel();
        let mut request = Request::new(requests);
        request.set_timeout(Duration::from_millis(1));
        let payload = Some(zeros(REQUESTS[0]));
        let message = StreamingOutputCallRequest { payload, ..Default::default() };
        let mut client = self.client.clone();
        let call = async {
            let mut responses = client.full_duplex_call(request).await?.into_inner();
            responses.message().await
        };
        // Not sent if the time is up before.
        let (ended, _) = futures_util::join!(call, sender.send(message));
        failed(ended, Code::DeadlineExceeded)?;
        Ok(())
    }

    fn take_endings(&self) -> Vec<Code> {
        self.endings.as_ref().map(super::endings::Endings::take).unwrap_or_default()
    }

    /// The only call since the last time has ended so. Without layers nothing is known of a call that was dropped.
    fn expect_ending(&self, code: Code) -> Outcome {
        match self.endings {
            Some(_) => expect("the call", self.take_endings(), vec![code]),
            None => Ok(()),
        }
    }
}
