//! The members that many lines have in common, rendered once.

use std::sync::LazyLock;

use tonic_call::{MethodKind, Protocol, Side};

use crate::json::buffer::LineBuffer;
use crate::json::object::Object;
use crate::key::Key;
use crate::member::Common;

const SIDES: [Side; 2] = [Side::Server, Side::Client];
const PROTOCOLS: [Protocol; 4] =
    [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText, Protocol::Connect];
const KINDS: [Option<MethodKind>; 5] = [
    None,
    Some(MethodKind::Unary),
    Some(MethodKind::ClientStream),
    Some(MethodKind::ServerStream),
    Some(MethodKind::BidiStream),
];

/// By side, protocol and kind, in the order above.
static RENDERED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let of_side =
        |side| PROTOCOLS.map(|protocol| KINDS.map(|kind| Common { side, protocol, kind }));
    SIDES.map(of_side).as_flattened().as_flattened().iter().map(|common| render(*common)).collect()
});

/// The members of an object, as JSON; `None` for a protocol that is not among those above.
pub(super) fn rendered(common: Common) -> Option<&'static str> {
    let side = match common.side {
        Side::Server => 0,
        Side::Client => 1,
    };
    let protocol = match common.protocol {
        Protocol::Grpc => 0,
        Protocol::GrpcWeb => 1,
        Protocol::GrpcWebText => 2,
        Protocol::Connect => 3,
        _ => return None,
    };
    let kind = match common.kind {
        None => 0,
        Some(MethodKind::Unary) => 1,
        Some(MethodKind::ClientStream) => 2,
        Some(MethodKind::ServerStream) => 3,
        Some(MethodKind::BidiStream) => 4,
    };
    let position = (side * PROTOCOLS.len() + protocol) * KINDS.len() + kind;
    RENDERED.get(position).map(String::as_str)
}

fn render(common: Common) -> String {
    let mut text = LineBuffer::default();
    let mut object = Object::open(&mut text);
    for (key, value) in common.members() {
        object.plain(Key::NAMES[key as usize], value);
    }
    text.text_from(1).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_has_its_own_members() {
        for side in SIDES {
            for protocol in PROTOCOLS {
                for kind in KINDS {
                    let common = Common { side, protocol, kind };
                    assert_eq!(rendered(common), Some(&*render(common)), "{common:?}");
                }
            }
        }
        let unary = Common { side: SIDES[0], protocol: PROTOCOLS[0], kind: KINDS[1] };
        let text = r#""grpc.component":"server","grpc.protocol":"grpc","grpc.method_type":"unary""#;
        assert_eq!(rendered(unary), Some(text));
    }
}
