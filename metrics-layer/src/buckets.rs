//! Buckets of the histograms.

/// The buckets of `grpc_{server,client}_handling_seconds`, as upper bounds in seconds: those of Prometheus' Go
/// client, which go-grpc-prometheus uses, with finer buckets below and coarser ones above.
pub const HANDLING_SECONDS_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// The buckets of `rpc_{server,client}_call_duration_seconds`, as upper bounds in seconds: those that
/// OpenTelemetry's semantic conventions recommend for `rpc.server.call.duration` and
/// `rpc.client.call.duration`.
pub const CALL_DURATION_SECONDS_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The buckets of message sizes, as upper bounds in bytes: those of gRPC's own metrics (gRFC A66).
pub const MESSAGE_BYTES_BUCKETS: [f64; 14] = [
    0.0,
    1_024.0,
    2_048.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];
