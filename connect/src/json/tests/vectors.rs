//! The results of Go's and Python's protobuf libraries for the same JSON; `tests/json/vectors/vectors.py` writes the file.

use prost_reflect::DynamicMessage;
use serde_json::Value;

use super::{all, codec, strict};
use crate::json::JsonCodec;

/// JSON and the protobuf that it is, in hexadecimal, or nothing if it is refused: first with unknown fields refused,
/// then with unknown fields ignored.
struct Vector {
    json: String,
    go: Results,
    /// If it differs from Go's.
    python: Option<Results>,
    /// The JSON that Go makes of its second result.
    out: Option<Value>,
}

type Results = [Option<Vec<u8>>; 2];

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/json/vectors.jsonl");
    let file = std::fs::read_to_string(path).unwrap();
    let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results =
        |results: &Value| [results[0].as_str().map(bytes), results[1].as_str().map(bytes)];
    let vector = |line: Value| Vector {
        json: line["json"].as_str().unwrap().to_owned(),
        go: results(&line["go"]),
        python: line.get("python").map(results),
        out: line.get("out").map(|out| serde_json::from_str(out.as_str().unwrap()).unwrap()),
    };
    lines.map(vector).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// What we do like neither of them.
const OURS: &[&str] = &[
    // Keys of integers are numbers of JSON.
    r#"{"childrenByInt32":{"01":{}}}"#,
    // RFC 3339 has hours to 23, minutes to 59, and two digits for each.
    r#"{"timestamp":"2000-01-01T00:00:00+24:00"}"#,
    r#"{"timestamp":"2000-01-01T00:00:00+01:60"}"#,
    r#"{"timestamp":"2000-01-01T0:00:00Z"}"#,
    // A number has digits behind its point, and no plus.
    r#"{"duration":"1.s"}"#,
    r#"{"duration":"+1s"}"#,
    // A path has no spaces.
    r#"{"mask":" foo"}"#,
    // A list of anything can be null, and is absent then.
    r#"{"values":null}"#,
];

/// Whether both are refused, or the same message.
fn same(ours: Option<&[u8]>, theirs: Option<&[u8]>) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return ours == theirs };
    let dynamic = |bytes: &[u8]| DynamicMessage::decode(all(), bytes).unwrap();
    // A NaN is not equal to itself.
    json(ours) == json(theirs)
        && (json(ours).to_string().contains("NaN") || dynamic(ours) == dynamic(theirs))
}

fn json(bytes: &[u8]) -> Value {
    codec().encode(&all(), bytes).map_or_else(
        |error| error.message().into(),
        |json| number(serde_json::from_slice(&json).unwrap()),
    )
}

/// The same JSON with all numbers as floating-point numbers: `1` is `1.0`.
fn number(json: Value) -> Value {
    match json {
        Value::Number(value) => value.as_f64().into(),
        Value::Array(values) => values.into_iter().map(number).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, number(value))).collect()
        }
        other => other,
    }
}

#[test]
fn each_result_is_that_of_go_or_python_except_those_listed() {
    let mut other = Vec::new();
    for vector in vectors() {
        for (index, codec) in [strict(), codec()].iter().enumerate() {
            let ours = codec.decode(&all(), vector.json.as_bytes()).ok();
            let like = |theirs: &Results| same(ours.as_deref(), theirs[index].as_deref());
            if !like(&vector.go) && !vector.python.as_ref().is_some_and(like) {
                other.push(vector.json.clone());
            }
        }
    }
    other.dedup();
    assert_eq!(other, OURS);
}

#[test]
fn the_json_of_a_result_is_that_of_go() {
    for vector in vectors() {
        let (Some(out), Some(go)) = (vector.out, &vector.go[1]) else { continue };
        assert_eq!(json(go), number(out), "{}", vector.json);
    }
}

#[test]
fn a_result_with_default_values_is_the_same_message() {
    let options = crate::json::JsonOptions { write_defaults: true, ..Default::default() };
    let verbose = JsonCodec::new(options);
    for vector in vectors() {
        // A `NullValue` is written as null, whatever its number.
        if vector.json.contains("Null\":") {
            continue;
        }
        let Ok(ours) = codec().decode(&all(), vector.json.as_bytes()) else { continue };
        let Ok(json) = verbose.encode(&all(), &ours) else { continue };
        let again = strict().decode(&all(), &json).unwrap();
        assert!(same(Some(&ours), Some(&again)), "{}", vector.json);
    }
}
