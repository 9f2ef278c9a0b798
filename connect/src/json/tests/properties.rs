//! Any input: nothing panics, and what is accepted means the same to `prost-reflect`.

use std::sync::LazyLock;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{all, codec, strict};

/// Inputs to start from.
static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/json/vectors.jsonl"))
            .unwrap();
    let vectors = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    vectors.map(|vector| vector["json"].as_str().unwrap().to_owned()).collect()
});

/// It is refused as the caller's fault, or it is the same message again after a way through JSON.
fn check_json(json: &[u8]) {
    for codec in [codec(), strict()] {
        let bytes = match codec.decode(&all(), json) {
            Ok(bytes) => bytes,
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument);
                continue;
            }
        };
        let dynamic = DynamicMessage::decode(all(), bytes.clone()).unwrap();
        let Ok(json) = codec.encode(&all(), &bytes) else { continue };
        let again = codec.decode(&all(), &json).unwrap();
        // A `NullValue` is written as null, whatever its number.
        let text = String::from_utf8_lossy(&json);
        if text.contains("null") {
            continue;
        }
        assert_eq!(codec.encode(&all(), &again).unwrap(), json);
        // A NaN is not equal to itself, and the bytes in an `Any` can have their fields in another order.
        if !text.contains("NaN") && !text.contains("@type") {
            // Not `assert_eq`: to show a `DynamicMessage` with a oneof never ends.
            assert!(DynamicMessage::decode(all(), again).unwrap() == dynamic, "{text}");
        }
    }
}

/// It is refused as the service's fault, or there is JSON.
fn check_protobuf(bytes: &[u8]) {
    match codec().encode(&all(), bytes) {
        Ok(json) => drop(serde_json::from_slice::<Value>(&json).unwrap()),
        Err(status) => assert_eq!(status.code(), Code::Internal),
    }
}

/// Numbers that `serde_json` reads exactly, which it does not for all.
fn eighths() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|value| f64::from(value) / 8.0)
}

fn any_json(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        eighths().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            members(any::<String>().boxed(), inner.boxed())
        ]
    })
    .boxed()
}

fn members(key: BoxedStrategy<String>, value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    btree_map(key, value, 0..4)
        .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into())
        .boxed()
}

/// The JSON of any message `All`.
fn message_json(depth: u32) -> BoxedStrategy<Value> {
    let child = || if depth == 0 { Just(json!({})).boxed() } else { message_json(depth - 1) };
    let bytes = || {
        vec(any::<u8>(), 0..9).prop_map(|bytes| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        })
    };
    let color =
        || prop_oneof![Just(json!("RED")), Just(json!("BLUE")), Just(json!(0)), Just(json!(7))];
    let fields: Vec<(&str, BoxedStrategy<Value>)> = vec![
        ("aDouble", eighths().prop_map(Value::from).boxed()),
        ("anInt32", any::<i32>().prop_map(Value::from).boxed()),
        ("anInt64", any::<i64>().prop_map(|value| value.to_string().into()).boxed()),
        ("a_uint64", any::<u64>().prop_map(Value::from).boxed()),
        ("aSint32", any::<i32>().prop_map(Value::from).boxed()),
        ("aSint64", any::<i64>().prop_map(Value::from).boxed()),
        ("aFixed64", any::<u64>().prop_map(Value::from).boxed()),
        ("aSfixed32", any::<i32>().prop_map(Value::from).boxed()),
        ("aBool", any::<bool>().prop_map(Value::from).boxed()),
        ("aString", any::<String>().prop_map(Value::from).boxed()),
        ("aBytes", bytes().prop_map(Value::from).boxed()),
        ("aColor", color().boxed()),
        ("child", child()),
        ("optionalInt32", any::<i32>().prop_map(Value::from).boxed()),
        ("int32s", vec(any::<i32>(), 0..4).prop_map(Value::from).boxed()),
        ("unpacked", vec(any::<i64>(), 0..4).prop_map(Value::from).boxed()),
        ("colors", vec(color(), 0..4).prop_map(Value::from).boxed()),
        ("children", vec(child(), 0..3).prop_map(Value::from).boxed()),
        (
            "stringsByString",
            members(any::<String>().boxed(), any::<String>().prop_map(Value::from).boxed()),
        ),
        ("childrenByInt32", members(any::<i32>().prop_map(|key| key.to_string()).boxed(), child())),
        (
            "bytesBySint64",
            members(
                any::<i64>().prop_map(|key| key.to_string()).boxed(),
                bytes().prop_map(Value::from).boxed(),
            ),
        ),
        ("oneString", any::<String>().prop_map(Value::from).boxed()),
        ("value", any_json(3)),
        ("structure", members(any::<String>().boxed(), any_json(3))),
        ("list", vec(any_json(2), 0..4).prop_map(Value::from).boxed()),
        ("int64Value", any::<i64>().prop_map(Value::from).boxed()),
        ("bytesValue", bytes().prop_map(Value::from).boxed()),
        (
            "mask",
            "([a-z][a-zA-Z0-9]{0,5}(\\.[a-z][a-zA-Z]{0,3})?(,[a-z]{1,3}){0,2})?"
                .prop_filter("digits", |mask| {
                    !mask.contains(|letter: char| letter.is_ascii_digit())
                })
                .prop_map(Value::from)
                .boxed(),
        ),
        (
            "duration",
            (-300_000_000_000_i64..300_000_000_000, 0..1_000_000_000)
                .prop_map(|(seconds, nanos)| format!("{seconds}.{nanos:09}s").into())
                .boxed(),
        ),
        (
            "timestamp",
            (1..9_999, 1..13, 1..29, 0..24, 0..60, 0..1_000_000_000)
                .prop_map(|(year, month, day, hour, minute, nanos)| {
                    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:59.{nanos:09}Z")
                        .into()
                })
                .boxed(),
        ),
        (
            "any",
            child()
                .prop_map(|mut child| {
                    child["@type"] = "type.googleapis.com/test.json.All".into();
                    child
                })
                .boxed(),
        ),
    ];
    let count = fields.len();
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    // A few fields of all, so that a message stays small.
    let chosen = proptest::sample::subsequence((0..count).collect::<Vec<_>>(), 0..8);
    chosen
        .prop_flat_map(move |chosen| {
            let names: Vec<_> = chosen.iter().map(|&at| names[at].to_owned()).collect();
            let values: Vec<_> = chosen.iter().map(|&at| values[at].clone()).collect();
            values.prop_map(move |values| {
                names.iter().cloned().zip(values).collect::<Map<_, _>>().into()
            })
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(json in any::<Vec<u8>>()) {
        check_json(&json);
    }

    #[test]
    fn any_tokens_are_read_or_refused(json in "(\\{|\\}|\\[|\\]|:|,|\"|\\\\|\"(any|@type|child|value|list|anInt32|stringsByString)\"|x/test.json.All|1|-|e|\\.|null|true| ){0,40}") {
        check_json(json.as_bytes());
    }

    #[test]
    fn any_change_of_good_text_is_read_or_refused(
        seed in any::<Index>(), other in any::<Index>(), cut in any::<(Index, Index)>(), byte in any::<u8>(), how in 0..4
    ) {
        let seed = seed.get(&SEEDS).as_bytes();
        let other = other.get(&SEEDS).as_bytes();
        let (from, to) = (cut.0.index(seed.len() + 1), cut.1.index(other.len() + 1));
        let json = match how {
            0 => [&seed[..from], &other[to..]].concat(),
            1 => [&seed[..from], &[byte], &seed[from..]].concat(),
            2 => [&seed[..from], &seed[(from + 1).min(seed.len())..]].concat(),
            _ => [&seed[..from], other, &seed[from..]].concat(),
        };
        check_json(&json);
    }

    #[test]
    fn any_bytes_have_json_or_are_refused(bytes in any::<Vec<u8>>()) {
        check_protobuf(&bytes);
    }

    #[test]
    fn any_change_of_good_protobuf_has_json_or_is_refused(
        json in message_json(1), cut in any::<Index>(), byte in any::<u8>(), how in 0..3
    ) {
        let bytes = codec().decode(&all(), json.to_string().as_bytes()).unwrap();
        let at = cut.index(bytes.len() + 1);
        check_protobuf(&match how {
            0 => bytes[..at].to_vec(),
            1 => [&bytes[..at], &[byte], &bytes[at..]].concat(),
            _ => [&bytes[at..], &bytes[..at]].concat(),
        });
    }

    #[test]
    fn every_message_is_the_one_that_prost_reflect_reads_and_writes(json in message_json(2)) {
        let text = json.to_string();
        let bytes = strict().decode(&all(), text.as_bytes()).unwrap();
        let ours = DynamicMessage::decode(all(), bytes.clone()).unwrap();
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let read = DynamicMessage::deserialize(all(), &mut deserializer).unwrap();
        // In the form of bytes, an empty list is an absent one.
        let theirs = DynamicMessage::decode(all(), read.encode_to_vec().as_slice()).unwrap();
        // The bytes in an `Any` can have their fields in another order.
        prop_assert!(ours == theirs || text.contains("@type"), "{}", text);
        let written: Value = serde_json::from_slice(&strict().encode(&all(), &bytes).unwrap()).unwrap();
        prop_assert_eq!(&written, &serde_json::to_value(&theirs).unwrap());
        let written: Value = serde_json::from_slice(&strict().encode(&all(), theirs.encode_to_vec()).unwrap()).unwrap();
        prop_assert_eq!(&written, &serde_json::to_value(&theirs).unwrap());
        check_json(text.as_bytes());
    }
}
