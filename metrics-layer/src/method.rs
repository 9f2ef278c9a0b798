use metrics::Label;
use tonic_call::{MethodKind, Protocol};

use crate::label_sets::LabelSets;
use crate::labels::shared;
use crate::names::Names;
use crate::settings::Settings;
use crate::variant::Variant;

/// The values of a method's labels.
pub(crate) enum MethodLabels<'a> {
    Known {
        full: &'a str,
        service: &'a str,
        name: &'a str,
        /// `None` without a descriptor set.
        kind: Option<MethodKind>,
        /// Whether the method is registered with the descriptor set, before the first call.
        is_described: bool,
    },
    /// Any unknown method: its name is text that a caller chose.
    Unknown,
}

impl MethodLabels<'_> {
    pub(crate) fn full(&self) -> Option<&str> {
        match *self {
            Self::Known { full, .. } => Some(full),
            Self::Unknown => None,
        }
    }

    /// The labels of the method's series.
    pub(crate) fn label_sets(&self, settings: &Settings, variant: Variant) -> LabelSets {
        let mut labels = self.labels(settings.names, variant.protocol);
        labels.extend(settings.labels.of(variant.combination));
        match (settings.names, self) {
            (Names::Prometheus, Self::Known { is_described: true, .. }) => {
                LabelSets::interned(&labels, |code| settings.code_label(code))
            }
            _ => LabelSets::own(labels),
        }
    }

    fn labels(&self, names: Names, protocol: Protocol) -> Vec<Label> {
        match (names, self) {
            (Names::Prometheus, Self::Known { service, name, kind, .. }) => {
                let kind = kind.map_or("unknown", MethodKind::as_str);
                vec![
                    Label::from_static_parts("grpc_type", kind),
                    Label::new("grpc_service", shared(service)),
                    Label::new("grpc_method", shared(name)),
                ]
            }
            (Names::Prometheus, Self::Unknown) => vec![
                Label::from_static_parts("grpc_type", "unknown"),
                Label::from_static_parts("grpc_service", "unknown"),
                Label::from_static_parts("grpc_method", "unknown"),
            ],
            (Names::OpenTelemetry | Names::OpenTelemetryNext, method) => vec![
                Label::from_static_parts("rpc_system_name", protocol.system_name()),
                match method {
                    Self::Known { full, .. } => Label::new("rpc_method", shared(full)),
                    Self::Unknown => Label::from_static_parts("rpc_method", "_OTHER"),
                },
            ],
        }
    }
}
