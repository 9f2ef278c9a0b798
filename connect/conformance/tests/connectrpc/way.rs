//! The ways of a call over Connect: codec, version of HTTP, compression.

use connectrpc::client::ClientConfig;
use connectrpc::{CodecFormat, CompressionPolicy, CompressionRegistry};
use http::{HeaderMap, Method, Version};

use crate::answer::Answer;
use crate::call::Call;
use crate::connect::Client;
use crate::server::Server;
use crate::transport::Exchange;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) format: CodecFormat,
    pub(crate) version: Version,
    /// Of requests and of responses.
    pub(crate) gzip: bool,
}

impl Way {
    pub(crate) const BINARY: Self =
        Self { format: CodecFormat::Proto, version: Version::HTTP_2, gzip: false };
    pub(crate) const JSON: Self =
        Self { format: CodecFormat::Json, version: Version::HTTP_11, gzip: false };

    /// Every way that this call can go.
    pub(crate) fn all(call: &Call) -> Vec<Self> {
        let mut ways = Vec::new();
        for format in [CodecFormat::Proto, CodecFormat::Json] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                // Both directions at the same time need HTTP/2.
                if version == Version::HTTP_2 || !matches!(call, Call::Bidi(_)) {
                    ways.extend([false, true].map(|gzip| Self { format, version, gzip }));
                }
            }
        }
        ways
    }

    pub(crate) fn config(self, server: &Server) -> ClientConfig {
        let config = ClientConfig::new(server.uri.clone()).with_codec_format(self.format);
        if self.gzip {
            let small_too = CompressionPolicy::default().with_min_size(0);
            config
                .with_compression(CompressionRegistry::default())
                .compress_requests("gzip")
                .with_compression_policy(small_too)
        } else {
            config.with_compression(CompressionRegistry::new())
        }
    }

    /// Makes the call in this way, and checks that it went so.
    pub(crate) async fn answer(self, server: &Server, call: &Call) -> Answer {
        let client = Client::new(server, self);
        let answer = client.answer(call).await;
        self.check(&client.transport.last(), call, answer.failure.is_some());
        answer
    }

    fn check(self, exchange: &Exchange, call: &Call, is_failure: bool) {
        let Exchange { method, uri, request, version, response } = exchange;
        assert_eq!(*version, self.version);
        let codec = if self.format == CodecFormat::Json { "json" } else { "proto" };
        let is_stream = call.has_many_responses() || matches!(call, Call::ClientStream(_));
        let (prefix, encoding) = if is_stream {
            ("connect+", "connect-content-encoding")
        } else {
            ("", "content-encoding")
        };
        let (media, gzip) =
            (format!("application/{prefix}{codec}"), if self.gzip { "gzip" } else { "" });
        if matches!(call, Call::Idempotent(_)) {
            let query = uri.query().unwrap();
            assert_eq!(*method, Method::GET);
            assert!(query.contains(&format!("encoding={codec}")), "{query}");
            assert_eq!(query.contains("compression=gzip"), self.gzip, "{query}");
        } else {
            assert_eq!(*method, Method::POST);
            assert_eq!(header(request, "content-type"), media);
            assert_eq!(header(request, encoding), gzip);
        }
        if is_stream || !is_failure {
            assert_eq!(header(response, "content-type"), media);
            assert_eq!(header(response, encoding), gzip);
        } else {
            assert_eq!(header(response, "content-type"), "application/json");
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}
