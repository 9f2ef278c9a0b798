use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tonic::Status;

use super::buffer::Buffer;

/// The request body of one attempt. It reads what the attempts before have read, and then the caller's body.
pub(crate) struct AttemptBody {
    buffer: Arc<Buffer>,
    number: u32,
}

impl AttemptBody {
    pub(super) fn new(buffer: Arc<Buffer>, number: u32) -> Self {
        Self { buffer, number }
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.buffer.poll(self.number, cx).map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.buffer.is_at_end(self.number)
    }
}
