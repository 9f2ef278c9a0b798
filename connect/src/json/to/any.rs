use super::broken::Broken;
use super::writer::JsonWriter;
use crate::json::wire::{self, LEN};

impl JsonWriter<'_> {
    /// A `google.protobuf.Any`: its type, and the fields of its message or its `value`.
    pub(super) fn any(&mut self, data: &[u8]) -> Result<(), Broken> {
        let (mut url, mut value): (&[u8], &[u8]) = (&[], &[]);
        for field in wire::fields(data) {
            match field? {
                (1, LEN, data) => url = data,
                (2, LEN, data) => value = data,
                _ => {}
            }
        }
        if url.is_empty() && value.is_empty() {
            self.plain("{}");
            return Ok(());
        }
        let url = std::str::from_utf8(url).map_err(|_| Broken::new("a type URL is not UTF-8"))?;
        let of = url.rsplit('/').next().and_then(|name| self.schema.by_name(name));
        let of = of.ok_or_else(|| {
            Broken::new("the message type of an `Any` is not in the descriptor set")
        })?;
        self.plain("{\"@type\":");
        self.string(url);
        self.deeper(1, |writer| {
            if of.is_special() {
                writer.plain(",\"value\":");
                writer.message(of, value)
            } else {
                writer.fields(of, value, false)
            }
        })?;
        self.plain("}");
        Ok(())
    }
}
