/// Makes one layer of several that watch calls, which is faster than a layer each: they share one pass over each
/// call. Evaluates to `Result<`[`ObserveLayer`](crate::ObserveLayer)`, `[`PassError`](crate::PassError)`>`.
///
/// ```
/// # use tonic_call_test_kit::{Orders, Recorder, orders::{self, order_service_server::OrderServiceServer}};
/// # fn place(first: Recorder, second: Recorder, is_on: bool) -> Result<(), Box<dyn std::error::Error>> {
/// use tonic::transport::Server;
/// use tonic_call::{Methods, ObserveLayer, observe};
///
/// let methods = Methods::from_descriptor_set(orders::FILE_DESCRIPTOR_SET)?;
/// let first = ObserveLayer::server(first).methods(&methods);
/// let second = is_on.then(|| ObserveLayer::server(second));
/// let server = Server::builder()
///     .layer(observe![first, second]?)
///     .add_service(OrderServiceServer::new(Orders::default()));
/// # Ok(())
/// # }
/// ```
///
/// It takes layers that implement [`Observing`](crate::Observing), the outermost first: `TracingLayer`, `MetricsLayer`,
/// `LoggingLayer`, [`ObserveLayer`](crate::ObserveLayer) around an observer of your own, and `Option`s of these. Each
/// watches as it would in a `.layer(…)` of its own, in the same order. What differs:
///
/// | of the layers | in one pass |
/// |---|---|
/// | side | must be the same |
/// | known methods | all use the first descriptor set that one of them has; different sets are an error |
/// | server timeout | all use that of the one that has it; different ones are an error |
/// | time | all begin and end a call at the same time |
///
/// A tuple of layers, without `observe!`, is a layer too, but one that watches each call once per layer.
#[macro_export]
macro_rules! observe {
    (@pairs $layer:expr) => { $crate::observing($layer) };
    (@pairs $layer:expr, $($inner:expr),+) => {
        ($crate::observing($layer), $crate::observe!(@pairs $($inner),+))
    };
    ($($layer:expr),+ $(,)?) => {
        $crate::ObserveLayer::one_pass($crate::observe!(@pairs $($layer),+))
    };
}

/// Lets the compiler point at the argument of `observe!` that is not a layer of this kind.
#[doc(hidden)]
pub fn observing<L: crate::Observing>(layer: L) -> L {
    layer
}
