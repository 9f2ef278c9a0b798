//! Panics of handlers, and that the server goes on.

use tonic::Code;

use super::{Rows, Stage};
use crate::demo::row::Ending;

pub(super) async fn run(stage: &Stage<'_>, rows: &mut Rows<'_>) {
    let call = async |method: &[&str]| Ok(stage.call(method).await?.ending());
    let before = call(&["-H", "x-fault=panic", "list-orders"]);
    rows.row("before the stream", Ending::grpc(Code::Internal, ""), before).await;

    let expected = Ending::grpc(Code::Internal, "after 2 messages");
    let during = call(&["-H", "x-fault=panic-after=2", "list-orders"]);
    rows.row("during the stream", expected, during).await;

    rows.row("the next call", Ending::ok("3 messages"), call(&["list-orders"])).await;
}
