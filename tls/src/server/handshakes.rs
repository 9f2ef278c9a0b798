//! The handshakes under way, each in a task of its own, and a bound on their number.
//!
//! A handshake that waits for its client costs nothing but memory, so there is room for many. When there is none
//! left, the oldest one gives way, unless it is young: with thousands of clients that reconnect at once, handshakes
//! wait for the processor, and evicting those would let none finish.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::config::ServerReloader;
use super::handshake::{Failures, HandshakeError, HandshakeFailure, accept};

/// How long a handshake is never evicted.
const YOUNG: Duration = Duration::from_secs(2);

pub(super) struct Handshakes<IO> {
    tasks: JoinSet<Ended<IO>>,
    /// In the order of their beginning. Those that have ended are removed when they are the oldest.
    oldest: VecDeque<UnderWay>,
    /// Evicted, but the task has not ended yet.
    evicted: usize,
    /// Until the oldest one is not young any more.
    room: Option<Pin<Box<Sleep>>>,
}

struct UnderWay {
    since: Instant,
    /// Closed when the handshake has ended.
    evict: oneshot::Sender<()>,
}

struct Ended<IO> {
    /// `None` if the handshake has failed.
    stream: Option<TlsStream<IO>>,
    evicted: bool,
}

impl<IO: 'static> Handshakes<IO> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), oldest: VecDeque::new(), evicted: 0, room: None }
    }

    /// A connection whose handshake has succeeded; `None` if no handshake is under way.
    pub(super) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Option<TlsStream<IO>>> {
        loop {
            match ready!(self.tasks.poll_join_next(cx)) {
                Some(Ok(ended)) => {
                    self.evicted -= usize::from(ended.evicted);
                    if ended.stream.is_some() {
                        return Poll::Ready(ended.stream);
                    }
                }
                // It has panicked.
                Some(Err(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// Whether one more handshake may begin. Evicts the oldest one if it must and may.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<()> {
        while self.tasks.len().saturating_sub(self.evicted) >= max {
            self.forget_ended();
            // The tasks that have ended are joined first.
            let Some(oldest) = self.oldest.front() else { return Poll::Pending };
            let until = oldest.since + YOUNG;
            if Instant::now() < until {
                let room = self.room.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if room.deadline() != until {
                    room.as_mut().reset(until);
                }
                ready!(room.as_mut().poll(cx));
            }
            if let Some(oldest) = self.oldest.pop_front()
                && oldest.evict.send(()).is_ok()
            {
                self.evicted += 1;
            }
        }
        Poll::Ready(())
    }

    fn forget_ended(&mut self) {
        while self.oldest.front().is_some_and(|oldest| oldest.evict.is_closed()) {
            self.oldest.pop_front();
        }
    }
}

impl<IO> Handshakes<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(super) fn begin(
        &mut self,
        io: IO,
        peer: Option<SocketAddr>,
        (tls, limit): (&Arc<ServerReloader>, Duration),
        failures: &Failures,
    ) {
        self.forget_ended();
        let (evict, evicted) = oneshot::channel();
        let (tls, failures) = (Arc::clone(tls), failures.clone());
        self.oldest.push_back(UnderWay { since: Instant::now(), evict });
        self.tasks.spawn(async move {
            let mut evicted = evicted;
            let result = tokio::select! {
                result = accept(&tls, io, limit) => result,
                Ok(()) = &mut evicted => Err(HandshakeError::new(HandshakeFailure::Evicted)),
            };
            // After this, eviction fails. It may have come just before: then a good connection stays.
            evicted.close();
            let was_evicted = evicted.try_recv().is_ok();
            match result {
                Ok(stream) => Ended { stream: Some(stream), evicted: was_evicted },
                Err(error) => {
                    let evicted = was_evicted || error.failure() == HandshakeFailure::Evicted;
                    failures.report(peer, error);
                    Ended { stream: None, evicted }
                }
            }
        });
    }
}
