use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::methods::DescriptorSetError;
use crate::service::Connect;
use crate::settings::Settings;

/// Translates calls of the Connect protocol to gRPC: see the [crate's page](crate).
#[derive(Clone)]
pub struct ConnectLayer {
    settings: Arc<Settings>,
}

impl ConnectLayer {
    /// Answers Connect calls of the methods in an encoded `google.protobuf.FileDescriptorSet`, as
    /// `tonic-prost-build` writes it.
    ///
    /// # Errors
    ///
    /// If the bytes are something else, or a type that they refer to is missing.
    pub fn new(descriptor_set: &[u8]) -> Result<Self, DescriptorSetError> {
        let mut settings = Settings::default();
        settings.add(descriptor_set)?;
        Ok(Self { settings: Arc::new(settings) })
    }

    /// Adds the methods of another descriptor set, such as `tonic_health::pb::FILE_DESCRIPTOR_SET`. Types that only
    /// error details use can be added too: they are shown in the `debug` member of a detail. Those of `google.rpc` are
    /// in `tonic_types::pb::FILE_DESCRIPTOR_SET`.
    ///
    /// # Errors
    ///
    /// Like [`new`](Self::new), and if the sets define the same name in two different ways.
    pub fn and_descriptor_set(mut self, descriptor_set: &[u8]) -> Result<Self, DescriptorSetError> {
        Arc::make_mut(&mut self.settings).add(descriptor_set)?;
        Ok(self)
    }

    /// Sets whether a JSON request with a name that no field has is answered with `invalid_argument`. By default such
    /// names are ignored, so that newer clients can call older servers.
    #[must_use]
    pub fn refuse_unknown_fields(self, is_on: bool) -> Self {
        self.set(|settings| settings.set_json(|json| json.refuse_unknown_fields = is_on))
    }

    /// Sets whether JSON answers contain fields that have their default value, and empty lists and maps. By default
    /// they are left out.
    #[must_use]
    pub fn write_defaults(self, is_on: bool) -> Self {
        self.set(|settings| settings.set_json(|json| json.write_defaults = is_on))
    }

    /// Sets the maximum size of a request message in bytes, as received: compressed if the caller compresses it.
    /// Default: 4 MiB. A larger message is answered with `resource_exhausted`.
    #[must_use]
    pub fn max_received_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_received = bytes)
    }

    /// Sets the maximum size of a request message in bytes after decompression, still in JSON if the caller sends
    /// JSON. Default: 4 MiB. tonic limits the size of the protobuf message itself, with
    /// `max_decoding_message_size` of a service.
    #[must_use]
    pub fn max_decompressed_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_decompressed = bytes)
    }

    /// Sets whether gzip is offered. It is by default. Without it, a compressed request is answered with
    /// `unimplemented`.
    #[must_use]
    pub fn compression(self, is_on: bool) -> Self {
        self.set(|settings| settings.compression = is_on)
    }

    /// Sets the minimum size in bytes of a message that is compressed, if the caller accepts that. Default: 1,024.
    #[must_use]
    pub fn compress_from(self, bytes: usize) -> Self {
        self.set(|settings| settings.compress_from = bytes)
    }

    /// Sets whether a call must have `connect-protocol-version: 1`, or `connect=v1` in the query of a `GET`. It need
    /// not by default, so that `curl` works without it. A call without it is answered with `invalid_argument`.
    #[must_use]
    pub fn require_protocol_version(self, is_required: bool) -> Self {
        self.set(|settings| settings.require_version = is_required)
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = Connect<S>;

    fn layer(&self, inner: S) -> Connect<S> {
        Connect::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for ConnectLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectLayer")
            .field("methods", &self.settings.methods)
            .finish_non_exhaustive()
    }
}
