//! A server that sends exactly the HTTP/2 frames that a test asks for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tonic::Code;
use tonic::transport::Endpoint;

use crate::script::frame_of;

/// What a [`FrameServer`] has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The number of the connection, from zero.
    pub connection: usize,
    /// The number of requests so far on all connections, this one included; zero when a connection begins.
    pub request: usize,
    /// What it is.
    pub event: Event,
}

/// An event of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted. Nothing has been sent, not even SETTINGS.
    Accepted,
    /// SETTINGS were exchanged.
    Opened,
    /// HEADERS of this stream.
    Head(u32),
    /// DATA of this stream, and whether it ends the request.
    Data(u32, bool),
    /// RST_STREAM of this stream.
    Reset(u32),
}

/// What a [`FrameServer`] sends, or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response head without a status.
    Head(u32),
    /// A response that is nothing but a head with this status and these headers.
    TrailersOnly(u32, Code, Vec<(&'static str, String)>),
    /// One message.
    Message(u32, &'static [u8]),
    /// Trailers with this status.
    Trailers(u32, Code),
    /// RST_STREAM with this error code.
    Reset(u32, u32),
    /// GOAWAY with this last stream and error code.
    GoAway(u32, u32),
    /// Closes the connection.
    Close,
}

/// A server on a loopback port that reacts to each event with frames. Dropping it closes its connections and its port.
#[derive(Debug)]
pub struct FrameServer {
    address: SocketAddr,
    task: AbortHandle,
}

impl FrameServer {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// If no port is free.
    pub async fn start<F>(react: F) -> Self
    where
        F: Fn(&Received) -> Vec<Reply> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new((react, AtomicUsize::new(0)));
        let accept = async move {
            // Aborted together with this task.
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // A connection that the client closes has ended, as one that a test closes.
                    let (react, requests) = &*shared;
                    let _ = Connection { stream, connection, requests, react }.run().await;
                });
            }
        };
        Self { address, task: tokio::spawn(accept).abort_handle() }
    }

    /// An endpoint that connects to it.
    ///
    /// # Panics
    ///
    /// Never: an address is a URI.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("an address is a URI")
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Connection<'a, F> {
    stream: TcpStream,
    connection: usize,
    requests: &'a AtomicUsize,
    react: &'a F,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl<F: Fn(&Received) -> Vec<Reply>> Connection<'_, F> {
    async fn run(mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        if self.on(Event::Accepted, 0).await?.is_closed() {
            return Ok(());
        }
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface).await?;
        self.write(SETTINGS, 0, 0, &[]).await?;
        let mut opened = false;
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload).await?;
            let stream = u32::from_be_bytes(stream);
            let end = flags & END_STREAM != 0;
            let event = match kind {
                SETTINGS if flags & ACK == 0 => {
                    self.write(SETTINGS, ACK, 0, &[]).await?;
                    if std::mem::replace(&mut opened, true) {
                        continue;
                    }
                    Event::Opened
                }
                PING if flags & ACK == 0 => {
                    self.write(PING, ACK, 0, &payload).await?;
                    continue;
                }
                HEADERS => Event::Head(stream),
                DATA => Event::Data(stream, end),
                RST_STREAM => Event::Reset(stream),
                _ => continue,
            };
            let more = usize::from(kind == HEADERS);
            let request = self.requests.fetch_add(more, Ordering::SeqCst) + more;
            if self.on(event, request).await?.is_closed() {
                return Ok(());
            }
        }
    }

    /// Sends what the test wants to be sent after this event.
    async fn on(&mut self, event: Event, request: usize) -> std::io::Result<State> {
        let received = Received { connection: self.connection, request, event };
        for reply in (self.react)(&received) {
            match reply {
                Reply::Head(stream) => {
                    self.write(HEADERS, END_HEADERS, stream, &headers(Some(200), &[])).await?;
                }
                Reply::TrailersOnly(stream, code, more) => {
                    let mut all = vec![("grpc-status", (code as i32).to_string())];
                    all.extend(more);
                    let block = headers(Some(200), &all);
                    self.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await?;
                }
                Reply::Message(stream, message) => {
                    self.write(DATA, 0, stream, &frame_of(message)).await?;
                }
                Reply::Trailers(stream, code) => {
                    let block = headers(None, &[("grpc-status", (code as i32).to_string())]);
                    self.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await?;
                }
                Reply::Reset(stream, reason) => {
                    self.write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await?;
                }
                Reply::GoAway(last, reason) => {
                    let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
                    self.write(GOAWAY, 0, 0, &payload).await?;
                }
                Reply::Close => return Ok(State::Closed),
            }
        }
        Ok(State::Open)
    }

    async fn write(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> std::io::Result<()> {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        let mut frame = length.to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await
    }
}

#[derive(PartialEq)]
enum State {
    Open,
    Closed,
}

impl State {
    fn is_closed(&self) -> bool {
        *self == Self::Closed
    }
}

/// A block of headers, each written out (RFC 7541, "Literal Header Field without Indexing").
fn headers(http: Option<u16>, more: &[(&str, String)]) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(http) = http {
        all.push((":status", http.to_string()));
        all.push(("content-type", "application/grpc".to_owned()));
    }
    all.extend(more.iter().cloned());
    let mut block = Vec::new();
    for (name, value) in all {
        block.push(0);
        for text in [name, &value] {
            // The length of a longer text needs another form.
            assert!(text.len() < 127, "a short header");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}
