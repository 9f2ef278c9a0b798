//! A line of the layer's own is the same as its event, whatever text callers and services choose.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Request};
use proptest::prelude::*;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic_call::{CallInfo, FieldValue, Refusal, Side, TraceIds};
use tonic_call_test_kit::{Script, run, to};
use tower::{Layer as _, service_fn};

use crate::lines_common::{both, listen, take_only};

fn field_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        "(?s).{0,40}".prop_map(FieldValue::from),
        any::<i64>().prop_map(FieldValue::from),
        any::<u64>().prop_map(FieldValue::from),
        any::<f64>().prop_map(FieldValue::from),
        any::<bool>().prop_map(FieldValue::from),
    ]
}

/// Bytes that HTTP allows in a header.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("allowed", |byte| *byte >= 32 && *byte != 127);
    prop_oneof![
        proptest::collection::vec(byte.clone(), 0..40),
        (byte, 0..3_000_usize).prop_map(|(byte, times)| vec![byte; times]),
    ]
}

#[derive(Clone, Debug)]
struct Hostile {
    side: Side,
    code: i32,
    headers: [Vec<u8>; 4],
    timeout: u32,
    message: String,
    principal: String,
    reason: String,
    fields: Vec<(String, FieldValue)>,
    ip: IpAddr,
    trace: Option<(u128, u64)>,
}

fn hostile() -> impl Strategy<Value = Hostile> {
    let text = || "(?s).{0,60}";
    let key = prop_oneof![Just("declared".to_owned()), Just("other".to_owned()), "(?s).{0,12}"];
    let fields = proptest::collection::vec((key, field_value()), 0..6);
    (
        (prop_oneof![Just(Side::Server), Just(Side::Client)], 0..17, any::<[u32; 2]>()),
        [header(), header(), header(), header()],
        (text(), text(), text()),
        (fields, any::<IpAddr>(), any::<Option<(u128, u64)>>()),
    )
        .prop_map(|((side, code, [timeout, _]), headers, texts, (fields, ip, trace))| {
            Hostile {
                side,
                code,
                headers,
                timeout: timeout % 100_000_000,
                message: texts.0,
                principal: texts.1,
                reason: texts.2,
                fields,
                ip,
                trace,
            }
        })
}

/// Makes a call of which everything is what someone else chose.
async fn call(hostile: &Hostile) {
    let layer = both(hostile.side)
        .request_metadata(["x-tenant"])
        .response_metadata(["x-cost"])
        .fields(["declared"])
        .unwrap();
    let names = ["user-agent", "x-request-id", "x-tenant"];
    let mut request = to("/a.B/C");
    for (name, value) in names.into_iter().zip(&hostile.headers) {
        request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
    }
    let timeout = HeaderValue::try_from(format!("{}m", hostile.timeout)).unwrap();
    request.headers_mut().insert("grpc-timeout", timeout);
    if hostile.side == Side::Server {
        let remote_addr = Some(SocketAddr::from((hostile.ip, 1)));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    }
    let said = hostile.clone();
    let service = service_fn(move |request: Request<Body>| {
        let Hostile { code, headers, message, principal, reason, fields, trace, .. } = said.clone();
        async move {
            let info = CallInfo::of(request.extensions()).unwrap();
            info.set_principal(principal);
            if code > 2 {
                info.add_refusal(Refusal::new("auth", reason));
            }
            for (key, value) in fields {
                info.add_field(key, value);
            }
            if let Some(ids) = trace.and_then(|(trace, span)| TraceIds::new(trace, span)) {
                info.set_trace(ids);
            }
            let encoded: String = message.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.into());
            trailers.insert("grpc-message", HeaderValue::try_from(encoded).unwrap());
            trailers.insert("x-cost", HeaderValue::from_bytes(&headers[3]).unwrap());
            Ok::<_, Status>(Script::new().messages(1).trailers_of(trailers).respond())
        }
    });
    run(layer.layer(service), request).await;
}

proptest! {
    #[test]
    fn any_text_of_callers_and_services(hostile in hostile()) {
        listen();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(call(&hostile));
        let line = take_only();
        prop_assert_eq!(&line["message"], "finished call");
    }
}
