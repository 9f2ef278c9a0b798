//! Responses of a stream: those that its requests ask for.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _, stream};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::proto::{
    EchoStatus, ResponseParameters, StreamingOutputCallRequest, StreamingOutputCallResponse, zeros,
};

/// The most bytes of a payload: more than any case asks for.
const MAX_SIZE: usize = 16 << 20;

/// The responses that each request asks for, before the next request is read.
pub(crate) fn responses<S>(
    requests: S,
) -> impl Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send + 'static
where
    S: Stream<Item = Result<StreamingOutputCallRequest, Status>> + Send + Unpin + 'static,
{
    let start = (requests, VecDeque::<ResponseParameters>::new());
    stream::try_unfold(start, |(mut requests, mut pending)| async move {
        loop {
            if let Some(parameters) = pending.pop_front() {
                let pause = u64::try_from(parameters.interval_us).unwrap_or(0);
                if pause > 0 {
                    sleep(Duration::from_micros(pause)).await;
                }
                let payload = zeros(size(parameters.size)?);
                let response = StreamingOutputCallResponse { payload: Some(payload) };
                return Ok(Some((response, (requests, pending))));
            }
            let Some(request) = requests.try_next().await? else {
                return Ok(None);
            };
            echo(request.response_status)?;
            pending.extend(request.response_parameters);
        }
    })
}

/// The bytes of a payload.
pub(crate) fn size(asked: i32) -> Result<usize, Status> {
    let size = usize::try_from(asked).ok().filter(|size| *size <= MAX_SIZE);
    size.ok_or_else(|| Status::invalid_argument(format!("no payload has {asked} bytes")))
}

/// The status that a request asks for, unless it is OK.
pub(crate) fn echo(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(Status::new(Code::from_i32(code), message))
        }
        _ => Ok(()),
    }
}
