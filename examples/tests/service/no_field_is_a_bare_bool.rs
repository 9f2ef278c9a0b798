//! A `bool` without `optional` cannot say "not set", and can never get a third value: an enum can.

use orders::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

#[test]
fn in_any_message_of_the_schema() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let ours = || set.file.iter().filter(|file| file.package().starts_with("orders."));
    assert_eq!(
        ours().map(FileDescriptorProto::package).collect::<Vec<_>>(),
        ["orders.v1", "orders.v2"]
    );
    let bare: Vec<_> = ours().flat_map(|file| &file.message_type).flat_map(bare_bools).collect();
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn and_one_would_be_found_in_a_nested_message() {
    let field = |name: &str, optional| FieldDescriptorProto {
        name: Some(name.to_owned()),
        r#type: Some(Type::Bool.into()),
        proto3_optional: Some(optional),
        ..Default::default()
    };
    let nested = DescriptorProto {
        name: Some("Nested".to_owned()),
        field: vec![field("paid", false), field("gift", true)],
        ..Default::default()
    };
    let message = DescriptorProto {
        name: Some("Order".to_owned()),
        nested_type: vec![nested],
        ..Default::default()
    };
    assert_eq!(bare_bools(&message), ["Nested.paid"]);
}

fn bare_bools(message: &DescriptorProto) -> Vec<String> {
    let is_bare =
        |field: &&FieldDescriptorProto| field.r#type() == Type::Bool && !field.proto3_optional();
    let own = message.field.iter().filter(is_bare);
    let own = own.map(|field| format!("{}.{}", message.name(), field.name()));
    own.chain(message.nested_type.iter().flat_map(bare_bools)).collect()
}
