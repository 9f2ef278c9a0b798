//! Labels of the program's own.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::request;
use metrics::{Label, SharedString};

/// How many combinations of values the extra labels may have, at most: each multiplies all series.
pub const COMBINATIONS_AT_MOST: usize = 100;

/// What a label says for a value that was not declared, and for none.
const OTHER: &str = "other";

/// Those of the layer itself, by either convention, and those of Prometheus' histograms.
const TAKEN: [&str; 14] = [
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

/// Extra labels, which all families have. Each has a fixed set of values, declared here, so that no
/// caller can add one.
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
pub struct Labels(Arc<Vec<Extra>>);

#[derive(Clone)]
struct Extra {
    name: SharedString,
    /// With `other` at the end, unless it is a constant.
    values: Vec<SharedString>,
    read: Option<Read>,
}

type Read = Arc<dyn for<'a> Fn(&'a request::Parts) -> Option<&'a str> + Send + Sync>;

/// A label that can't be added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// The name is not `[a-zA-Z_][a-zA-Z0-9_]*`, or begins with `__`, which Prometheus keeps for
    /// itself.
    Name(String),
    /// The layer has a label of that name, or there is one already.
    Taken(String),
    /// No values are declared, or one of them is empty, which to Prometheus is no label at all.
    Values(String),
    /// With this label there are more combinations of values than [`COMBINATIONS_AT_MOST`].
    TooMany {
        /// The label.
        label: String,
        /// How many combinations there would be.
        combinations: usize,
    },
}

impl Labels {
    /// No extra labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a label that always says the same.
    ///
    /// # Errors
    ///
    /// When the name is none or taken, or the value is empty.
    pub fn constant(self, name: &str, value: &str) -> Result<Self, LabelError> {
        self.add(name, vec![value.to_owned()], None)
    }

    /// Adds a label that says one of the declared values, as `read` does when a call begins. What
    /// was not declared, and `None`, are `other`.
    ///
    /// `read` must not panic.
    ///
    /// # Errors
    ///
    /// When the name is none or taken, when there are no values or an empty one, or when all labels
    /// together would have more than [`COMBINATIONS_AT_MOST`] combinations, `other` included.
    pub fn by<V>(
        self,
        name: &str,
        values: impl IntoIterator<Item = V>,
        read: impl for<'a> Fn(&'a request::Parts) -> Option<&'a str> + Send + Sync + 'static,
    ) -> Result<Self, LabelError>
    where
        V: Into<String>,
    {
        self.add(name, values.into_iter().map(Into::into).collect(), Some(Arc::new(read)))
    }

    fn add(
        self,
        name: &str,
        mut values: Vec<String>,
        read: Option<Read>,
    ) -> Result<Self, LabelError> {
        if !is_name(name) {
            return Err(LabelError::Name(name.to_owned()));
        }
        if TAKEN.contains(&name) || self.0.iter().any(|label| &*label.name == name) {
            return Err(LabelError::Taken(name.to_owned()));
        }
        if values.is_empty() || values.iter().any(String::is_empty) {
            return Err(LabelError::Values(name.to_owned()));
        }
        if read.is_some() {
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
        if combinations > COMBINATIONS_AT_MOST {
            return Err(LabelError::TooMany { label: name.to_owned(), combinations });
        }
        let mut labels = Arc::unwrap_or_clone(self.0);
        labels.push(Extra {
            name: shared(name),
            values: values.iter().map(|value| shared(value)).collect(),
            read,
        });
        Ok(Self(Arc::new(labels)))
    }

    /// How many combinations of values there are: 1 without labels.
    pub(crate) fn combinations(&self) -> usize {
        self.0.iter().map(|label| label.values.len()).product()
    }

    /// The number of the combination that a call has: one digit per label, each in its own base.
    pub(crate) fn combination_of(&self, head: &request::Parts) -> usize {
        self.0.iter().fold(0, |number, label| number * label.values.len() + label.digit(head))
    }

    /// The labels of a combination.
    pub(crate) fn of(&self, mut combination: usize) -> Vec<Label> {
        let mut labels: Vec<_> = self
            .0
            .iter()
            .rev()
            .map(|label| {
                let digit = combination % label.values.len();
                combination /= label.values.len();
                Label::new(label.name.clone(), label.values[digit].clone())
            })
            .collect();
        labels.reverse();
        labels
    }
}

impl Extra {
    fn digit(&self, head: &request::Parts) -> usize {
        let Some(read) = &self.read else { return 0 };
        let value = read(head).unwrap_or(OTHER);
        let declared = self.values.iter().position(|declared| **declared == *value);
        declared.unwrap_or(self.values.len() - 1)
    }
}

/// A label's name, as Prometheus' data model says.
fn is_name(name: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_rest)
        && !name.starts_with("__")
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn shared(text: &str) -> SharedString {
    SharedString::from(Arc::<str>::from(text))
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|label| (&label.name, &label.values))).finish()
    }
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(label) => write!(f, "`{label}` is not the name of a label"),
            Self::Taken(label) => write!(f, "there is a label `{label}` already"),
            Self::Values(label) => write!(f, "the label `{label}` has no values, or an empty one"),
            Self::TooMany { label, combinations } => write!(
                f,
                "with the label `{label}` there are {combinations} combinations of values, and \
                 {COMBINATIONS_AT_MOST} are the most"
            ),
        }
    }
}

impl Error for LabelError {}
