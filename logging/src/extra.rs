//! Members whose keys depend on the layer's settings: metadata, and the fields that handlers and layers add.

use http::HeaderValue;
use tonic_call::{AllowedMetadata, FieldValue, joined, sanitize};

use crate::finished::Finished;
use crate::key::{self, Key, LAYER_KEYS, MAX_EXTRA_KEYS, REQUEST_METADATA, RESPONSE_METADATA};
use crate::member::{MemberValue, Members};

/// The extra keys of a layer's lines.
pub(crate) struct ExtraKeys {
    /// Those of metadata first, then of declared fields, then those of layers.
    keys: Vec<&'static str>,
    /// How many of them are keys of metadata.
    metadata: usize,
    /// How many names of request metadata there are. Those of response metadata follow.
    request_names: usize,
}

impl ExtraKeys {
    /// The keys for these names of metadata and these declared fields.
    pub(crate) fn new(
        request_metadata: &AllowedMetadata,
        response_metadata: &AllowedMetadata,
        fields: &[&'static str],
    ) -> Self {
        let prefixed = |prefix: &'static str, names: &AllowedMetadata| {
            let keys = names.names().iter().map(|name| key::intern(format!("{prefix}{name}")));
            keys.collect::<Vec<_>>()
        };
        let mut keys = prefixed(REQUEST_METADATA, request_metadata);
        let request_names = keys.len();
        keys.extend(prefixed(RESPONSE_METADATA, response_metadata));
        let room = MAX_EXTRA_KEYS - LAYER_KEYS.len();
        let metadata = keys.len().min(room);
        keys.extend(fields);
        keys.truncate(room);
        for key in LAYER_KEYS {
            if !keys[metadata..].contains(&key) {
                keys.push(key);
            }
        }
        Self { keys, metadata, request_names }
    }

    pub(crate) fn names(&self) -> &[&'static str] {
        &self.keys
    }

    /// The index of a name of metadata among the extra keys, if there was room for it.
    fn metadata(&self, direction: Direction, name: usize) -> Option<usize> {
        let index = match direction {
            Direction::Request => name,
            Direction::Response => self.request_names + name,
        };
        (index < self.metadata).then_some(index)
    }

    /// The index of the key of a declared field, or of a layer's field.
    fn declared(&self, key: &str) -> Option<usize> {
        let index = self.keys[self.metadata..].iter().position(|other| *other == key)?;
        Some(self.metadata + index)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Request,
    Response,
}

/// The extra members of one line. Most lines have none.
#[derive(Default)]
pub(crate) struct ExtraFields {
    /// The fields without a key of their own, as a JSON object.
    others: Option<String>,
    /// Each with the index of its key among the extra keys, by which they are sorted.
    fields: Vec<(usize, FieldValue)>,
}

impl ExtraFields {
    pub(crate) fn of(finished: &Finished<'_>, keys: &ExtraKeys) -> Self {
        let mut fields = Vec::new();
        // Most lines need no object, and making none costs nothing.
        let mut others = None::<serde_json::Map<_, _>>;
        for (direction, prefix, kept) in [
            (Direction::Request, REQUEST_METADATA, &finished.facts.request_metadata),
            (Direction::Response, RESPONSE_METADATA, &finished.facts.response_metadata),
        ] {
            kept.show(|index, name, values: &[HeaderValue]| {
                let text = joined(values).unwrap_or_default().into_owned();
                match keys.metadata(direction, index) {
                    Some(index) => fields.push((index, FieldValue::Text(text.into()))),
                    None => {
                        let others = others.get_or_insert_default();
                        others.insert(format!("{prefix}{name}"), text.into());
                    }
                }
            });
        }
        for (key, value) in finished.fields() {
            let value = match value {
                FieldValue::Text(text) => FieldValue::Text(sanitize(&*text).into_owned().into()),
                value => value,
            };
            match keys.declared(&key) {
                Some(index) => fields.push((index, value)),
                None => {
                    let others = others.get_or_insert_default();
                    others.insert(sanitize(&*key).into_owned(), into_json(value));
                }
            }
        }
        fields.sort_unstable_by_key(|(index, _)| *index);
        let others = others.map(|others| serde_json::Value::Object(others).to_string());
        Self { others, fields }
    }

    pub(crate) fn list<'v>(&'v self, members: &mut impl Members<'v>) {
        members.text(Key::Fields, self.others.as_deref());
        for (index, value) in &self.fields {
            let value = match value {
                FieldValue::Text(text) => MemberValue::Text(text),
                FieldValue::Signed(number) => MemberValue::Signed(*number),
                FieldValue::Unsigned(number) => MemberValue::Unsigned(*number),
                FieldValue::Float(number) => MemberValue::Float(*number),
                FieldValue::Bool(value) => MemberValue::Bool(*value),
                // The enum is non-exhaustive.
                _ => continue,
            };
            members.add(Key::NAMES.len() + index, value);
        }
    }
}

fn into_json(value: FieldValue) -> serde_json::Value {
    match value {
        FieldValue::Text(text) => text.into(),
        FieldValue::Signed(number) => number.into(),
        FieldValue::Unsigned(number) => number.into(),
        // JSON has no infinities: they become `null`.
        FieldValue::Float(number) => number.into(),
        FieldValue::Bool(value) => value.into(),
        _ => serde_json::Value::Null,
    }
}
