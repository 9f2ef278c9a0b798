//! A JSON parser that refuses duplicate members, which parsers interpret differently.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::{Map, Number, Value};

/// The maximum depth of nested arrays and objects.
const MAX_DEPTH: u8 = 32;

/// With serde_json's feature `arbitrary_precision`, which any crate of the program can turn on, a visitor sees a
/// number as an object with this one member.
const NUMBER: &str = "$serde_json::private::Number";

/// As [`NUMBER`], for raw JSON, with the feature `raw_value`.
const RAW: &str = "$serde_json::private::RawValue";

/// How an object with duplicate members is treated.
#[derive(Clone, Copy)]
pub(crate) enum Duplicates {
    /// The text is refused (RFC 7515 §4, RFC 7519 §4).
    Refused,
    /// The object becomes `null`, so that one key of a set does not invalidate the others.
    Null,
}

/// Why a text is refused. Contains nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotJson {
    Malformed,
    NotAnObject,
    Twice,
    TooDeep,
}

/// Parses a text that is exactly one object.
pub(crate) fn object(text: &[u8], twice: Duplicates) -> Result<Map<String, Value>, NotJson> {
    let why = Cell::new(NotJson::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reader { text, twice, depth: MAX_DEPTH, why: &why }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(NotJson::NotAnObject),
        Err(_) => Err(why.get()),
    }
}

/// Whether an object in it has a member that serde_json would deserialize as a number or raw JSON. The result would
/// differ from what was checked.
pub(crate) fn has_private_names(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == NUMBER || name == RAW || has_private_names(value)),
        Value::Array(values) => values.iter().any(has_private_names),
        _ => false,
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a [u8],
    twice: Duplicates,
    depth: u8,
    why: &'a Cell<NotJson>,
}

impl Reader<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.refuse(NotJson::TooDeep)),
        }
    }

    fn refuse<E: de::Error>(self, why: NotJson) -> E {
        self.why.set(why);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = entries.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        let mut twice = false;
        while let Some(name) = entries.next_key_seed(NameIn(self.text))? {
            let name = match name {
                Name::Member(name) => name,
                Name::OfNumber => {
                    let number: String = entries.next_value()?;
                    let number: Result<Number, _> = serde_json::from_str(&number);
                    return number.map(Value::Number).map_err(A::Error::custom);
                }
            };
            let value = entries.next_value_seed(inner)?;
            twice |= members.insert(name, value).is_some();
        }
        match self.twice {
            Duplicates::Refused if twice => Err(self.refuse(NotJson::Twice)),
            Duplicates::Null if twice => Ok(Value::Null),
            _ => Ok(Value::Object(members)),
        }
    }
}

/// A name in an object, as a visitor sees it.
enum Name {
    Member(String),
    /// The object is a number.
    OfNumber,
}

/// Reads a name. A name that serde_json generates for a number does not point into the text.
struct NameIn<'a>(&'a [u8]);

impl<'de> DeserializeSeed<'de> for NameIn<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Name, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameIn<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    /// A name with escapes, copied from the text.
    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name::Member(name.to_owned()))
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name, E> {
        let is_made_up = name == NUMBER && !self.0.as_ptr_range().contains(&name.as_ptr());
        Ok(if is_made_up { Name::OfNumber } else { Name::Member(name.to_owned()) })
    }
}

impl NotJson {
    /// A description of what was found.
    pub(crate) fn found(self) -> &'static str {
        match self {
            Self::Malformed => "no JSON",
            Self::NotAnObject => "JSON that is no object",
            Self::Twice => "a member twice",
            Self::TooDeep => "more than 32 objects or arrays in each other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Map<String, Value>, NotJson> {
        object(text.as_bytes(), Duplicates::Refused)
    }

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,2.5,1e3,"x\n",true,null],"b":{"c":{}}," ":""}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(Value::Object(read(text).expect("an object")), value);
    }

    #[test]
    fn rule_06_no_member_stands_twice() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"c":3,"a":2}]}"#,
        ] {
            assert_eq!(read(text), Err(NotJson::Twice), "{text}");
        }
        assert!(read(r#"{"a":1,"A":1}"#).is_ok());
    }

    #[test]
    fn in_a_set_only_the_entry_with_a_member_twice_is_spoilt() {
        let set =
            object(br#"{"keys":[{"a":1,"a":1},{"b":2}]}"#, Duplicates::Null).expect("an object");
        assert_eq!(set["keys"], serde_json::json!([null, { "b": 2 }]));
    }

    #[test]
    fn only_one_object_is_taken() {
        for (text, why) in [
            ("", NotJson::Malformed),
            ("[]", NotJson::NotAnObject),
            ("null", NotJson::NotAnObject),
            ("{} {}", NotJson::Malformed),
            ("{}\0", NotJson::Malformed),
            ("\u{feff}{}", NotJson::Malformed),
            (r#"{"a":"\ud800"}"#, NotJson::Malformed),
            (r#"{"a":NaN}"#, NotJson::Malformed),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", Duplicates::Refused), Err(NotJson::Malformed));
    }

    #[test]
    fn rule_18_nesting_is_bounded() {
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(31)).is_ok());
        assert_eq!(read(&nested(32)), Err(NotJson::TooDeep));
        assert!(read(&nested(100_000)).is_err());
    }

    #[test]
    fn rule_06_only_a_number_is_a_number() {
        let number = "$serde_json::private::Number";
        let raw = "$serde_json::private::RawValue";
        for name in [number, raw, r"$serde_json::\u0070rivate::Number"] {
            for value in [r#""17.5""#, r#""x""#, r#""{}""#, "17", "{}"] {
                let text =
                    format!(r#"{{"exp":{{"{name}":{value}}},"all":[{{"{name}":{value}}}]}}"#);
                let members = read(&text).expect(&text);
                let name = name.replace(r"\u0070", "p");
                let value: Value = serde_json::from_str(value).expect("JSON");
                for object in [&members["exp"], &members["all"][0]] {
                    let object = object.as_object().expect(&text);
                    assert_eq!((object.len(), &object[&name]), (1, &value), "{text}");
                    assert!(has_private_names(&Value::Object(object.clone())));
                }
            }
        }
        let alone = format!(r#"{{"{number}":"17.5"}}"#);
        assert_eq!(read(&alone).expect("an object")[number], "17.5");
        let twice = format!(r#"{{"exp":{{"{number}":"1","{number}":"1"}}}}"#);
        assert_eq!(read(&twice), Err(NotJson::Twice));
        assert!(!has_private_names(&serde_json::json!({ "a": [{ "b": number }], "c": raw })));
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let numbers = read(r#"{"a":17.5,"b":[1e3,-2],"c":18446744073709551615,"d":-0.5}"#);
        let numbers = numbers.expect("an object");
        assert_eq!((numbers["a"].as_f64(), numbers["d"].as_f64()), (Some(17.5), Some(-0.5)));
        assert_eq!((numbers["b"][0].as_f64(), numbers["b"][1].as_i64()), (Some(1e3), Some(-2)));
        assert_eq!(numbers["c"].as_u64(), Some(u64::MAX));
    }
}
