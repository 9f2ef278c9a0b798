use prost::Message as _;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic_call::Methods;
use tonic_call_test_kit::FILE_DESCRIPTOR_SET;

/// The methods of the service, and others that are never called: `count` methods in total.
pub(crate) fn many(count: usize) -> Methods {
    let known = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).expect("it describes methods");
    let method = |number| MethodDescriptorProto {
        name: Some(format!("Method{number}")),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Others".to_owned()),
        method: (known.len()..count).map(method).collect(),
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("test.v1".to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    let others = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    known.and_descriptor_set(&others).expect("it describes others")
}
