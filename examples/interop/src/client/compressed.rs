//! Cases of compression. tonic compresses all messages of a stream, or none.

use futures_util::{StreamExt as _, stream};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Status};

use super::cases::Tester;
use super::check::{Outcome, Stop, expect, expect_zeros, failed};
use super::connect::Channel;
use super::streaming::response_of;
use super::unary::{LARGE_RESPONSE, large};
use crate::compression::Flags;
use crate::proto::test_service_client::TestServiceClient;
use crate::proto::{
    BoolValue, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest, zeros,
};

fn is(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

fn part(size: usize, compressed: bool) -> StreamingInputCallRequest {
    StreamingInputCallRequest { payload: Some(zeros(size)), expect_compressed: is(compressed) }
}

/// The probe: a plain message that must be compressed.
fn refused<T>(probe: Result<T, Status>) -> Outcome {
    if probe.is_ok() {
        return Err(Stop::Cannot("the server does not see whether a message is compressed"));
    }
    failed(probe, Code::InvalidArgument)?;
    Ok(())
}

impl Tester {
    pub(super) async fn client_compressed_unary(&self) -> Outcome {
        let mut plain = self.client.clone();
        let mut compressed = self.client.clone().send_compressed(Gzip);
        let expects = |value| SimpleRequest { expect_compressed: is(value), ..large() };
        refused(plain.unary_call(expects(true)).await)?;
        for response in
            [compressed.unary_call(expects(true)).await?, plain.unary_call(expects(false)).await?]
        {
            expect_zeros("the payload", response.into_inner().payload, LARGE_RESPONSE)?;
        }
        Ok(())
    }

    pub(super) async fn server_compressed_unary(&self) -> Outcome {
        let mut client = self.client.clone().accept_compressed(Gzip);
        for compressed in [true, false] {
            let request = SimpleRequest { response_compressed: is(compressed), ..large() };
            let response = client.unary_call(request).await?;
            let flag = Flags::of(response.extensions()).next();
            if compressed && flag == Some(false) {
                return Err(Stop::Cannot("the server does not compress"));
            }
            expect("whether the response is compressed", flag, Some(compressed))?;
            expect_zeros("the payload", response.into_inner().payload, LARGE_RESPONSE)?;
        }
        Ok(())
    }

    /// A plain and a compressed stream, and so not the case as it is described.
    pub(super) async fn client_compressed_streaming(&self) -> Outcome {
        let mut plain = self.client.clone();
        let mut compressed = self.client.clone().send_compressed(Gzip);
        let probe = plain.streaming_input_call(stream::iter([part(27_182, true)])).await;
        refused(probe)?;
        let requests = stream::iter([part(27_182, true), part(45_904, true)]);
        let response = compressed.streaming_input_call(requests).await?;
        expect("aggregated_payload_size", response.get_ref().aggregated_payload_size, 73_086)?;
        Err(Stop::Cannot("tonic cannot mix both in a stream; a compressed stream was OK"))
    }

    /// If the server cannot mix both in a stream, a compressed stream.
    pub(super) async fn server_compressed_streaming(&self) -> Outcome {
        let mut client = self.client.clone().accept_compressed(Gzip);
        let sizes = [31_415, 92_653];
        let request = |asked: [bool; 2]| {
            let mut response_parameters = Vec::from(sizes.map(response_of));
            for (parameters, value) in response_parameters.iter_mut().zip(asked) {
                parameters.compressed = is(value);
            }
            StreamingOutputCallRequest { response_parameters, ..Default::default() }
        };
        let mixed = self.flags(&mut client, request([true, false]), sizes).await;
        if matches!(mixed, Ok(flags) if flags == [Some(true), Some(false)]) {
            return Ok(());
        }
        let flags = self.flags(&mut client, request([true; 2]), sizes).await?;
        if flags == [Some(false); 2] {
            return Err(Stop::Cannot("the server does not compress"));
        }
        expect("whether they are compressed", flags, vec![Some(true); 2])?;
        Err(Stop::Cannot("the server cannot mix both in a stream; a compressed stream was OK"))
    }

    /// Which of the responses are compressed.
    async fn flags(
        &self,
        client: &mut TestServiceClient<Channel>,
        request: StreamingOutputCallRequest,
        sizes: [usize; 2],
    ) -> Result<Vec<Option<bool>>, Stop> {
        let response = client.streaming_output_call(request).await?;
        let flags = Flags::of(response.extensions());
        let responses: Vec<_> = response.into_inner().collect().await;
        let mut seen = Vec::new();
        for (response, size) in responses.into_iter().zip(sizes) {
            expect_zeros("a payload", response?.payload, size)?;
            seen.push(flags.next());
        }
        Ok(seen)
    }
}
