//! Of arbitrary events, in arbitrary spans, both formatters write the same line.

use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::select;
use tracing::field::{DebugValue, Field, FieldSet, Value, debug};
use tracing::{Event, Level, Metadata, Span};
use tracing_core::callsite::{Callsite, Identifier};
use tracing_core::metadata::Kind;
use tracing_core::subscriber::Interest;

use crate::support::assert_equal;

/// The most fields of an event or a span.
const MOST: usize = 8;

#[derive(Clone, Debug)]
enum Given {
    Text(String),
    Unsigned(u64),
    Signed(i64),
    Big(u128),
    Float(f64),
    Bool(bool),
    Bytes(Box<[u8]>),
    Debug(DebugValue<String>),
    Nothing,
}

impl Given {
    fn as_value(&self) -> Option<&dyn Value> {
        Some(match self {
            Self::Text(value) => value,
            Self::Unsigned(value) => value,
            Self::Signed(value) => value,
            Self::Big(value) => value,
            Self::Float(value) => value,
            Self::Bool(value) => value,
            Self::Bytes(value) => value,
            Self::Debug(value) => value,
            Self::Nothing => return None,
        })
    }
}

/// Characters of each kind, so that each kind comes often.
fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        4 => proptest::char::range(' ', '~'),
        1 => proptest::char::range('\0', '\u{1f}'),
        1 => select(vec!['"', '\\', '/', '\u{7f}', 'é', '\u{2028}', '\u{fffd}', '\u{1f600}']),
        1 => any::<char>(),
    ];
    proptest::collection::vec(char, 0..24).prop_map(String::from_iter)
}

fn name() -> impl Strategy<Value = String> {
    let known =
        ["message", "name", "level", "target", "timestamp", "span", "r#type", "log.line", "a", "b"];
    prop_oneof![select(known.to_vec()).prop_map(String::from), text()]
}

/// A float of a span is parsed again by tracing-subscriber, which may change its last bit if it has many digits.
fn value(float: impl Strategy<Value = f64> + 'static) -> impl Strategy<Value = Given> {
    prop_oneof![
        text().prop_map(Given::Text),
        any::<u64>().prop_map(Given::Unsigned),
        any::<i64>().prop_map(Given::Signed),
        any::<u128>().prop_map(Given::Big),
        float.prop_map(Given::Float),
        any::<bool>().prop_map(Given::Bool),
        any::<Vec<u8>>().prop_map(|bytes| Given::Bytes(bytes.into())),
        text().prop_map(|text| Given::Debug(debug(text))),
        Just(Given::Nothing),
    ]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![proptest::num::f64::ANY, short_float()]
}

fn short_float() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, 1e16, 1e-7, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![any::<i32>().prop_map(|number| f64::from(number) / 8.0), select(special.to_vec())]
}

#[derive(Clone, Debug)]
struct SpanPlan {
    name: String,
    fields: Vec<(String, Given)>,
    /// Recorded afterwards: indexes of fields and their values.
    records: Vec<(usize, Given)>,
    is_entered: bool,
}

fn span() -> impl Strategy<Value = SpanPlan> {
    let fields = proptest::collection::vec((name(), value(short_float())), 0..MOST);
    let records = proptest::collection::vec((0..MOST, value(short_float())), 0..3);
    (text(), fields, records, any::<bool>()).prop_map(|(name, mut fields, records, is_entered)| {
        // tracing-subscriber loses what a span records later if one of its keys is escaped.
        if !records.is_empty() {
            for (name, _) in &mut fields {
                name.retain(|char| !char.is_ascii_control() && !['"', '\\'].contains(&char));
            }
        }
        SpanPlan { name, fields, records, is_entered }
    })
}

#[derive(Clone, Debug)]
enum Parent {
    Contextual,
    Root,
    /// The span of that index, if there is one.
    Explicit(usize),
}

struct Site(OnceLock<Metadata<'static>>);

impl Callsite for Site {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.0.get().unwrap()
    }
}

/// Metadata with names that are chosen at run time. It is never freed.
fn metadata(
    kind: Kind,
    name: &str,
    target: &str,
    fields: &[(String, Given)],
) -> &'static Metadata<'static> {
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let names: Vec<_> = fields.iter().map(|(name, _)| leak(name)).collect();
    let site: &'static Site = Box::leak(Box::new(Site(OnceLock::new())));
    let names = FieldSet::new(names.leak(), Identifier(site));
    site.0.get_or_init(|| {
        Metadata::new(leak(name), leak(target), Level::INFO, None, None, None, names, kind)
    })
}

/// Calls `with` with the fields and their values.
fn with_values<R>(
    metadata: &'static Metadata<'static>,
    given: &[(usize, &Given)],
    with: impl FnOnce(&tracing::field::ValueSet<'_>) -> R,
) -> R {
    let fields: Vec<Field> = metadata.fields().iter().collect();
    let known: Vec<_> =
        given.iter().filter_map(|(index, given)| Some((fields.get(*index)?, *given))).collect();
    let Some(first) = fields.first() else { return with(&metadata.fields().value_set(&[])) };
    let mut values: [(&Field, Option<&dyn Value>); MOST] = [(first, None); MOST];
    for (place, (field, given)) in values.iter_mut().zip(known) {
        *place = (field, given.as_value());
    }
    with(&metadata.fields().value_set(&values))
}

fn new_span(plan: &SpanPlan) -> Span {
    let metadata = metadata(Kind::SPAN, &plan.name, "span", &plan.fields);
    let given: Vec<_> = plan.fields.iter().map(|(_, given)| given).enumerate().collect();
    let span = with_values(metadata, &given, |values| Span::new(metadata, values));
    for (index, given) in &plan.records {
        with_values(metadata, &[(*index, given)], |values| _ = span.record_all(values));
    }
    span
}

proptest! {
    #[test]
    fn lines_are_equal(
        spans in proptest::collection::vec(span(), 0..4),
        fields in proptest::collection::vec((name(), value(any_float())), 0..MOST),
        target in text(),
        parent in prop_oneof![Just(Parent::Contextual), Just(Parent::Root), (0..4_usize).prop_map(Parent::Explicit)],
    ) {
        let metadata = metadata(Kind::EVENT, "event", &target, &fields);
        let given: Vec<_> = fields.iter().map(|(_, given)| given).enumerate().collect();
        assert_equal(|| {
            let mut entered = Vec::new();
            let mut others = Vec::new();
            let mut ids = Vec::new();
            for plan in &spans {
                let span = new_span(plan);
                ids.push(span.id());
                if plan.is_entered {
                    entered.push(span.entered());
                } else {
                    others.push(span);
                }
            }
            with_values(metadata, &given, |values| match &parent {
                Parent::Contextual => Event::dispatch(metadata, values),
                Parent::Root => Event::child_of(None, metadata, values),
                Parent::Explicit(index) => {
                    let id = ids.get(*index).cloned().flatten();
                    Event::child_of(id, metadata, values);
                }
            });
            // The innermost first.
            while entered.pop().is_some() {}
        });
    }
}
