//! What all calls of a layer share.

use crate::json::{JsonCodec, JsonOptions};
use crate::methods::{DescriptorSetError, Methods};

/// The default maximum size of a message: the same as tonic's.
const MAX_MESSAGE_BYTES: usize = 4 * 1_024 * 1_024;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) methods: Methods,
    pub(crate) json: JsonCodec,
    json_options: JsonOptions,
    pub(crate) max_received: usize,
    pub(crate) max_decompressed: usize,
    pub(crate) compression: bool,
    pub(crate) compress_from: usize,
    pub(crate) require_version: bool,
}

impl Settings {
    pub(crate) fn add(&mut self, descriptor_set: &[u8]) -> Result<(), DescriptorSetError> {
        self.methods.add(descriptor_set)?;
        // A codec is for one set of types.
        self.json = JsonCodec::new(self.json_options);
        Ok(())
    }

    pub(crate) fn set_json(&mut self, set: impl FnOnce(&mut JsonOptions)) {
        set(&mut self.json_options);
        self.json = JsonCodec::new(self.json_options);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            methods: Methods::default(),
            json: JsonCodec::new(JsonOptions::default()),
            json_options: JsonOptions::default(),
            max_received: MAX_MESSAGE_BYTES,
            max_decompressed: MAX_MESSAGE_BYTES,
            compression: true,
            compress_from: 1_024,
            require_version: false,
        }
    }
}
