//! Cases of calls that fail.

use futures_util::stream;
use tonic::Code;

use super::cases::Tester;
use super::check::{Outcome, expect, failed};
use crate::proto::{EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest};

const MESSAGE: &str = "test status message";

/// With what a header cannot have: white space at its ends, line breaks, and characters beyond ASCII.
const SPECIAL_MESSAGE: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

fn unknown(message: &str) -> Option<EchoStatus> {
    Some(EchoStatus { code: Code::Unknown.into(), message: message.to_owned() })
}

impl Tester {
    pub(super) async fn status_code_and_message(&self) -> Outcome {
        self.unary_status(MESSAGE).await?;
        let request =
            StreamingOutputCallRequest { response_status: unknown(MESSAGE), ..Default::default() };
        let mut client = self.client.clone();
        let call = async {
            let requests = stream::iter([request]);
            client.full_duplex_call(requests).await?.into_inner().message().await
        };
        let status = failed(call.await, Code::Unknown)?;
        expect("the message of the stream", status.message(), MESSAGE)
    }

    pub(super) async fn special_status_message(&self) -> Outcome {
        self.unary_status(SPECIAL_MESSAGE).await
    }

    pub(super) async fn unimplemented_method(&self) -> Outcome {
        failed(self.client.clone().unimplemented_call(Empty {}).await, Code::Unimplemented)?;
        Ok(())
    }

    pub(super) async fn unimplemented_service(&self) -> Outcome {
        failed(self.unimplemented.clone().unimplemented_call(Empty {}).await, Code::Unimplemented)?;
        Ok(())
    }

    async fn unary_status(&self, message: &str) -> Outcome {
        let request =
            SimpleRequest { response_status: unknown(message), ..SimpleRequest::default() };
        let status = failed(self.client.clone().unary_call(request).await, Code::Unknown)?;
        expect("the message", status.message(), message)
    }
}
