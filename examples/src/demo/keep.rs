//! `--keep`: how to call the server that stays.

use super::screen::{Screen, Tone};
use super::server::Server;
use super::stage::Files;
use crate::shell;

/// Prints the commands.
pub(super) fn print(screen: &mut Screen, server: &Server, files: &Files) {
    let (program, key) = (shell::program(), shell::quoted(&files.key));
    let (address, url) = (&server.address, server.url());
    let title = format!("The server stays at {address} until Ctrl-C. In another terminal:");
    screen.title(&title);
    screen.line(&format!("TOKEN=$({})", files.token_command()));
    for (with, command) in [
        (
            "curl",
            format!(
                "curl -H \"authorization: Bearer $TOKEN\" -H 'content-type: application/json' \\\n    \
                 -d '{{\"customerEmail\": \"ann@example.org\", \"totalCents\": 4200, \"currency\": \"EUR\"}}' \\\n    \
                 {url}/orders.v1.OrderService/CreateOrder"
            ),
        ),
        (
            "grpcurl",
            format!(
                "grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" \\\n    \
                 {address} orders.v1.OrderService/ListOrders"
            ),
        ),
        (
            "orders call",
            format!("{program} call --to {url} \\\n    --dev-key {key} \\\n    list-orders"),
        ),
        (
            "a panic after two messages",
            format!(
                "{program} call --to {url} \\\n    --dev-key {key} \\\n    \
                 -H x-fault=panic-after=2 list-orders"
            ),
        ),
    ] {
        let comment = screen.look().paint(Tone::Dim, &format!("# {with}"));
        screen.lines([comment, command]);
    }
    if let Some(metrics) = &server.metrics {
        let comment = screen.look().paint(Tone::Dim, "# metrics");
        screen.lines([comment, format!("curl http://{metrics}/metrics")]);
    }
}
