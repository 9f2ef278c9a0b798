/// Tests that a layer compiles and works in every usual position.
///
/// `server` and `client` create the layer; `channel` is the type of a `Channel` with the layer around it. The
/// test's crate needs `axum`, `tokio` with `macros` and `rt`, `tonic` with `router` and `transport`, `tonic-call`,
/// and `tower` with `util`.
#[macro_export]
macro_rules! fits {
    (server: $server:expr, client: $client:expr, channel: $channel:ty $(,)?) => {
        use ::tonic::service::LayerExt as _;
        use $crate::v1::Ask;
        use $crate::v1::kinds_client::KindsClient;
        use $crate::v1::kinds_server::KindsServer;

        fn channel() -> ::tonic::transport::Channel {
            ::tonic::transport::Endpoint::from_static("http://localhost:1").connect_lazy()
        }

        fn service() -> KindsServer<$crate::KindsService> {
            KindsServer::new($crate::KindsService::default())
        }

        #[allow(clippy::unnecessary_wraps)]
        fn intercept(
            request: ::tonic::Request<()>,
        ) -> ::std::result::Result<::tonic::Request<()>, ::tonic::Status> {
            Ok(request)
        }

        #[tokio::test]
        async fn around_a_server() {
            let (incoming, _) = $crate::listen();
            let _serve = ::tonic::transport::Server::builder()
                .layer($server)
                .layer($server)
                .add_service(service())
                .serve_with_incoming(incoming);
        }

        #[test]
        fn around_one_service() {
            let _ =
                ::tonic::transport::Server::builder().add_service($server.named_layer(service()));
            let _ =
                ::tonic::service::Routes::new($server.named_layer($server.named_layer(service())));
        }

        #[tokio::test]
        async fn around_a_channel() {
            use ::tower::Layer as _;

            KindsClient::new($client.layer(channel())).unary(Ask::default()).await.unwrap_err();
            KindsClient::with_interceptor($client.layer(channel()), intercept)
                .unary(Ask::default())
                .await
                .unwrap_err();
        }

        #[tokio::test]
        async fn in_a_stack() {
            let stack = ::tower::ServiceBuilder::new().layer($client).layer($client);
            KindsClient::with_interceptor(stack.service(channel()), intercept)
                .unary(Ask::default())
                .await
                .unwrap_err();
        }

        #[test]
        fn in_an_axum_router() {
            let routes = ::tonic::service::Routes::new(service());
            let router: ::axum::Router = routes.into_axum_router().layer($server).layer($server);
            let _ = ::axum::Router::new()
                .merge(router)
                .fallback_service($server.named_layer(service()));
        }

        /// A layered client has a nameable type.
        struct Billing {
            orders: KindsClient<::tonic_call::BoxChannel>,
            exactly: KindsClient<$channel>,
        }

        #[tokio::test]
        async fn in_a_struct() {
            use ::tower::Layer as _;

            let layered = ::tower::ServiceBuilder::new().layer($client).layer($client);
            let mut billing = Billing {
                orders: KindsClient::new(::tonic_call::BoxChannel::new(layered.service(channel()))),
                exactly: KindsClient::new($client.layer(channel())),
            };
            for status in [
                billing.orders.unary(Ask::default()).await.unwrap_err(),
                billing.exactly.unary(Ask::default()).await.unwrap_err(),
            ] {
                assert_eq!(status.code(), ::tonic::Code::Unavailable);
            }
        }
    };
}
