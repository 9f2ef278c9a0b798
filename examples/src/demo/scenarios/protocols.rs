//! Connect with JSON, and mutual TLS.

use serde_json::{Value, json};
use tonic::Code;
use tonic::codegen::http::Request;

use super::{Rows, Stage};
use crate::certs::{self, TRUST_DOMAIN};
use crate::demo::http;
use crate::demo::row::Ending;
use crate::demo::stage::TLS_SERVER;

pub(super) async fn run(stage: &Stage<'_>, rows: &mut Rows<'_>, order: &str) {
    let token = Some(&*stage.files.read_only_token);
    let request = json!({ "id": order }).to_string();
    let expected = Ending::new("200", order_of(order));
    rows.row("Connect: JSON", expected, connect(stage, token, request.clone())).await;

    let expected = Ending::new("401", "unauthenticated");
    rows.row("Connect: no token", expected, connect(stage, None, request)).await;

    let expected = Ending::new("400", "invalid_argument");
    let malformed = connect(stage, token, "{".to_owned());
    rows.row("Connect: malformed JSON", expected, malformed).await;

    let expected = Ending::ok(short(&format!("{TRUST_DOMAIN}/client")));
    rows.row("mTLS", expected, mutual(stage, certs::CLIENT, certs::CLIENT_KEY)).await;

    let expected = Ending::grpc(Code::PermissionDenied, "ACCESS_DENIED");
    let other = mutual(stage, certs::SERVER, certs::SERVER_KEY);
    rows.row("mTLS, wrong certificate", expected, other).await;
}

fn order_of(id: &str) -> String {
    format!("order {}…", id.get(..8).unwrap_or(id))
}

/// Posts JSON as `curl` does. The ending is the HTTP status, and the id of the order or the code.
async fn connect(stage: &Stage<'_>, token: Option<&str>, body: String) -> Result<Ending, String> {
    let address = &stage.server.address;
    let mut request = Request::post("/orders.v1.OrderService/GetOrder")
        .header("host", address)
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(body).map_err(|error| error.to_string())?;
    let (status, body) = http::send(address, request).await?;
    let json: Value =
        serde_json::from_str(&body).map_err(|error| format!("not JSON: {error}: {body}"))?;
    let detail = match (&json["id"], &json["code"]) {
        (Value::String(id), _) => order_of(id),
        (_, Value::String(code)) => code.clone(),
        _ => body,
    };
    Ok(Ending::new(status.as_str(), detail))
}

/// Calls with this client certificate. The detail is the name that the server has seen in it.
async fn mutual(stage: &Stage<'_>, certificate: &str, key: &str) -> Result<Ending, String> {
    let url = format!("https://{}", stage.tls.address);
    let [ca, certificate, key] =
        [certs::CA, certificate, key].map(|name| stage.files.folder.file(name));
    let tls = ["--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key];
    let call = ["--to", &url, "--dev-key", &stage.files.key, "list-orders"];
    let called = stage.call_at(&[&call[..], &tls].concat()).await?;
    if called.code != Code::Ok {
        return Ok(called.ending());
    }
    let lines = stage.log.calls(&called.trace_id, TLS_SERVER, 1).await?;
    let caller = lines.iter().map(|line| line.text("mtls.caller")).find(|name| !name.is_empty());
    Ok(Ending::ok(caller.map_or("no name in the log", short)))
}

/// A SPIFFE ID without its scheme.
fn short(id: &str) -> &str {
    id.strip_prefix("spiffe://").unwrap_or(id)
}
