use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project::pin_project;

use super::OptionBody;

/// The future of an [`OptionService`](super::OptionService).
#[derive(Debug)]
#[pin_project(project = Projected)]
pub enum OptionFuture<On, Off> {
    /// The future with the layer.
    On(#[pin] On),
    /// The future without the layer.
    Off(#[pin] Off),
}

impl<On, Off, A, B, E> Future for OptionFuture<On, Off>
where
    On: Future<Output = Result<Response<A>, E>>,
    Off: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<OptionBody<A, B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::On(on) => on.poll(cx).map_ok(|response| response.map(OptionBody::on)),
            Projected::Off(off) => off.poll(cx).map_ok(|response| response.map(OptionBody::off)),
        }
    }
}
