use http::Uri;
use prost::Message as _;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic_call::Methods;
use tonic_call_test_kit::FILE_DESCRIPTOR_SET;

/// The methods of the service.
pub(crate) fn known() -> Methods {
    Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).expect("it describes methods")
}

/// The methods of the service, and others that are never called: `count` methods in total.
pub(crate) fn many(count: usize) -> Methods {
    with_others(count.saturating_sub(known().len()))
}

/// The methods of the service, and this many others.
pub(crate) fn with_others(count: usize) -> Methods {
    let method = |number| MethodDescriptorProto {
        name: Some(format!("Method{number}")),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Others".to_owned()),
        method: (0..count).map(method).collect(),
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("test.v1".to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    let others = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    known().and_descriptor_set(&others).expect("it describes others")
}

/// The path of each of these others.
pub(crate) fn paths_of_others(count: usize) -> Vec<Uri> {
    let path = |number| format!("{OTHERS}Method{number}");
    (0..count).map(|number| Uri::try_from(path(number)).expect("a path is a URI")).collect()
}

/// The start of the path of each method that only [`with_others`] knows.
pub(crate) const OTHERS: &str = "/test.v1.Others/";
