//! Each status code, returned by a handler.

use tonic_call::{CODES, MethodKind};
use tonic_call_test_kit::ask;
use tonic_call_test_kit::v1::{Act, Ask};

use crate::client::seen;
use crate::observed::{Layers, Log};
use crate::server::Server;
use crate::table::Section;

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let mut rows = Vec::new();
    for code in CODES {
        let act = if code == tonic::Code::Ok { Act::Unspecified } else { Act::Fail };
        let ask = Ask { code: code as i32, ..ask(act, 0) };
        let ending =
            format!("the handler of a unary method returns `{}`", tonic_call::code_name(code));
        rows.push(seen(Server::usual(log, layers).await, &ending, MethodKind::Unary, ask).await);
    }
    Section {
        title: "Status codes of handlers",
        about: "A handler's status reaches everyone as it is.",
        rows,
    }
}
