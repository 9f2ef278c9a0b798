//! Cases of unary calls, and those of metadata.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response};

use super::cases::Tester;
use super::check::{Outcome, Stop, expect, expect_zeros};
use crate::proto::{
    Empty, Payload, ResponseParameters, SimpleRequest, StreamingOutputCallRequest, zeros,
};

pub(super) const LARGE_REQUEST: usize = 271_828;
pub(super) const LARGE_RESPONSE: usize = 314_159;

const SOAK_ITERATIONS: usize = 10;

const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const INITIAL_VALUE: &str = "test_initial_metadata_value";
const TRAILING_VALUE: &[u8] = &[0xab, 0xab, 0xab];

/// The request of `large_unary`, and of the cases that are built on it.
pub(super) fn large() -> SimpleRequest {
    SimpleRequest {
        response_size: i32::try_from(LARGE_RESPONSE).unwrap_or(i32::MAX),
        payload: Some(zeros(LARGE_REQUEST)),
        ..SimpleRequest::default()
    }
}

impl Tester {
    pub(super) async fn empty_unary(&self) -> Outcome {
        self.client.clone().empty_call(Empty {}).await?;
        Ok(())
    }

    pub(super) async fn large_unary(&self) -> Outcome {
        let response = self.client.clone().unary_call(large()).await?.into_inner();
        expect_zeros("the payload", response.payload, LARGE_RESPONSE)
    }

    /// Many large calls on one connection.
    pub(super) async fn rpc_soak(&self) -> Outcome {
        for _ in 0..SOAK_ITERATIONS {
            self.large_unary().await?;
        }
        Ok(())
    }

    /// Needs a client that can send GET, and a proxy that keeps the response.
    pub(super) async fn cacheable_unary(&self) -> Outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let body = now.as_nanos().to_string().into_bytes();
        let request = || {
            let payload = Some(Payload { body: body.clone(), ..Payload::default() });
            let mut request = Request::new(SimpleRequest { payload, ..SimpleRequest::default() });
            request.metadata_mut().insert("x-user-ip", MetadataValue::from_static("1.2.3.4"));
            request
        };
        let mut client = self.client.clone();
        let first = match client.cacheable_unary_call(request()).await {
            Err(status) if status.code() == Code::Unimplemented => {
                return Err(Stop::Cannot("the server does not have the method"));
            }
            first => first?,
        };
        let second = client.cacheable_unary_call(request()).await?;
        if first.get_ref().payload == second.get_ref().payload {
            return Ok(());
        }
        Err(Stop::Cannot("tonic sends POST only; both calls were OK"))
    }

    /// The token is that of `--token_file`.
    pub(super) async fn jwt_token_creds(&self) -> Outcome {
        let Some(username) = &self.username else {
            return Err(Stop::Cannot("needs --token_file and --default_service_account"));
        };
        let request = SimpleRequest { fill_username: true, ..large() };
        let response = self.client.clone().unary_call(request).await?.into_inner();
        expect_zeros("the payload", response.payload, LARGE_RESPONSE)?;
        expect("the username", &response.username, username)
    }

    pub(super) async fn custom_metadata(&self) -> Outcome {
        let mut client = self.client.clone();
        let response = client.unary_call(with_metadata(large())).await?;
        expect_echo(response.metadata(), response.metadata())?;

        let size = i32::try_from(LARGE_RESPONSE).unwrap_or(i32::MAX);
        let request = StreamingOutputCallRequest {
            response_parameters: vec![ResponseParameters { size, ..Default::default() }],
            payload: Some(zeros(LARGE_REQUEST)),
            ..Default::default()
        };
        let requests = with_metadata(stream::iter([request]));
        let response: Response<_> = client.full_duplex_call(requests).await?;
        let initial = response.metadata().clone();
        let mut responses = response.into_inner();
        let mut count = 0;
        while let Some(response) = responses.next().await {
            expect_zeros("the payload", response?.payload, LARGE_RESPONSE)?;
            count += 1;
        }
        expect("the number of responses", count, 1)?;
        let trailers = responses.trailers().await?.unwrap_or_default();
        expect_echo(&initial, &trailers)
    }
}

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert(ECHO_INITIAL, MetadataValue::from_static(INITIAL_VALUE));
    metadata.insert_bin(ECHO_TRAILING, MetadataValue::from_bytes(TRAILING_VALUE));
    request
}

/// tonic gives the trailers of a unary call together with its headers.
fn expect_echo(initial: &MetadataMap, trailers: &MetadataMap) -> Outcome {
    let value = initial.get(ECHO_INITIAL).and_then(|value| value.to_str().ok());
    expect(ECHO_INITIAL, value, Some(INITIAL_VALUE))?;
    let value = trailers.get_bin(ECHO_TRAILING).and_then(|value| value.to_bytes().ok());
    expect(ECHO_TRAILING, value.as_deref(), Some(TRAILING_VALUE))
}
