//! The methods of `test.v1.Kinds`, without the test kit: a package of this crate does not have it.

use prost::Message as _;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

use crate::method::Methods;

pub(super) fn kinds() -> Methods {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Kinds".to_owned()),
        method: ["Unary", "ClientStream", "ServerStream", "BidiStream", "Peek"].map(method).into(),
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
