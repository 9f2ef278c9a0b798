//! One refusal of each kind.

use tonic::Code;

use super::kinds::CREATE;
use super::{Rows, Stage};
use crate::demo::row::Ending;

/// More calls than the quota allows at once, on however slow a machine.
const MANY: usize = 1000;

pub(super) async fn run(stage: &Stage<'_>, rows: &mut Rows<'_>, order: &str) {
    let call = async |credentials: &[&str], method: &[&str]| {
        Ok(stage.call_with(credentials, method).await?.ending())
    };
    let files = &stage.files;
    let expected = Ending::grpc(Code::Unauthenticated, "CREDENTIALS_MISSING");
    rows.row("no token", expected, call(&["--no-token"], &["list-orders"])).await;

    let expected = Ending::grpc(Code::Unauthenticated, "TOKEN_INVALID");
    let bad = ["--dev-key", &files.other_key];
    rows.row("token of another key", expected, call(&bad, &["list-orders"])).await;

    let expected = Ending::grpc(Code::PermissionDenied, "SCOPE_INSUFFICIENT");
    let read_only = ["--token", &files.read_only_token];
    rows.row("token without the scope", expected, call(&read_only, &CREATE)).await;

    let over_quota = async {
        for _ in 0..MANY {
            let called =
                stage.call(&["advance-order", "--id", order, "--stage", "shipped"]).await?;
            if called.code != Code::Ok {
                return Ok(called.ending());
            }
        }
        Err(format!("none of {MANY} calls was refused"))
    };
    let expected = Ending::grpc(Code::ResourceExhausted, "RATE_LIMITED");
    rows.row("over quota", expected, over_quota).await;

    let developer = ["--dev-key", &files.key];
    let hang = ["--timeout", "100ms", "-H", "x-fault=delay=1h", "get-order", "--id", order];
    let expected = Ending::grpc(Code::DeadlineExceeded, "");
    rows.row("past the deadline", expected, call(&developer, &hang)).await;

    let expected = Ending::grpc(Code::InvalidArgument, "INVALID_REQUEST");
    let invalid = ["create-order", "--customer-email", "ann"];
    rows.row("malformed request", expected, call(&developer, &invalid)).await;

    // The limit of the server is 64 KiB.
    let large = "x".repeat(70_000);
    let expected = Ending::grpc(Code::OutOfRange, "");
    let large = ["get-order", "--id", &large];
    rows.row("too large a request", expected, call(&developer, &large)).await;
}
