//! The calls: one file per group of rows.

mod failures;
mod kinds;
mod panics;
mod protocols;
mod refusals;

use super::calls::Called;
use super::rows::Rows;
use super::stage::Stage;

/// Makes all calls. Returns the one whose log lines and trace are shown.
pub(super) async fn run(stage: &mut Stage<'_>, rows: &mut Rows<'_>) -> Result<Called, String> {
    rows.group("Each kind of call");
    let order = kinds::run(stage, rows).await;
    rows.group("Refusals");
    refusals::run(stage, rows, &order).await;
    rows.group("Panics");
    panics::run(stage, rows).await;
    rows.group("Failures, and callers and servers that go away");
    let retried = failures::run(stage, rows, &order).await;
    rows.group("Other protocols");
    protocols::run(stage, rows, &order).await;
    retried
}
