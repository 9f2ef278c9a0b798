//! What is refused and ignored in JSON, and how an error reads.

use tonic::Code;

use super::{all, codec, refused, strict, through};

#[test]
fn an_error_says_what_is_wrong_in_which_field_and_where() {
    refused(
        "{\n  \"child\": {\"children\": [{}, {\"anInt32\": \"x\"}]}\n}",
        "\"x\" is not a number in `child.children.anInt32` (line 2, column 45)",
    );
    refused(
        "{\"aString\":\"é\",\"aBool\":1}",
        "expected a boolean, found a number in `aBool` (line 1, column 24)",
    );
    refused("", "unexpected end (line 1, column 1)");
    refused("{\"aBool\":true", "unexpected end (line 1, column 14)");
    refused("[]", "expected an object, found an array (line 1, column 1)");
    refused("{} {}", "unexpected text after the message (line 1, column 4)");
    refused(
        "{\"anInt32\":2147483648}",
        "\"2147483648\" is not in the range from -2147483648 to 2147483647 in `anInt32` (line 1, column 22)",
    );
    refused("{\"anInt32\":0.5}", "\"0.5\" is not an integer in `anInt32` (line 1, column 15)");
    refused("{\"aFloat\":1e39}", "\"1e39\" is too large in `aFloat` (line 1, column 15)");
    refused(
        "{\"any\":{\"@type\":\"x/nope.Nope\"}}",
        "unknown message type \"x/nope.Nope\" in `@type` in `any` (line 1, column 8)",
    );
    refused(
        "{\"oneInt32\":1,\"oneString\":\"\"}",
        "`oneString` excludes another field of its oneof (line 1, column 27)",
    );
    refused("{\"anInt32\":1,\"an_int32\":1}", "duplicate field `anInt32` (line 1, column 25)");
    refused(
        "{\"stringsByString\":{\"a\":\"\",\"a\":\"\"}}",
        "duplicate key in a map in `stringsByString` (line 1, column 35)",
    );
}

#[test]
fn an_error_shows_a_part_of_long_text_only_and_escapes_it() {
    let status = codec()
        .decode(&all(), format!("{{\"anInt32\":\"\\u001b{}\"}}", "é".repeat(500)).as_bytes())
        .unwrap_err();
    assert!(status.message().contains("\\u{1b}é"), "{}", status.message());
    assert!(status.message().len() < 300, "{}", status.message());
    let deep = format!("{}{{\"anInt32\":true}}{}", "{\"child\":".repeat(99), "}".repeat(99));
    let status = codec().decode(&all(), deep.as_bytes()).unwrap_err();
    assert!(status.message().contains("`child.child."), "{}", status.message());
    assert!(status.message().len() < 400, "{}", status.message());
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    refused(b"{\"aString\":\"\xFF\"}", "text is not UTF-8 (line 1, column 13)");
    refused(b"\xFF\xFE{\0}\0", "text is not UTF-8 (line 1, column 1)");
    refused("\u{feff}{}", "text begins with a byte order mark (line 1, column 1)");
}

#[test]
fn unknown_names_are_ignored_or_refused() {
    let json = r#"{"nope":{"a":[1,"\n",null]},"colors":["RED","NOPE"],"aBool":true,"colorsByBool":{"true":"NOPE","false":1}}"#;
    assert_eq!(
        through(&all(), json),
        r#"{"aBool":true,"colors":["RED"],"colorsByBool":{"false":"RED"}}"#
    );
    for (json, text) in [
        (r#"{"nope":1}"#, "unknown field \"nope\" (line 1, column 9)"),
        (r#"{"aColor":"NOPE"}"#, "unknown enum value \"NOPE\" in `aColor` (line 1, column 17)"),
        (r#"{"child":{"nope":1}}"#, "unknown field \"nope\" in `child` (line 1, column 18)"),
    ] {
        let status = strict().decode(&all(), json.as_bytes()).unwrap_err();
        assert_eq!(status.message(), format!("invalid JSON for test.json.All: {text}"));
    }
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    [open.repeat(depth), "{}".into(), close.repeat(depth)].concat()
}

#[test]
fn messages_are_nested_as_deeply_as_protobuf_decoders_accept() {
    let child = |depth| nested("{\"child\":", "}", depth);
    let bytes = codec().decode(&all(), child(100).as_bytes()).unwrap();
    assert!(prost_reflect::DynamicMessage::decode(all(), bytes.clone()).is_ok());
    assert_eq!(codec().encode(&all(), bytes).unwrap(), child(100));
    let status = codec().decode(&all(), child(101).as_bytes()).unwrap_err();
    assert!(status.message().contains("nested too deeply"), "{}", status.message());
}

#[test]
fn a_value_is_nested_as_deeply_as_protobuf_decoders_accept() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let json = |depth| format!("{{\"value\":{}}}", nested(open, close, depth));
        let deepest = (1..100)
            .take_while(|&depth| codec().decode(&all(), json(depth).as_bytes()).is_ok())
            .last()
            .unwrap();
        let bytes = codec().decode(&all(), json(deepest).as_bytes()).unwrap();
        assert!(prost_reflect::DynamicMessage::decode(all(), bytes).is_ok());
        assert!(deepest >= 30, "{deepest}");
    }
}

#[test]
fn text_that_is_nested_without_end_is_refused() {
    for open in [
        "[",
        "{\"a\":",
        "{\"child\":",
        "{\"nope\":",
        "{\"children\":[",
        "{\"value\":[",
        "{\"structure\":{\"a\":",
        "{\"any\":",
    ] {
        for start in ["", "{\"nope\":", "{\"value\":", "{\"any\":", "{\"structure\":", "{\"list\":"]
        {
            let status = codec()
                .decode(&all(), format!("{start}{}", open.repeat(200_000)).as_bytes())
                .unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
        }
    }
}

#[test]
fn an_any_is_not_read_again_and_again() {
    // Each level has its type behind its value, so that each has to be read twice.
    let nested = |depth: usize| {
        let open = "{\"value\":".repeat(depth);
        let close = ",\"@type\":\"x/google.protobuf.Any\"}".repeat(depth);
        format!("{{\"any\":{open}{{}}{close}}}")
    };
    assert!(codec().decode(&all(), nested(3).as_bytes()).is_ok());
    let status = codec().decode(&all(), nested(60).as_bytes()).unwrap_err();
    assert!(
        status.message().contains("`@type` has to be the first member of nested `Any` messages"),
        "{}",
        status.message()
    );
    let first = format!(
        "{{\"any\":{}{{}}{}}}",
        "{\"@type\":\"x/google.protobuf.Any\",\"value\":".repeat(60),
        "}".repeat(60)
    );
    assert!(codec().decode(&all(), first.as_bytes()).is_ok());
}

#[test]
fn lengths_of_messages_have_as_many_bytes_as_they_need() {
    for len in [0, 1, 124, 125, 126, 127, 128, 16_380, 16_383, 16_384, 70_000, 2_100_000] {
        let text = "x".repeat(len);
        let json = format!(
            r#"{{"child":{{"child":{{"aString":"{text}","children":[{{"aString":"{text}"}},{{}}]}},"stringsByString":{{"{text}":""}}}}}}"#
        );
        let bytes = codec().decode(&all(), json.as_bytes()).unwrap();
        let dynamic = prost_reflect::DynamicMessage::decode(all(), bytes).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&json).unwrap();
        let mut found = serde_json::to_value(&dynamic).unwrap();
        if len == 0 {
            // An empty string is not written.
            found["child"]["child"]["aString"] = "".into();
            found["child"]["child"]["children"][0]["aString"] = "".into();
        }
        assert!(found == expected, "{len}");
    }
}

#[test]
fn strings_with_escapes_have_any_length() {
    for len in [0, 1, 126, 127, 128, 16_383, 70_000] {
        let text = format!("\"é\n{}\\", "x".repeat(len));
        let json = serde_json::json!({"child": {"aString": text, "strings": [text, "", text]}});
        let bytes = codec().decode(&all(), json.to_string().as_bytes()).unwrap();
        let dynamic = prost_reflect::DynamicMessage::decode(all(), bytes).unwrap();
        assert!(serde_json::to_value(&dynamic).unwrap() == json, "{len}");
    }
}

#[test]
fn numbers_keep_every_digit() {
    assert_eq!(
        through(&all(), r#"{"anInt64":9007199254740993.0}"#),
        r#"{"anInt64":"9007199254740993"}"#
    );
    assert_eq!(
        through(&all(), r#"{"aDouble":0.30000000000000004}"#),
        r#"{"aDouble":0.30000000000000004}"#
    );
    // A little more than the middle between two floats, which the nearest double is exactly.
    assert_eq!(
        through(&all(), r#"{"aFloat":1.00000005960464477539062500000001}"#),
        r#"{"aFloat":1.0000001}"#
    );
}

#[test]
fn a_number_of_a_million_digits_is_a_number() {
    let digits = "9".repeat(1_000_000);
    for json in [
        format!("{{\"anInt32\":{digits}}}"),
        format!("{{\"anInt32\":0.{digits}}}"),
        format!("{{\"anInt64\":1e{digits}}}"),
        format!("{{\"aDouble\":{digits}}}"),
        format!("{{\"aDouble\":1e{digits}}}"),
    ] {
        assert_eq!(
            codec().decode(&all(), json.as_bytes()).unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    assert_eq!(through(&all(), &format!("{{\"aDouble\":0.{digits}}}")), r#"{"aDouble":1.0}"#);
    assert_eq!(through(&all(), &format!("{{\"anInt32\":0e{digits}}}")), "{}");
}
