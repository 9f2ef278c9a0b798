use std::sync::Arc;

use buffa::Message as _;
use connectrpc::{
    ConnectRpcService, Encodable, InboundStream, RequestContext, Response, Router, ServiceRequest,
    ServiceResult, ServiceStream,
};
use futures_util::{StreamExt as _, stream};
use prost::Message as _;

use self::generated::shop::v1::{Order, Shop, Small};
use super::{MESSAGES, shop};

#[allow(
    missing_docs,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/connectrpc/all.rs"));
}

/// The same service as that of tonic, for `connectrpc`. It decodes its requests as tonic does.
struct AtOnce {
    order: Order,
}

pub(crate) fn service() -> ConnectRpcService<Router> {
    let order = Order::decode_from_slice(&shop::order().encode_to_vec()).expect("an order");
    ConnectRpcService::new(Router::new().add_service(Arc::new(AtOnce { order })))
}

#[allow(refining_impl_trait)]
impl Shop for AtOnce {
    async fn ping(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, Small>,
    ) -> ServiceResult<impl Encodable<Small> + Send + use<>> {
        Response::ok(request.to_owned_message())
    }

    async fn peek(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, Small>,
    ) -> ServiceResult<impl Encodable<Small> + Send + use<>> {
        Response::ok(request.to_owned_message())
    }

    async fn put(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, Order>,
    ) -> ServiceResult<impl Encodable<Order> + Send + use<>> {
        Response::ok(request.to_owned_message())
    }

    async fn watch(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, Small>,
    ) -> ServiceResult<ServiceStream<impl Encodable<Small> + Send + use<>>> {
        let message =
            |number| Small { number, text: "twelve bytes".to_owned(), ..Small::default() };
        Response::stream_ok(stream::iter((0..MESSAGES).map(move |number| Ok(message(number)))))
    }

    async fn follow(
        &self,
        _: RequestContext,
        _: ServiceRequest<'_, Small>,
    ) -> ServiceResult<ServiceStream<impl Encodable<Order> + Send + use<>>> {
        let order = self.order.clone();
        Response::stream_ok(stream::iter((0..MESSAGES).map(move |_| Ok(order.clone()))))
    }

    async fn chat(
        &self,
        _: RequestContext,
        requests: InboundStream<Small>,
    ) -> ServiceResult<ServiceStream<impl Encodable<Small> + Send + use<>>> {
        let owned = requests.map(|message| message.map(|message| message.to_owned_message()));
        Response::stream_ok(owned)
    }
}
