use super::broken::Broken;
use super::writer::{JsonWriter, Span};
use crate::json::schema::{Shape, Type};
use crate::json::wire;

impl<'a> JsonWriter<'a> {
    /// The members of an object, if the fields come in the order of their numbers, as nearly all serializers write
    /// them: then each can be written when it is read.
    pub(super) fn in_order(
        &mut self,
        of: &'a Type,
        data: &[u8],
        first: &mut bool,
    ) -> Result<(), Broken> {
        let (mut rest, mut next, mut oneofs) = (data, 0, 0_u64);
        while !rest.is_empty() {
            let (number, wire) = wire::tag(&mut rest)?;
            let after_tag = data.len() - rest.len();
            let value = wire::value(&mut rest, number, wire)?;
            let Some(index) = of.numbered(number, next) else { continue };
            let field = &of.fields[index];
            if !field.reads(wire) {
                continue;
            }
            if index < next {
                return Err(other_order());
            }
            if let Some(oneof) = field.oneof {
                // What a member replaces must not be written.
                if oneof >= 64 || oneofs & 1 << oneof != 0 {
                    return Err(other_order());
                }
                oneofs |= 1 << oneof;
            }
            if self.defaults {
                self.absent(of, next..index, first);
            }
            next = index + 1;
            if let Shape::Single = field.shape {
                self.single(field, value, first)?;
                continue;
            }
            let base = self.spans.len();
            self.spans.push(Span::of(index, wire, value, after_tag, data.len() - rest.len()));
            while let Some((wire, mut after)) = next_of(number, rest)
                && field.reads(wire)
            {
                let after_tag = data.len() - after.len();
                let value = wire::value(&mut after, number, wire)?;
                rest = after;
                self.spans.push(Span::of(index, wire, value, after_tag, data.len() - rest.len()));
            }
            self.repeated_field(field, data, base..self.spans.len(), first)?;
            self.spans.truncate(base);
        }
        if self.defaults {
            self.absent(of, next..of.fields.len(), first);
        }
        Ok(())
    }
}

/// The wire type of the field that comes next, and what is behind its tag, if it has this number.
fn next_of(number: u32, data: &[u8]) -> Option<(u8, &[u8])> {
    let mut after = data;
    match wire::tag(&mut after) {
        Ok((same, wire)) if same == number => Some((wire, after)),
        _ => None,
    }
}

/// Never seen: the message is written again, in the other way.
fn other_order() -> Broken {
    Broken::new("the fields are in another order")
}
