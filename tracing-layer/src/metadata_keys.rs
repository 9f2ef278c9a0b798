//! The attributes of allowed metadata.

use std::sync::Arc;

use http::HeaderValue;
use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
use tonic_call::{AllowedMetadata, Flow, Protocol, sanitize};

use crate::conventions::Conventions;

/// The keys of allowed metadata.
#[derive(Clone, Debug)]
pub(crate) struct MetadataKeys {
    grpc: KeysByName,
    connect: KeysByName,
}

/// The keys of each allowed name, by its index.
type KeysByName = Vec<Vec<Key>>;

/// The prefixes of keys.
struct Prefixes {
    old_grpc: &'static str,
    old_connect: &'static str,
    new: &'static str,
}

const REQUEST: Prefixes = Prefixes {
    old_grpc: "rpc.grpc.request.metadata.",
    old_connect: "rpc.connect_rpc.request.metadata.",
    new: "rpc.request.metadata.",
};

const RESPONSE: Prefixes = Prefixes {
    old_grpc: "rpc.grpc.response.metadata.",
    old_connect: "rpc.connect_rpc.response.metadata.",
    new: "rpc.response.metadata.",
};

impl MetadataKeys {
    pub(crate) fn new(conventions: Conventions, flow: Flow, allowed: &AllowedMetadata) -> Self {
        let prefixes = match flow {
            Flow::Request => REQUEST,
            Flow::Response => RESPONSE,
        };
        let keys = |old| {
            let old = conventions.is_old().then_some(old);
            let new = conventions.is_new().then_some(prefixes.new);
            let prefixes = [old, new];
            let names = allowed.names().iter();
            let keys = names.map(|name| {
                let keys = prefixes.iter().flatten().map(|prefix| format!("{prefix}{name}"));
                // Shared text: cloning it does not copy.
                keys.map(|key| Key::from(Arc::<str>::from(key))).collect()
            });
            keys.collect()
        };
        Self { grpc: keys(prefixes.old_grpc), connect: keys(prefixes.old_connect) }
    }

    /// The attributes of the name with this index.
    pub(crate) fn attributes(
        &self,
        protocol: Protocol,
        index: usize,
        values: &[HeaderValue],
    ) -> impl Iterator<Item = KeyValue> {
        let keys = match protocol {
            Protocol::Connect => &self.connect[index],
            _ => &self.grpc[index],
        };
        let texts = values.iter().map(|value| StringValue::from(sanitize(value).into_owned()));
        let texts = Value::Array(Array::String(texts.collect()));
        keys.iter().map(move |key| KeyValue::new(key.clone(), texts.clone()))
    }
}
