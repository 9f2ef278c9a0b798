//! The spans of an event.

use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::buffer::LineBuffer;
use super::fields::{Adding, JsonFields};
use super::object::{Object, Quoted};

/// Appends a span: its fields, then its name.
pub(super) fn object<S>(line: &mut LineBuffer, span: &SpanRef<'_, S>)
where
    S: for<'a> LookupSpan<'a>,
{
    let mut object = Object::open(line);
    if !Adding::is_on()
        && let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>()
    {
        let members = fields.strip_prefix('{').and_then(|fields| fields.strip_suffix('}'));
        object.members(members.unwrap_or_default());
    }
    object.string(Quoted(",\"name\":\""), span.name());
    object.close();
}

/// Appends an array of a span and those around it, outermost first.
pub(super) fn list<S>(line: &mut LineBuffer, innermost: Option<&SpanRef<'_, S>>)
where
    S: for<'a> LookupSpan<'a>,
{
    line.push(b'[');
    if let Some(innermost) = innermost {
        if let Some(parent) = innermost.parent() {
            for span in parent.scope().from_root() {
                object(line, &span);
                line.push(b',');
            }
        }
        object(line, innermost);
    }
    line.push(b']');
}
