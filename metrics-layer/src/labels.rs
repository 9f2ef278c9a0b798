//! Labels that the program adds.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::request;
use metrics::{Label, SharedString};
use tonic_call::Protocol;

/// The largest number of combinations of extra label values. Each combination multiplies the number of series.
pub const MAX_COMBINATIONS: usize = 100;

/// The value for anything that was not declared, and for none.
const OTHER: &str = "other";

/// The labels of the layer itself, in all conventions, and those of Prometheus' histograms.
const RESERVED: [&str; 14] = [
    "error_type",
    "grpc_code",
    "grpc_method",
    "grpc_service",
    "grpc_type",
    "le",
    "quantile",
    "reason",
    "refused_by",
    "rpc_method",
    "rpc_response_status_code",
    "rpc_status_code",
    "rpc_system_name",
    "shadow",
];

/// Extra labels of all families. The values of each are declared here, so that no caller can add one.
///
/// ```
/// use tonic_metrics_layer::Labels;
///
/// let labels = Labels::new()
///     .constant("region", "eu-north-1")?
///     .by("tier", ["free", "paid"], |head| head.headers.get("x-tier")?.to_str().ok())?;
/// # Ok::<(), tonic_metrics_layer::LabelError>(())
/// ```
#[derive(Clone, Default)]
pub struct Labels(Arc<Vec<ExtraLabel>>);

#[derive(Clone)]
struct ExtraLabel {
    name: SharedString,
    values: Vec<SharedString>,
    source: Source,
}

/// What selects the value of a call.
#[derive(Clone)]
enum Source {
    /// There is only one value.
    Constant,
    /// The protocol of the call. The values are those of [`PROTOCOLS`].
    Protocol,
    /// The head of the request. The last value is `other`.
    Head(Read),
}

/// The values of a label for the protocol.
const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::Connect];

type Read = Arc<dyn for<'a> Fn(&'a request::Parts) -> Option<&'a str> + Send + Sync>;

/// Text that the keys of all families share, without copies.
pub(crate) fn shared(text: &str) -> SharedString {
    SharedString::from(Arc::<str>::from(text))
}

/// Why a label cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// The name is not `[a-zA-Z_][a-zA-Z0-9_]*`, or starts with `__`, which Prometheus reserves.
    InvalidName(String),
    /// The layer itself has a label of this name, or it was added before.
    DuplicateName(String),
    /// No values are declared, or one is empty, which Prometheus treats like a missing label.
    InvalidValues(String),
    /// With this label there are more than [`MAX_COMBINATIONS`] combinations of values.
    TooManyCombinations {
        /// The label.
        label: String,
        /// The number of combinations with it.
        combinations: usize,
    },
}

impl Labels {
    /// No extra labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a label with one fixed value.
    ///
    /// # Errors
    ///
    /// When the name is invalid or a duplicate, or the value is empty.
    pub fn constant(self, name: &str, value: &str) -> Result<Self, LabelError> {
        self.add(name, vec![value.to_owned()], Source::Constant)
    }

    /// Adds a label for the protocol of the call: `grpc`, `grpc-web` or `connect`. See [`Protocol::of_call`].
    ///
    /// It is not there by default, because it multiplies the number of series by three, and because rules that
    /// compare single series, without `sum`, then compare those of one protocol.
    ///
    /// # Errors
    ///
    /// When the name is invalid or a duplicate, or when all labels together would have more than
    /// [`MAX_COMBINATIONS`] combinations.
    pub fn protocol(self, name: &str) -> Result<Self, LabelError> {
        let values = PROTOCOLS.map(|protocol| protocol.as_str().to_owned());
        self.add(name, values.into(), Source::Protocol)
    }

    /// Adds a label whose value `read` returns when a call begins. A value that is not declared, and `None`,
    /// become `other`.
    ///
    /// `read` must not panic.
    ///
    /// # Errors
    ///
    /// When the name is invalid or a duplicate, when there are no values or an empty one, or when all labels
    /// together would have more than [`MAX_COMBINATIONS`] combinations, including `other`.
    pub fn by<V>(
        self,
        name: &str,
        values: impl IntoIterator<Item = V>,
        read: impl for<'a> Fn(&'a request::Parts) -> Option<&'a str> + Send + Sync + 'static,
    ) -> Result<Self, LabelError>
    where
        V: Into<String>,
    {
        let values = values.into_iter().map(Into::into).collect();
        self.add(name, values, Source::Head(Arc::new(read)))
    }

    fn add(self, name: &str, mut values: Vec<String>, source: Source) -> Result<Self, LabelError> {
        if !is_name(name) {
            return Err(LabelError::InvalidName(name.to_owned()));
        }
        if RESERVED.contains(&name) || self.0.iter().any(|label| &*label.name == name) {
            return Err(LabelError::DuplicateName(name.to_owned()));
        }
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(LabelError::InvalidValues(name.to_owned()));
        }
        if let Source::Head(_) = source {
            values.retain(|value| value != OTHER);
            values.push(OTHER.to_owned());
            let mut distinct = Vec::<String>::with_capacity(values.len());
            for value in values {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
            values = distinct;
        }
        let combinations = self.combinations().saturating_mul(values.len());
        if combinations > MAX_COMBINATIONS {
            return Err(LabelError::TooManyCombinations { label: name.to_owned(), combinations });
        }
        let mut labels = Arc::unwrap_or_clone(self.0);
        labels.push(ExtraLabel {
            name: shared(name),
            values: values.iter().map(|value| shared(value)).collect(),
            source,
        });
        Ok(Self(Arc::new(labels)))
    }

    /// The number of combinations of values: 1 without labels.
    pub(crate) fn combinations(&self) -> usize {
        self.0.iter().map(|label| label.values.len()).product()
    }

    /// The index of a call's combination: a number with one digit per label, each in its own base.
    pub(crate) fn combination_of(&self, protocol: Protocol, head: &request::Parts) -> usize {
        let digit = |label: &ExtraLabel| label.digit(protocol, head);
        self.0.iter().fold(0, |index, label| index * label.values.len() + digit(label))
    }

    /// Whether a label shows the protocol.
    pub(crate) fn has_protocol(&self) -> bool {
        self.0.iter().any(|label| matches!(label.source, Source::Protocol))
    }

    /// The protocol of the combination with this index, if a label shows it.
    pub(crate) fn protocol_of(&self, combination: usize) -> Option<Protocol> {
        let mut digits = self.digits(combination);
        let (_, digit) = digits.find(|(label, _)| matches!(label.source, Source::Protocol))?;
        Some(PROTOCOLS[digit])
    }

    /// The labels of the combination with this index.
    pub(crate) fn of(&self, combination: usize) -> Vec<Label> {
        let label = |(label, digit): (&ExtraLabel, usize)| {
            Label::new(label.name.clone(), label.values[digit].clone())
        };
        let mut labels: Vec<_> = self.digits(combination).map(label).collect();
        labels.reverse();
        labels
    }

    /// Each label and the index of its value in this combination, from the last label to the first.
    fn digits(&self, mut combination: usize) -> impl Iterator<Item = (&ExtraLabel, usize)> {
        self.0.iter().rev().map(move |label| {
            let digit = combination % label.values.len();
            combination /= label.values.len();
            (label, digit)
        })
    }
}

impl ExtraLabel {
    fn digit(&self, protocol: Protocol, head: &request::Parts) -> usize {
        let (value, otherwise) = match &self.source {
            Source::Constant => return 0,
            Source::Protocol => (protocol.as_str(), 0),
            Source::Head(read) => (read(head).unwrap_or(OTHER), self.values.len() - 1),
        };
        let declared = self.values.iter().position(|declared| **declared == *value);
        declared.unwrap_or(otherwise)
    }
}

/// Whether Prometheus' data model allows this as the name of a label.
fn is_name(name: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_rest)
        && !name.starts_with("__")
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|label| (&label.name, &label.values))).finish()
    }
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(label) => write!(f, "`{label}` is not a valid label name"),
            Self::DuplicateName(label) => write!(f, "the label `{label}` already exists"),
            Self::InvalidValues(label) => {
                write!(f, "the label `{label}` has no values, or an empty one")
            }
            Self::TooManyCombinations { label, combinations } => write!(
                f,
                "the label `{label}` makes {combinations} combinations of values; the limit is \
                 {MAX_COMBINATIONS}"
            ),
        }
    }
}

impl Error for LabelError {}
