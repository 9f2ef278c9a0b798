//! Messages as proto3 JSON, by the descriptors of the proto files.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).expect("build.rs wrote a whole set")
});

/// Writes one line as `protojson` does: `lowerCamelCase` names, 64-bit numbers as strings, RFC 3339 timestamps, and
/// no fields with default values.
pub(crate) fn write<T: Message + Name>(message: &T) -> Result<String, String> {
    let mut dynamic = DynamicMessage::new(descriptor::<T>());
    dynamic.transcode_from(message).map_err(|error| error.to_string())?;
    serde_json::to_string(&dynamic).map_err(|error| error.to_string())
}

/// Reads what [`write`] writes, and the field names of the proto. An unknown field is an error.
pub(crate) fn read<T: Message + Name + Default>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor::<T>(), &mut json)
        .and_then(|message| json.end().map(|()| message))
        .map_err(|error| error.to_string())?;
    message.transcode_to().map_err(|error| error.to_string())
}

fn descriptor<T: Name>() -> MessageDescriptor {
    POOL.get_message_by_name(&T::full_name()).expect("build.rs made the type from the same set")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{CreateOrderRequest, Order};

    #[test]
    fn an_order_is_written_as_protojson_does() {
        let order = Order {
            id: "o-1".to_owned(),
            customer_email: "a@b".to_owned(),
            total_cents: 1999,
            currency: String::new(),
            created_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
        };
        assert_eq!(
            write(&order).expect("good"),
            r#"{"id":"o-1","customerEmail":"a@b","totalCents":"1999","createdAt":"2023-11-14T22:13:20.005Z"}"#
        );
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        for text in [
            r#"{"customerEmail":"a@b","totalCents":"5"}"#,
            r#"{"customer_email":"a@b","total_cents":5}"#,
        ] {
            let read: CreateOrderRequest = read(text).expect("good");
            assert_eq!((read.customer_email.as_str(), read.total_cents), ("a@b", 5));
        }
    }

    #[test]
    fn what_is_not_such_a_message_is_an_error() {
        let number = r#"{"totalCents":{"$serde_json::private::Number":"5"}}"#;
        for text in ["", "{", "[]", "{} {}", r#"{"email":"a@b"}"#, r#"{"totalCents":1e99}"#, number]
        {
            assert!(read::<CreateOrderRequest>(text).is_err(), "{text}");
        }
    }
}
