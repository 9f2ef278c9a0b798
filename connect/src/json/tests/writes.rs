//! What is written for a message.

use prost_reflect::{DynamicMessage, MapKey, Value};

use super::{all, codec, message, through};
use crate::json::{JsonCodec, JsonOptions};
use prost::Message as _;
use tonic::Code;

/// The JSON of these bytes, given in parts.
#[track_caller]
fn json(parts: &[&[u8]]) -> String {
    String::from_utf8(codec().encode(&all(), parts.concat()).unwrap().to_vec()).unwrap()
}

#[track_caller]
fn broken(parts: &[&[u8]], text: &str) {
    let status = codec().encode(&all(), parts.concat()).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), format!("test.json.All has no JSON form: {text}"));
}

#[test]
fn fields_come_in_the_order_of_their_numbers_however_they_arrive() {
    assert_eq!(json(&[b"\x72\x01a", b"\x18\x05"]), r#"{"anInt32":5,"aString":"a"}"#);
}

#[test]
fn fields_of_a_message_in_a_message_may_arrive_in_any_order_too() {
    let child: &[u8] = b"\x8A\x01\x05\x72\x01a\x18\x06";
    let expected = r#"{"anInt32":5,"child":{"anInt32":6,"aString":"a"},"int32s":[1,2]}"#;
    assert_eq!(json(&[b"\x18\x05", child, b"\x80\x02\x01", b"\x80\x02\x02"]), expected);
    assert_eq!(json(&[b"\x80\x02\x01", b"\x18\x05", child, b"\x80\x02\x02"]), expected);
}

#[test]
fn what_another_value_replaces_need_not_be_text() {
    assert_eq!(json(&[b"\x72\x01\xFF", b"\x72\x01a"]), r#"{"aString":"a"}"#);
    broken(&[b"\x72\x01a", b"\x72\x01\xFF"], "a string is not UTF-8");
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    assert_eq!(json(&[b"\x18\x05", b"\x72\x01a", b"\x18\x06"]), r#"{"anInt32":6,"aString":"a"}"#);
    assert_eq!(json(&[b"\x18\x05", b"\x18\x00"]), "{}");
}

#[test]
fn parts_of_a_message_are_merged() {
    let parts: [&[u8]; 3] = [b"\x8A\x01\x02\x18\x05", b"\x18\x01", b"\x8A\x01\x03\x72\x01a"];
    assert_eq!(json(&parts), r#"{"anInt32":1,"child":{"anInt32":5,"aString":"a"}}"#);
}

#[test]
fn of_a_oneof_the_last_member_counts() {
    let (number, text): (&[u8], &[u8]) = (b"\x98\x03\x05", b"\xA2\x03\x01a");
    let (child, more): (&[u8], &[u8]) = (b"\xAA\x03\x02\x18\x05", b"\xAA\x03\x03\x72\x01b");
    assert_eq!(json(&[number, text]), r#"{"oneString":"a"}"#);
    assert_eq!(json(&[text, number]), r#"{"oneInt32":5}"#);
    assert_eq!(json(&[number, text, b"\x18\x01", number]), r#"{"anInt32":1,"oneInt32":5}"#);
    assert_eq!(json(&[child, more]), r#"{"oneChild":{"anInt32":5,"aString":"b"}}"#);
    // Another member in between ends the message.
    assert_eq!(json(&[child, text, more]), r#"{"oneChild":{"aString":"b"}}"#);
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    let entry = |key: u8, value: u8| [0xCA, 0x02, 6, 0x0A, 1, key, 0x12, 1, value];
    let entries = [entry(b'a', b'1'), entry(b'b', b'2'), entry(b'a', b'3')];
    assert_eq!(json(&[entries.as_flattened()]), r#"{"stringsByString":{"b":"2","a":"3"}}"#);
}

#[test]
fn an_entry_without_key_or_value_has_their_defaults() {
    assert_eq!(json(&[b"\xCA\x02\x00"]), r#"{"stringsByString":{"":""}}"#);
    assert_eq!(json(&[b"\xD2\x02\x00"]), r#"{"childrenByInt32":{"0":{}}}"#);
    assert_eq!(json(&[b"\xDA\x02\x00"]), r#"{"colorsByBool":{"false":"UNSPECIFIED"}}"#);
    assert_eq!(json(&[b"\xFA\x02\x00"]), r#"{"valuesByString":{"":null}}"#);
}

#[test]
fn lists_are_read_packed_and_not() {
    assert_eq!(json(&[b"\x82\x02\x02\x01\x02", b"\x80\x02\x03"]), r#"{"int32s":[1,2,3]}"#);
    assert_eq!(json(&[b"\x8A\x02\x02\x01\x02", b"\x88\x02\x03"]), r#"{"unpacked":["1","2","3"]}"#);
    assert_eq!(json(&[b"\x82\x02\x00"]), "{}");
}

#[test]
fn fields_of_another_number_or_wire_type_are_ignored() {
    // A varint, eight bytes, a string, a group with a group in it, four bytes, of number 1000.
    let unknown = b"\xC0\x3E\x01\xC1\x3E12345678\xC2\x3E\x01x\xC3\x3E\x0B\x0C\xC4\x3E\xC5\x3E1234";
    assert_eq!(json(&[unknown, b"\x18\x05", b"\x1A\x01a", b"\x70\x01"]), r#"{"anInt32":5}"#);
}

#[test]
fn integers_longer_than_their_type_are_cut() {
    assert_eq!(json(&[b"\x18\x85\x80\x80\x80\x10"]), r#"{"anInt32":5}"#);
    assert_eq!(json(&[b"\x68\x80\x80\x80\x80\x10"]), r#"{"aBool":true}"#);
}

#[test]
fn of_an_enum_value_with_two_names_the_first_is_written() {
    assert_eq!(through(&all(), r#"{"aliased":"SECOND"}"#), r#"{"aliased":"FIRST"}"#);
}

#[test]
fn numbers_that_are_not_finite_are_strings_in_wrappers_too() {
    for field in ["aDouble", "aFloat", "doubleValue", "floatValue"] {
        for value in ["NaN", "Infinity", "-Infinity"] {
            let json = format!(r#"{{"{field}":"{value}"}}"#);
            assert_eq!(through(&all(), &json), json);
        }
    }
}

#[test]
fn characters_are_escaped_where_json_needs_it() {
    let json = r#"{"aString":"\"\\\n\r\t\u0000\u001f/<é😀"}"#;
    assert_eq!(through(&all(), json), json);
    assert_eq!(
        through(&all(), r#"{"stringsByString":{"\"\n":"\u0041"}}"#),
        r#"{"stringsByString":{"\"\n":"A"}}"#
    );
    assert_eq!(through(&all(), r#"{"own \"name\"":"a"}"#), r#"{"own \"name\"":"a"}"#);
}

#[test]
fn default_values_are_written_for_fields_without_presence_only() {
    let verbose = JsonCodec::new(JsonOptions { write_defaults: true, ..JsonOptions::default() });
    let json: serde_json::Value =
        serde_json::from_slice(&verbose.encode(&all(), b"").unwrap()).unwrap();
    assert_eq!(json["anInt32"], 0);
    assert_eq!(json["anInt64"], "0");
    assert_eq!(json["aColor"], "UNSPECIFIED");
    assert_eq!(json["aBytes"], "");
    assert_eq!(json["int32s"], serde_json::json!([]));
    assert_eq!(json["stringsByString"], serde_json::json!({}));
    for absent in ["optionalInt32", "oneInt32", "child", "int32Value", "timestamp", "any"] {
        assert_eq!(json.get(absent), None, "{absent}");
    }
    let json = verbose.encode(&all(), b"\x18\x00\x82\x02\x00").unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["anInt32"], &json["int32s"]), (&0.into(), &serde_json::json!([])));
}

#[test]
fn groups_and_extensions_have_json_too() {
    let json = r#"{"id":1,"name":"none","data":{"text":"a","inner":{"id":2}},"many":[{"number":1},{}],"numbers":[1,2],"[test.json.extra]":"e","[test.json.extras]":[3]}"#;
    let legacy = message("test.json.Legacy");
    assert_eq!(through(&legacy, json), json);
    let bytes = codec().decode(&legacy, json.as_bytes()).unwrap();
    let dynamic = DynamicMessage::decode(legacy, bytes).unwrap();
    assert_eq!(
        serde_json::to_value(&dynamic).unwrap(),
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    );
}

#[test]
fn what_has_no_json_form_is_internal() {
    broken(&[b"\x18"], "malformed protobuf");
    broken(&[b"\x72\x05a"], "malformed protobuf");
    broken(&[b"\x00\x01"], "malformed protobuf");
    broken(&[b"\x1C"], "malformed protobuf");
    broken(&[b"\x1B\x24"], "malformed protobuf");
    broken(&[b"\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"], "malformed protobuf");
    broken(&[b"\x82\x02\x01\x80"], "malformed protobuf");
    broken(&[b"\x72\x01\xFF"], "a string is not UTF-8");
    broken(&[b"\xCA\x02\x03\x0A\x01\xFF"], "a string is not UTF-8");
    broken(
        &[b"\xEA\x03\x07\x0A\x05x/nop"],
        "the message type of an `Any` is not in the descriptor set",
    );
    broken(
        &[b"\xEA\x03\x03\x12\x01a"],
        "the message type of an `Any` is not in the descriptor set",
    );
    broken(&[b"\xF2\x03\x01\x08"], "malformed protobuf");
    broken(&[b"\xF2\x03\x07\x08\x80\xA0\xCF\x8D\xBA\x11"], "a timestamp is out of range");
    broken(
        &[b"\xF2\x03\x0B\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"],
        "a timestamp is out of range",
    );
    broken(
        &[b"\xFA\x03\x0D\x08\x01\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"],
        "a duration is out of range",
    );
    broken(&[b"\x82\x04\x05\x0A\x03a_1"], "a path of a field mask has no form in camelCase");
    broken(&[b"\x82\x04\x03\x0A\x01A"], "a path of a field mask has no form in camelCase");
    broken(&[b"\x82\x04\x04\x0A\x02a_"], "a path of a field mask has no form in camelCase");
    broken(
        &[b"\x92\x04\x09\x11\0\0\0\0\0\0\xF0\x7F"],
        "a google.protobuf.Value is not a finite number",
    );
}

#[test]
fn a_value_without_a_kind_is_null() {
    assert_eq!(json(&[b"\x92\x04\x00"]), r#"{"value":null}"#);
}

#[test]
fn messages_that_are_nested_too_deeply_are_internal() {
    // Tag and length of `child`, around the rest.
    let nested = |depth: usize| {
        (0..depth).fold(Vec::new(), |child: Vec<u8>, _| {
            let mut len = Vec::new();
            prost::encoding::encode_varint(child.len() as u64, &mut len);
            [&b"\x8A\x01"[..], &len, &child].concat()
        })
    };
    assert!(codec().encode(&all(), nested(100)).is_ok());
    broken(&[&nested(101)], "nested too deeply");
    broken(&[&nested(2_000)], "nested too deeply");
}

#[test]
fn a_detail_of_an_error_has_a_readable_form() {
    let pool = &super::POOL;
    let retry = |value: &[u8]| codec().debug(pool, "google.protobuf.Duration", value);
    assert_eq!(retry(b"\x08\x03"), Some("3s".into()));
    assert_eq!(retry(b"\x08"), None);
    assert_eq!(codec().debug(pool, "google.rpc.RetryInfo", b""), None);
}

#[test]
fn a_codec_of_types_with_oneofs_can_be_shown() {
    codec().encode(&all(), b"").unwrap();
    assert_eq!(
        format!("{:?}", codec().schema),
        format!("OnceLock(Schema {{ types: {}, .. }})", super::POOL.all_messages().len())
    );
}

#[test]
fn messages_of_another_pool_are_converted_too() {
    let codec = codec();
    codec.encode(&all(), b"").unwrap();
    let other =
        prost_reflect::DescriptorPool::decode(super::POOL.encode_to_vec().as_slice()).unwrap();
    let all = other.get_message_by_name("test.json.All").unwrap();
    assert_eq!(codec.encode(&all, b"\x18\x05").unwrap(), r#"{"anInt32":5}"#);
}

#[test]
fn the_keys_of_a_map_are_strings() {
    let mut dynamic = DynamicMessage::new(all());
    let map = [(MapKey::U64(u64::MAX), Value::I64(i64::MIN))].into();
    dynamic.set_field_by_name("int64s_by_uint64", Value::Map(map));
    assert_eq!(
        json(&[&dynamic.encode_to_vec()]),
        r#"{"int64sByUint64":{"18446744073709551615":"-9223372036854775808"}}"#
    );
}
