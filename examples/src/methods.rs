//! The services of the server: their methods for the layers, their descriptors for reflection.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;
use tonic_call::{Methods, MethodsError};
use tonic_connect_layer::{ConnectLayer, DescriptorSetError};
use tonic_reflection::server::Builder;

use crate::FILE_DESCRIPTOR_SET;
use crate::service::VERSIONS;

/// The methods of every service that the server has.
pub(crate) fn served() -> Result<Methods, MethodsError> {
    Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}

/// Whether every version of the order service has this method.
pub(crate) fn is_in_every_version(method: &str) -> bool {
    static ORDERS: LazyLock<Methods> = LazyLock::new(|| {
        Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).expect("build.rs wrote a whole set")
    });
    VERSIONS.iter().all(|service| ORDERS.get(service, method).is_some())
}

/// Answers Connect calls of the same methods.
pub(crate) fn connect() -> Result<ConnectLayer, DescriptorSetError> {
    ConnectLayer::new(FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)?
        .and_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)?
        // The details of a status, which JSON shows in `debug`.
        .and_descriptor_set(&WELL_KNOWN)?
        .and_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// The reflection service.
pub(crate) fn reflection() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // The details of a status: without them `grpcurl` prints the details as bytes.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(&WELL_KNOWN)
}

/// The files that these import, such as `google/protobuf/any.proto`.
static WELL_KNOWN: LazyLock<Vec<u8>> = LazyLock::new(|| DescriptorPool::global().encode_to_vec());
