//! The methods in a `FileDescriptorSet`.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::{Uri, request};
use prost::Message as _;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, MethodOptions};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::method::method_name::MethodName;
use crate::method::rpc::{
    HEALTH, KnownMethod, REFLECTION, REFLECTION_ALPHA, Rpc, is_infrastructure,
};
use crate::method::{Idempotency, MethodKind};
use crate::show::MAX_TEXT_BYTES;

/// The methods of a set of services, with the kind and idempotency of each.
///
/// Read once, from the descriptor set that `tonic-prost-build` writes; clones share the data. The methods of
/// the standard health service (`grpc.health.v1.Health`) and of the reflection services
/// (`grpc.reflection.v1.ServerReflection` and `v1alpha`) are always known, because a program's own descriptor
/// set rarely contains them. [`iter`](Self::iter) and [`len`](Self::len) cover only methods that a descriptor
/// set describes.
///
/// ```
/// # use tonic_call::{MethodKind, Methods};
/// # let descriptor_set = tonic_call_test_kit::FILE_DESCRIPTOR_SET;
/// let methods = Methods::from_descriptor_set(descriptor_set)?;
/// let method = methods.get("test.v1.Kinds", "ServerStream").unwrap();
/// assert_eq!(method.kind(), MethodKind::ServerStream);
/// # Ok::<(), tonic_call::MethodsError>(())
/// ```
#[derive(Clone)]
pub struct Methods(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    /// The described methods, followed by the standard ones that no set describes.
    list: Vec<Method>,
    /// The number of described methods.
    described: usize,
    by_name: FxHashMap<MethodName, usize>,
    services: FxHashSet<Box<str>>,
}

/// The method that a thread has called last.
struct Last {
    methods: Methods,
    index: usize,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// One method of a service.
#[derive(Clone, Debug)]
pub struct Method {
    full: MethodName,
    /// See [`KnownMethod`].
    is_plain: bool,
    is_infrastructure: bool,
    service_len: usize,
    kind: MethodKind,
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
    /// If the bytes are something else, or describe one method in two different ways.
    pub fn from_descriptor_set(encoded: &[u8]) -> Result<Self, MethodsError> {
        Self::default().and_descriptor_set(encoded)
    }

    /// Adds the methods of another set. Standard services that a set describes, as
    /// `tonic_health::pb::FILE_DESCRIPTOR_SET` does, count as [described](Self::iter).
    ///
    /// # Errors
    ///
    /// Like [`from_descriptor_set`](Self::from_descriptor_set).
    pub fn and_descriptor_set(self, encoded: &[u8]) -> Result<Self, MethodsError> {
        let set = FileDescriptorSet::decode(encoded).map_err(MethodsError::Decode)?;
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.remove_standard();
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
        inner.add_standard();
        Ok(Self(Arc::new(inner)))
    }

    /// The method with this name, if there is one.
    pub fn get(&self, service: &str, method: &str) -> Option<&Method> {
        self.by_full(&format!("{service}/{method}"))
    }

    /// The method that a call names, if it is in this set. Does not allocate.
    pub fn find(&self, rpc: &Rpc) -> Option<&Method> {
        self.by_full(rpc.full()).filter(|_| rpc.is_well_formed())
    }

    fn by_full(&self, full: &str) -> Option<&Method> {
        self.0.list.get(*self.0.by_name.get(full)?)
    }

    /// Whether there is a service with this fully qualified name, with or without methods.
    pub fn has_service(&self, service: &str) -> bool {
        self.0.services.contains(service)
    }

    /// Whether a call names a method in this set.
    pub fn contains(&self, rpc: &Rpc) -> bool {
        self.find(rpc).is_some()
    }

    /// The methods that the descriptor sets describe, in the order of [`KnownMethod::index`].
    ///
    /// Standard methods are included only if a set describes them. What is done for each method (requiring a
    /// rule, starting a series at 0) is then done for the methods that the program serves.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Method> {
        self.0.list[..self.0.described].iter()
    }

    /// The number of [described](Self::iter) methods.
    pub fn len(&self) -> usize {
        self.0.described
    }

    /// Whether no method is described.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The exclusive upper bound of every [index](KnownMethod::index): the number of methods, including the
    /// standard ones.
    pub fn capacity(&self) -> usize {
        self.0.list.len()
    }

    /// Whether the other set has the same services, and the same methods in any order.
    pub(crate) fn is_same_set(&self, other: &Self) -> bool {
        let is_same = |method: &Method| {
            let twin = other.by_full(&method.full);
            twin.is_some_and(|twin| {
                (twin.kind, twin.idempotency) == (method.kind, method.idempotency)
            })
        };
        Arc::ptr_eq(&self.0, &other.0)
            || (self.len() == other.len()
                && self.capacity() == other.capacity()
                && self.0.services == other.0.services
                && self.all().all(is_same))
    }

    /// The described methods and the standard ones.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Method> {
        self.0.list.iter()
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.0.services.iter().map(|service| &**service)
    }

    pub(crate) fn has_full(&self, full: &str) -> bool {
        self.0.by_name.contains_key(full)
    }

    pub(crate) fn known(&self, rpc: &Rpc) -> Option<KnownMethod> {
        let index = *self.0.by_name.get(rpc.full())?;
        Some(self.0.list[index].known(index))
    }

    /// The method that a request calls, with what is known about it.
    ///
    /// The one that was called last on this thread is not looked up again: the layers of a call resolve the same method
    /// one after the other.
    pub(super) fn resolve(&self, head: &request::Parts) -> Rpc {
        let resolved = LAST.try_with(|last| {
            let mut last = last.borrow_mut();
            let is_of_this = |last: &&mut Last| Arc::ptr_eq(&last.methods.0, &self.0);
            if let Some(Last { index, .. }) = last.as_mut().filter(is_of_this) {
                if let Some(rpc) = self.0.list[*index].called_by(&head.uri, *index) {
                    return rpc;
                }
                let rpc = self.look_up(head);
                *index = rpc.known().map_or(*index, |known| known.index);
                return rpc;
            }
            let rpc = self.look_up(head);
            if let Some(known) = rpc.known() {
                *last = Some(Last { methods: self.clone(), index: known.index });
            }
            rpc
        });
        resolved.unwrap_or_else(|_| self.look_up(head))
    }

    fn look_up(&self, head: &request::Parts) -> Rpc {
        let rpc = Rpc::from_head(head);
        let known = self.known(&rpc);
        rpc.with_known(known, true)
    }
}

/// The methods of the standard services: gRPC's `health.proto` and `reflection.proto`.
const STANDARD: [(&str, &str, MethodKind); 5] = [
    (HEALTH, "Check", MethodKind::Unary),
    (HEALTH, "List", MethodKind::Unary),
    (HEALTH, "Watch", MethodKind::ServerStream),
    (REFLECTION, "ServerReflectionInfo", MethodKind::BidiStream),
    (REFLECTION_ALPHA, "ServerReflectionInfo", MethodKind::BidiStream),
];

impl Inner {
    /// Removes the standard methods that no set has described, so that the next set can describe them.
    fn remove_standard(&mut self) {
        for method in self.list.drain(self.described..) {
            self.by_name.remove(&method.full);
        }
    }

    /// Adds the standard methods that no set has described.
    fn add_standard(&mut self) {
        self.described = self.list.len();
        for (service, name, kind) in STANDARD {
            let full = MethodName::new(&format!("{service}/{name}"));
            if let Entry::Vacant(entry) = self.by_name.entry(full.clone()) {
                entry.insert(self.list.len());
                self.list.push(Method {
                    full,
                    is_plain: true,
                    is_infrastructure: true,
                    service_len: service.len(),
                    kind,
                    idempotency: Idempotency::Unknown,
                });
            }
            self.services.insert(service.into());
        }
    }

    fn add(&mut self, service: &str, method: &MethodDescriptorProto) -> Result<(), MethodsError> {
        let full = MethodName::new(&format!("{service}/{}", method.name()));
        let added = Method {
            is_plain: full.len() <= MAX_TEXT_BYTES && full.bytes().all(is_of_identifiers),
            is_infrastructure: is_infrastructure(service),
            service_len: service.len(),
            full: full.clone(),
            kind: MethodKind::new(method.client_streaming(), method.server_streaming()),
            idempotency: idempotency_of(method),
        };
        match self.by_name.entry(full) {
            Entry::Vacant(entry) => {
                entry.insert(self.list.len());
                self.list.push(added);
                Ok(())
            }
            Entry::Occupied(entry) if self.list[*entry.get()].equals(&added) => Ok(()),
            Entry::Occupied(entry) => Err(MethodsError::Conflict(entry.key().to_string())),
        }
    }
}

impl Method {
    /// The fully qualified service name, `pkg.Svc`.
    pub fn service(&self) -> &str {
        &self.full[..self.service_len]
    }

    /// The method name.
    pub fn name(&self) -> &str {
        &self.full[self.service_len + 1..]
    }

    /// Service and method, `pkg.Svc/Method`.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// The kind: unary, or which sides stream.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// The value of its `idempotency_level` option.
    pub fn idempotency(&self) -> Idempotency {
        self.idempotency
    }

    fn known(&self, index: usize) -> KnownMethod {
        KnownMethod {
            index,
            kind: Some(self.kind),
            idempotency: Some(self.idempotency),
            name: self.full.leaked(),
            is_plain: self.is_plain,
            is_infrastructure: self.is_infrastructure,
        }
    }

    /// This method, which has this index, if a URI names it.
    fn called_by(&self, uri: &Uri, index: usize) -> Option<Rpc> {
        let path = uri.path_and_query()?;
        let text = path.path();
        let is_called = text.strip_prefix('/') == Some(&self.full);
        is_called.then(|| Rpc::described(path, self.service_len, text.len(), self.known(index)))?
    }

    fn equals(&self, other: &Self) -> bool {
        self.kind == other.kind && self.idempotency == other.idempotency
    }
}

/// Whether a name of protobuf can have this byte, with its package, or between its two parts.
fn is_of_identifiers(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./".contains(&byte)
}

fn idempotency_of(method: &MethodDescriptorProto) -> Idempotency {
    match method.options.as_ref().map(MethodOptions::idempotency_level) {
        Some(IdempotencyLevel::NoSideEffects) => Idempotency::NoSideEffects,
        Some(IdempotencyLevel::Idempotent) => Idempotency::Idempotent,
        Some(IdempotencyLevel::IdempotencyUnknown) | None => Idempotency::Unknown,
    }
}

/// Only the standard methods; none is described.
impl Default for Methods {
    fn default() -> Self {
        let mut inner = Inner::default();
        inner.add_standard();
        Self(Arc::new(inner))
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
            Self::Conflict(method) => write!(f, "{method} is described in two different ways"),
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
