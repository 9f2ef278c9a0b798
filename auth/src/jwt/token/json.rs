//! A JSON reader that takes no member twice: two readers of one token must not see two tokens.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may nest.
const DEPTH_AT_MOST: u8 = 32;

/// As what serde_json shows a number to a visitor when some crate of the program asks it for
/// arbitrary precision.
const NUMBER: &str = "$serde_json::private::Number";

/// What is done about a member that stands twice in one object.
#[derive(Clone, Copy)]
pub(crate) enum Twice {
    /// The text is refused (RFC 7515 §4, RFC 7519 §4).
    Refused,
    /// The object that has it is `null`, so that one entry of a set does not spoil the others.
    Null,
}

/// Why a text is not what was asked for. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotJson {
    Malformed,
    NotAnObject,
    Twice,
    TooDeep,
}

/// Reads a text that is one object and nothing after it.
pub(crate) fn object(text: &[u8], twice: Twice) -> Result<Map<String, Value>, NotJson> {
    let why = Cell::new(NotJson::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reader { twice, depth: DEPTH_AT_MOST, why: &why }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(NotJson::NotAnObject),
        Err(_) => Err(why.get()),
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    twice: Twice,
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
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            twice |= members.insert(name, value).is_some();
        }
        // Beside others it is a member like any.
        if members.len() == 1
            && !twice
            && let Some(Value::String(number)) = members.get(NUMBER)
        {
            let number: Result<Number, _> = serde_json::from_str(number);
            return number.map(Value::Number).map_err(A::Error::custom);
        }
        match self.twice {
            Twice::Refused if twice => Err(self.refuse(NotJson::Twice)),
            Twice::Null if twice => Ok(Value::Null),
            _ => Ok(Value::Object(members)),
        }
    }
}

impl NotJson {
    /// What was found instead, in words.
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
        object(text.as_bytes(), Twice::Refused)
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
        let set = object(br#"{"keys":[{"a":1,"a":1},{"b":2}]}"#, Twice::Null).expect("an object");
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
            (r#"{"a":1e999}"#, NotJson::Malformed),
            (r#"{"a":"\ud800"}"#, NotJson::Malformed),
            (r#"{"a":NaN}"#, NotJson::Malformed),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", Twice::Refused), Err(NotJson::Malformed));
    }

    #[test]
    fn rule_18_nesting_is_bounded() {
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(31)).is_ok());
        assert_eq!(read(&nested(32)), Err(NotJson::TooDeep));
        assert!(read(&nested(100_000)).is_err());
    }

    #[test]
    fn a_number_of_arbitrary_precision_is_a_number() {
        let shown = read(r#"{"exp":{"$serde_json::private::Number":"17.5"}}"#);
        assert_eq!(shown.expect("an object")["exp"], serde_json::json!(17.5));
        assert!(read(r#"{"exp":{"$serde_json::private::Number":"x"}}"#).is_err());
        let beside = read(r#"{"exp":{"$serde_json::private::Number":"17.5","a":1}}"#);
        assert!(beside.expect("an object")["exp"].is_object());
        let number = r#""$serde_json::private::Number":"1""#;
        assert_eq!(read(&format!(r#"{{"exp":{{{number},{number}}}}}"#)), Err(NotJson::Twice));
    }
}
