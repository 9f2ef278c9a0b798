use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tonic::Status;

use super::buffer::Buffer;

/// The request body of one attempt. It reads what the attempts before have read, and then the caller's body. It fails
/// with `CANCELLED` once its attempt or its call is over.
pub struct ReplayBody {
    buffer: Arc<Buffer>,
    number: u32,
}

impl ReplayBody {
    pub(super) fn new(buffer: Arc<Buffer>, number: u32) -> Self {
        Self { buffer, number }
    }
}

impl Body for ReplayBody {
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

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("attempt", &self.number).finish_non_exhaustive()
    }
}
