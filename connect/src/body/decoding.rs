use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use crate::codec::Codec;
use crate::methods::Method;
use crate::settings::Settings;

/// How the messages of a request are decoded.
pub(crate) struct Decoding {
    pub(crate) settings: Arc<Settings>,
    pub(crate) method: Arc<Method>,
    pub(crate) codec: Codec,
    pub(crate) gzip: bool,
}

impl Decoding {
    pub(crate) fn decode(&self, message: Bytes) -> Result<Bytes, Status> {
        self.codec.decode(&self.settings, &self.method.input, message)
    }
}
