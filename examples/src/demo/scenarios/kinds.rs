//! One call of each kind.

use std::cell::OnceCell;

use super::{Rows, Stage};
use crate::demo::row::Ending;

pub(super) const CREATE: [&str; 7] = [
    "create-order",
    "--customer-email",
    "ann@example.org",
    "--total-cents",
    "4200",
    "--currency",
    "EUR",
];

/// For `ImportOrders`.
const IMPORT: &str = r#"{"customerEmail": "bob@example.org", "totalCents": 100, "currency": "EUR"}
{"customerEmail": "cleo@example.org", "totalCents": 250, "currency": "USD"}
"#;

/// For `QuoteOrders`.
const QUOTE: &str = r#"{"reference": "a", "totalCents": 100, "currency": "EUR"}
{"reference": "b", "totalCents": 250, "currency": "USD", "speed": "SHIPPING_SPEED_EXPRESS"}
"#;

/// Returns the id of an order.
pub(super) async fn run(stage: &Stage<'_>, rows: &mut Rows<'_>) -> String {
    let order = OnceCell::new();
    let unary = async {
        let created = stage.call(&CREATE).await?;
        _ = order.set(created.field("id")?);
        Ok(created.ending())
    };
    rows.row("unary", Ending::ok("1 message"), unary).await;

    let client_stream = async {
        let imported =
            stage.call(&["import-orders", &file(stage, "orders.jsonl", IMPORT)?]).await?;
        let created = imported.field("created")?;
        Ok(Ending::grpc(imported.code, format!("{created} orders created")))
    };
    rows.row("client stream", Ending::ok("2 orders created"), client_stream).await;

    let server_stream = async { Ok(stage.call(&["list-orders"]).await?.ending()) };
    rows.row("server stream", Ending::ok("3 messages"), server_stream).await;

    let bidi = async {
        let requests = file(stage, "quotes.jsonl", QUOTE)?;
        Ok(stage.call(&["quote-orders", &requests]).await?.ending())
    };
    rows.row("bidirectional stream", Ending::ok("2 messages"), bidi).await;
    order.into_inner().unwrap_or_default()
}

fn file(stage: &Stage<'_>, name: &str, lines: &str) -> Result<String, String> {
    stage.files.folder.write(name, lines).map_err(|error| error.to_string())
}
