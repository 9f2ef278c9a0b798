//! What a `FileDescriptorSet` says of each method.

use std::collections::hash_map::Entry;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use prost::Message as _;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, MethodOptions};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::kind::{Idempotency, Kind};
use crate::rpc::{KnownMethod, Rpc};

/// The methods of a set of services, with the kind and idempotency of each.
///
/// Read once, from the descriptor set that `tonic-prost-build` writes; cloning shares it.
///
/// ```
/// # use tonic_call::{Kind, Methods};
/// # let descriptor_set = tonic_call_test_kit::FILE_DESCRIPTOR_SET;
/// let methods = Methods::from_descriptor_set(descriptor_set)?;
/// let method = methods.get("test.v1.Kinds", "ServerStream").unwrap();
/// assert_eq!(method.kind(), Kind::ServerStream);
/// # Ok::<(), tonic_call::MethodsError>(())
/// ```
#[derive(Clone, Default)]
pub struct Methods(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    list: Vec<Method>,
    by_name: FxHashMap<Arc<str>, usize>,
    services: FxHashSet<Box<str>>,
}

/// One method of a service.
#[derive(Clone, Debug)]
pub struct Method {
    full: Arc<str>,
    service_len: usize,
    kind: Kind,
    idempotency: Idempotency,
}

/// A descriptor set that can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum MethodsError {
    /// The bytes are not an encoded `google.protobuf.FileDescriptorSet`.
    Decode(prost::DecodeError),
    /// Two files of the set define the same method differently.
    Conflict(String),
}

impl Methods {
    /// Reads an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// # Errors
    ///
    /// When the bytes are something else, or describe one method in two ways.
    pub fn from_descriptor_set(encoded: &[u8]) -> Result<Self, MethodsError> {
        Self::default().and_descriptor_set(encoded)
    }

    /// Adds the methods of a further set, for example that of the standard health service, which
    /// `tonic_health::pb::FILE_DESCRIPTOR_SET` holds.
    ///
    /// # Errors
    ///
    /// As [`from_descriptor_set`](Self::from_descriptor_set).
    pub fn and_descriptor_set(self, encoded: &[u8]) -> Result<Self, MethodsError> {
        let set = FileDescriptorSet::decode(encoded).map_err(MethodsError::Decode)?;
        let mut inner = Arc::unwrap_or_clone(self.0);
        for file in &set.file {
            let dot = if file.package().is_empty() { "" } else { "." };
            for service in &file.service {
                let name = format!("{}{dot}{}", file.package(), service.name());
                for method in &service.method {
                    inner.add(&name, method)?;
                }
                inner.services.insert(name.into());
            }
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The method of that name, if there is one.
    pub fn get(&self, service: &str, method: &str) -> Option<&Method> {
        let index = *self.0.by_name.get(&*format!("{service}/{method}"))?;
        self.0.list.get(index)
    }

    /// Whether there is a service of that fully qualified name, with or without methods.
    pub fn has_service(&self, service: &str) -> bool {
        self.0.services.contains(service)
    }

    /// Whether a call names one of these methods.
    pub fn contains(&self, rpc: &Rpc) -> bool {
        rpc.is_well_formed() && self.has_full(rpc.full())
    }

    /// All methods, in the order of the descriptor set: that of [`KnownMethod::index`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Method> {
        self.0.list.iter()
    }

    /// How many methods there are.
    pub fn len(&self) -> usize {
        self.0.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.list.is_empty()
    }

    pub(crate) fn has_full(&self, full: &str) -> bool {
        self.0.by_name.contains_key(full)
    }

    pub(crate) fn known(&self, rpc: &Rpc) -> Option<KnownMethod> {
        let index = *self.0.by_name.get(rpc.full())?;
        let method = &self.0.list[index];
        Some(KnownMethod::described(index, method.kind, method.idempotency))
    }
}

impl Inner {
    fn add(&mut self, service: &str, method: &MethodDescriptorProto) -> Result<(), MethodsError> {
        let full: Arc<str> = format!("{service}/{}", method.name()).into();
        let added = Method {
            service_len: service.len(),
            full: full.clone(),
            kind: Kind::new(method.client_streaming(), method.server_streaming()),
            idempotency: idempotency_of(method),
        };
        match self.by_name.entry(full) {
            Entry::Vacant(entry) => {
                entry.insert(self.list.len());
                self.list.push(added);
                Ok(())
            }
            Entry::Occupied(entry) if self.list[*entry.get()].says_the_same(&added) => Ok(()),
            Entry::Occupied(entry) => Err(MethodsError::Conflict(entry.key().to_string())),
        }
    }
}

impl Method {
    /// The fully qualified service, `pkg.Svc`.
    pub fn service(&self) -> &str {
        &self.full[..self.service_len]
    }

    /// The method's own name.
    pub fn name(&self) -> &str {
        &self.full[self.service_len + 1..]
    }

    /// Service and method, `pkg.Svc/Method`.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Unary, or which side streams.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What its `idempotency_level` option says.
    pub fn idempotency(&self) -> Idempotency {
        self.idempotency
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.idempotency == other.idempotency
    }
}

fn idempotency_of(method: &MethodDescriptorProto) -> Idempotency {
    match method.options.as_ref().map(MethodOptions::idempotency_level) {
        Some(IdempotencyLevel::NoSideEffects) => Idempotency::NoSideEffects,
        Some(IdempotencyLevel::Idempotent) => Idempotency::Idempotent,
        Some(IdempotencyLevel::IdempotencyUnknown) | None => Idempotency::Unknown,
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Method::full)).finish()
    }
}

impl fmt::Display for MethodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(_) => f.write_str("not an encoded google.protobuf.FileDescriptorSet"),
            Self::Conflict(method) => write!(f, "{method} is described twice, and differently"),
        }
    }
}

impl Error for MethodsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode(error) => Some(error),
            Self::Conflict(_) => None,
        }
    }
}
