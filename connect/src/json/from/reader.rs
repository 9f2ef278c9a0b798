use prost_reflect::MessageDescriptor;

use crate::json::fault::Fault;
use crate::json::scan::{Scanner, Token};
use crate::json::schema::Schema;
use crate::json::wire::Writer;

/// How deep messages may be nested: what a protobuf decoder accepts, so that a message which passes here passes there.
const MAX_DEPTH: usize = 100;
/// How much of the text may be read again, in multiples of its length, to find the `@type` of an `Any` that has it
/// behind other members.
const REREAD: usize = 4;

/// JSON text, and the protobuf that it becomes.
pub(in crate::json) struct Reader<'a> {
    pub(super) scan: Scanner<'a>,
    pub(super) out: Writer<'a>,
    pub(super) schema: &'a Schema,
    pub(super) refuse_unknown: bool,
    depth: usize,
    reread: usize,
}

impl<'a> Reader<'a> {
    /// Appends to `out`.
    pub(in crate::json) fn new(
        schema: &'a Schema,
        json: &'a str,
        refuse_unknown: bool,
        out: &'a mut Vec<u8>,
    ) -> Self {
        out.reserve(json.len() / 2);
        Self {
            scan: Scanner::new(json),
            out: Writer::new(out),
            schema,
            refuse_unknown,
            depth: 0,
            reread: json.len().saturating_mul(REREAD),
        }
    }

    /// The whole text as this message.
    pub(in crate::json) fn read(mut self, message: &MessageDescriptor) -> Result<(), Fault> {
        let Some(of) = self.schema.of(message) else {
            return Err(self.scan.fault("unknown message type"));
        };
        self.message(of)?;
        self.scan.end()?;
        self.out.finish();
        Ok(())
    }

    /// Reads what lies so many messages deeper.
    pub(super) fn deeper(
        &mut self,
        levels: usize,
        read: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.depth + levels > MAX_DEPTH {
            return Err(self.scan.fault("nested too deeply"));
        }
        self.depth += levels;
        read(self)?;
        self.depth -= levels;
        Ok(())
    }

    /// Allows to read so many bytes again.
    pub(super) fn read_again(&mut self, len: usize) -> Result<(), Fault> {
        match self.reread.checked_sub(len) {
            Some(left) => {
                self.reread = left;
                Ok(())
            }
            None => {
                Err(self.scan.fault("`@type` has to be the first member of nested `Any` messages"))
            }
        }
    }

    pub(super) fn expected(&self, what: &str, found: Token) -> Fault {
        self.scan.fault(format!("expected {what}, found {}", found.name()))
    }
}
