//! The methods of the descriptor sets, found by path.

use std::error::Error;
use std::fmt;

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::MethodOptions;
use prost_types::method_options::IdempotencyLevel;
use rustc_hash::{FxHashMap, FxHashSet};

#[derive(Clone, Default)]
pub(crate) struct Methods {
    pool: DescriptorPool,
    all: Vec<Method>,
    /// By `pkg.Svc/Method`.
    by_name: FxHashMap<Box<str>, MethodId>,
    services: FxHashSet<Box<str>>,
}

/// A method of these: the parts of a call share it without a count of references.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MethodId(usize);

/// One method of a service.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// `/pkg.Svc/Method`.
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) client_streams: bool,
    pub(crate) server_streams: bool,
    /// Whether it can be called by `GET`: it is marked `NO_SIDE_EFFECTS`, and is unary.
    pub(crate) by_get: bool,
}

/// What a path names.
pub(crate) enum Found {
    Method(MethodId),
    /// A described service without this method.
    Service,
    Nothing,
}

impl Methods {
    pub(crate) fn add(&mut self, descriptor_set: &[u8]) -> Result<(), DescriptorSetError> {
        self.pool.decode_file_descriptor_set(descriptor_set).map_err(DescriptorSetError)?;
        self.all.clear();
        for service in self.pool.services() {
            for method in service.methods() {
                let name = format!("{}/{}", service.full_name(), method.name());
                let path = PathAndQuery::try_from(format!("/{name}")).ok();
                self.by_name.insert(name.into(), MethodId(self.all.len()));
                self.all.push(Method::new(&method, path));
            }
            self.services.insert(service.full_name().into());
        }
        Ok(())
    }

    pub(crate) fn get(&self, id: MethodId) -> &Method {
        &self.all[id.0]
    }

    pub(crate) fn find(&self, path: &str) -> Found {
        let name = path.strip_prefix('/').unwrap_or_default();
        if let Some(&method) = self.by_name.get(name) {
            return Found::Method(method);
        }
        match name.split_once('/') {
            Some((service, _)) if self.services.contains(service) => Found::Service,
            _ => Found::Nothing,
        }
    }

    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

impl Method {
    fn new(method: &MethodDescriptor, path: Option<PathAndQuery>) -> Self {
        let proto = method.method_descriptor_proto();
        let level = proto.options.as_ref().map(MethodOptions::idempotency_level);
        let (client_streams, server_streams) =
            (method.is_client_streaming(), method.is_server_streaming());
        Self {
            path,
            input: method.input(),
            output: method.output(),
            client_streams,
            server_streams,
            by_get: level == Some(IdempotencyLevel::NoSideEffects)
                && !client_streams
                && !server_streams,
        }
    }

    pub(crate) fn is_unary(&self) -> bool {
        !self.client_streams && !self.server_streams
    }

    pub(crate) fn is_bidi(&self) -> bool {
        self.client_streams && self.server_streams
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// A descriptor set that can't be used.
#[derive(Debug)]
pub struct DescriptorSetError(DescriptorError);

impl fmt::Display for DescriptorSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the descriptor set can't be used")
    }
}

impl Error for DescriptorSetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
