//! The methods of `test.v1.Kinds`, without the test kit: a package of this crate does not have it.

use prost::Message as _;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

use crate::method::Methods;

pub(super) fn kinds() -> Methods {
    methods_of(&["Unary", "ClientStream", "ServerStream", "BidiStream", "Peek"])
}

/// Methods of these names, which a set can also have if they are no identifiers.
pub(super) fn methods_of(names: &[&str]) -> Methods {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Kinds".to_owned()),
        method: names.iter().copied().map(method).collect(),
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("test.v1".to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    Methods::from_descriptor_set(&set).expect("a descriptor set")
}
