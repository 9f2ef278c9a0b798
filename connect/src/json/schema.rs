//! What the codec knows of message types: their fields, in a form that is quick to look up.

use std::fmt;
use std::sync::OnceLock;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    MessageDescriptor,
};
use rustc_hash::FxHashMap;

use super::wire::{FIXED32, FIXED64, GROUP, LEN, VARINT};

/// The message types of a pool. Each is compiled when it is first used.
pub(super) struct Schema {
    pool: DescriptorPool,
    indices: FxHashMap<String, usize>,
    /// By the address of the name in the descriptor, which is quicker to look up than the name.
    addresses: FxHashMap<usize, usize>,
    types: Vec<(MessageDescriptor, OnceLock<Type>)>,
    enum_indices: FxHashMap<String, usize>,
    enums: Vec<(EnumDescriptor, OnceLock<Enum>)>,
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) numbers: FxHashMap<String, i32>,
    /// Of a value with several names, the first.
    pub(super) names: FxHashMap<i32, String>,
    /// The name of the default value.
    pub(super) first: String,
}

/// A message type.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: String,
    pub(super) special: Special,
    /// In the order of their numbers.
    pub(super) fields: Vec<Field>,
    pub(super) oneofs: usize,
    names: FxHashMap<String, usize>,
}

/// A field. The same type describes the keys and values of maps and the elements of lists.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) json_name: String,
    /// What JSON has before the value, if it is not the first: `,"name":`.
    pub(super) json_key: String,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// Whether it differs if the field is absent or has its default value.
    pub(super) presence: bool,
    pub(super) packed: bool,
    /// Whether a message begins and ends with a tag, and has no length.
    pub(super) group: bool,
    pub(super) oneof: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Single,
    List,
    Map(Key),
}

/// The kind of a map's keys.
pub(super) type Key = Box<Kind>;

/// The type of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    /// `google.protobuf.NullValue`.
    Null,
    /// The index of an enum.
    Enum(usize),
    /// The index of a type, and whether it is `google.protobuf.Value`.
    Message(usize, bool),
}

/// Types whose JSON is not an object of their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    None,
    /// An object without fields. In an `Any`, some implementations write it like a special type.
    Empty,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    List,
    Value,
    /// `google.protobuf.Int32Value` and the like: the JSON is that of field 1.
    Wrapper,
}

impl Special {
    /// The special type of this name, if it has the fields that we read and write.
    fn of(message: &MessageDescriptor) -> Self {
        let (special, fields) = match message.full_name().strip_prefix("google.protobuf.") {
            Some("Empty") => (Special::Empty, 0),
            Some("Any") => (Special::Any, 2),
            Some("Timestamp") => (Special::Timestamp, 2),
            Some("Duration") => (Special::Duration, 2),
            Some("FieldMask") => (Special::FieldMask, 1),
            Some("Struct") => (Special::Struct, 1),
            Some("ListValue") => (Special::List, 1),
            Some("Value") => (Special::Value, 6),
            Some(
                "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
                | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue",
            ) => (Special::Wrapper, 1),
            _ => (Special::None, 0),
        };
        let mut fields_are = message.fields();
        let right = fields_are.len() == fields
            && fields_are.all(|field| match special {
                Special::Wrapper => {
                    field.cardinality() != Cardinality::Repeated
                        && field.kind().as_message().is_none()
                }
                Special::Struct => field.is_map(),
                Special::List => field.is_list(),
                _ => true,
            });
        if right { special } else { Special::None }
    }
}

// In `prost-reflect`, a field shows its oneof, and a oneof its fields: to show a descriptor with a oneof never ends.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("types", &self.types.len()).finish_non_exhaustive()
    }
}

impl Schema {
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let types: Vec<_> = pool.all_messages().map(|message| (message, OnceLock::new())).collect();
        let indices = types
            .iter()
            .enumerate()
            .map(|(index, (message, _))| (message.full_name().to_owned(), index));
        let indices = indices.collect();
        let addresses = types
            .iter()
            .enumerate()
            .map(|(index, (message, _))| (address(message), index))
            .collect();
        let enums: Vec<_> = pool.all_enums().map(|of| (of, OnceLock::new())).collect();
        let enum_indices = enums
            .iter()
            .enumerate()
            .map(|(index, (of, _))| (of.full_name().to_owned(), index))
            .collect();
        Self { pool: pool.clone(), indices, addresses, types, enum_indices, enums }
    }

    /// Whether this is of that pool.
    pub(super) fn is_of(&self, pool: &DescriptorPool) -> bool {
        self.pool == *pool
    }

    /// The type of a message of the pool.
    pub(super) fn of(&self, message: &MessageDescriptor) -> Option<&Type> {
        self.addresses.get(&address(message)).map(|&index| self.at(index))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Type> {
        self.indices.get(name).map(|&index| self.at(index))
    }

    pub(super) fn at(&self, index: usize) -> &Type {
        let (message, compiled) = &self.types[index];
        compiled.get_or_init(|| self.compile(message))
    }

    pub(super) fn enumeration(&self, index: usize) -> &Enum {
        let (of, compiled) = &self.enums[index];
        compiled.get_or_init(|| {
            let mut names = FxHashMap::default();
            for value in &of.enum_descriptor_proto().value {
                names.entry(value.number()).or_insert_with(|| value.name().to_owned());
            }
            let numbers =
                of.values().map(|value| (value.name().to_owned(), value.number())).collect();
            Enum { numbers, names, first: of.default_value().name().to_owned() }
        })
    }

    fn compile(&self, message: &MessageDescriptor) -> Type {
        let fields = message.fields().map(|field| self.field(&field));
        let extensions = message.extensions().map(|extension| self.extension(&extension));
        let mut fields: Vec<Field> = fields.chain(extensions).collect();
        fields.sort_by_key(|field| field.number);
        let index = |number: u32| fields.binary_search_by_key(&number, |field| field.number).ok();
        // A field's JSON name has precedence over another field's original name.
        let mut names = FxHashMap::default();
        for field in message.fields() {
            names.extend(index(field.number()).map(|index| (field.name().to_owned(), index)));
        }
        for (index, field) in fields.iter().enumerate() {
            names.insert(field.json_name.clone(), index);
        }
        let oneofs = message.oneofs().len();
        Type {
            name: message.full_name().to_owned(),
            special: Special::of(message),
            fields,
            oneofs,
            names,
        }
    }

    fn field(&self, field: &FieldDescriptor) -> Field {
        let oneof = field.containing_oneof().and_then(|oneof| {
            field
                .parent_message()
                .oneofs()
                .position(|other| other == oneof)
                .filter(|_| !oneof.is_synthetic())
        });
        let kind = field.kind();
        let (shape, kind) = match kind.as_message().filter(|message| {
            field.cardinality() == Cardinality::Repeated && message.is_map_entry()
        }) {
            Some(entry) => (
                Shape::Map(Box::new(self.kind(&entry.map_entry_key_field().kind()))),
                self.kind(&entry.map_entry_value_field().kind()),
            ),
            None if field.is_list() => (Shape::List, self.kind(&kind)),
            None => (Shape::Single, self.kind(&kind)),
        };
        Field {
            number: field.number(),
            json_name: field.json_name().to_owned(),
            json_key: json_key(field.json_name()),
            shape,
            kind,
            presence: field.supports_presence(),
            packed: field.is_packed(),
            group: field.is_group(),
            oneof,
        }
    }

    fn extension(&self, extension: &ExtensionDescriptor) -> Field {
        Field {
            number: extension.number(),
            json_name: extension.json_name().to_owned(),
            json_key: json_key(extension.json_name()),
            shape: if extension.is_list() { Shape::List } else { Shape::Single },
            kind: self.kind(&extension.kind()),
            presence: true,
            packed: extension.is_packed(),
            group: extension.is_group(),
            oneof: None,
        }
    }

    fn kind(&self, kind: &prost_reflect::Kind) -> Kind {
        use prost_reflect::Kind as Reflect;
        match kind {
            Reflect::Double => Kind::Double,
            Reflect::Float => Kind::Float,
            Reflect::Int32 => Kind::Int32,
            Reflect::Int64 => Kind::Int64,
            Reflect::Uint32 => Kind::Uint32,
            Reflect::Uint64 => Kind::Uint64,
            Reflect::Sint32 => Kind::Sint32,
            Reflect::Sint64 => Kind::Sint64,
            Reflect::Fixed32 => Kind::Fixed32,
            Reflect::Fixed64 => Kind::Fixed64,
            Reflect::Sfixed32 => Kind::Sfixed32,
            Reflect::Sfixed64 => Kind::Sfixed64,
            Reflect::Bool => Kind::Bool,
            Reflect::String => Kind::String,
            Reflect::Bytes => Kind::Bytes,
            Reflect::Enum(of) if of.full_name() == "google.protobuf.NullValue" => Kind::Null,
            Reflect::Enum(of) => Kind::Enum(self.enum_indices[of.full_name()]),
            // Every message and enum that a field names is one of the pool.
            Reflect::Message(of) => {
                Kind::Message(self.indices[of.full_name()], Special::of(of) == Special::Value)
            }
        }
    }
}

/// Where the name of a message is. While its pool lives, nothing else is there.
fn address(message: &MessageDescriptor) -> usize {
    message.full_name().as_ptr().addr()
}

fn json_key(name: &str) -> String {
    format!(",{}:", serde_json::Value::from(name))
}

impl Type {
    /// The field of this JSON name or original name. Names mostly come in the order of fields: `hint` is tried first.
    pub(super) fn named(&self, name: &str, hint: usize) -> Option<usize> {
        match self.fields.get(hint) {
            Some(field) if field.json_name == name => Some(hint),
            _ => self.names.get(name).copied(),
        }
    }

    /// The field of this number; `hint` and the one after it are tried first.
    pub(super) fn numbered(&self, number: u32, hint: usize) -> Option<usize> {
        let is = |index: usize| self.fields.get(index).is_some_and(|field| field.number == number);
        if is(hint) {
            Some(hint)
        } else if is(hint + 1) {
            Some(hint + 1)
        } else {
            self.fields.binary_search_by_key(&number, |field| field.number).ok()
        }
    }

    /// Whether its JSON is not an object of its fields, so that it is the member `value` of an `Any`.
    pub(super) fn is_special(&self) -> bool {
        !matches!(self.special, Special::None | Special::Empty)
    }
}

impl Kind {
    /// Whether `null` is a value and not an absent field.
    pub(super) fn takes_null(&self) -> bool {
        matches!(self, Kind::Null | Kind::Message(_, true))
    }

    /// The wire type.
    pub(super) fn wire(&self) -> u8 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
            Kind::String | Kind::Bytes | Kind::Message(..) => LEN,
            _ => VARINT,
        }
    }
}

impl Field {
    /// Whether a value of this wire type is one of this field: lists come packed and not, however they are declared.
    pub(super) fn reads(&self, wire: u8) -> bool {
        match self.kind.wire() {
            // Entries are messages.
            _ if matches!(self.shape, Shape::Map(_)) => wire == LEN,
            LEN if self.group => wire == GROUP,
            LEN => wire == LEN,
            own => wire == own || (wire == LEN && self.shape == Shape::List),
        }
    }
}
