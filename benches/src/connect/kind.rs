/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A unary call with messages of some 10 bytes.
    Small,
    /// The same by `GET`.
    Get,
    /// A unary call with an order of twelve fields and five items in both directions.
    Order,
    /// The same, and both messages are compressed with gzip.
    Gzip,
    /// 100 small messages from the server.
    Stream,
    /// 100 orders from the server.
    Orders,
    /// 100 small messages in each direction, each in a frame of its own.
    Bidi,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Small, Self::Get, Self::Order, Self::Gzip, Self::Stream, Self::Orders, Self::Bidi];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "unary, small",
            Self::Get => "GET, small",
            Self::Order => "unary, order",
            Self::Gzip => "unary, order, gzip",
            Self::Stream => "stream of 100 small",
            Self::Orders => "stream of 100 orders",
            Self::Bidi => "bidi, 100 small",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small => "/shop.v1.Shop/Ping",
            Self::Get => "/shop.v1.Shop/Peek",
            Self::Order | Self::Gzip => "/shop.v1.Shop/Put",
            Self::Stream => "/shop.v1.Shop/Watch",
            Self::Orders => "/shop.v1.Shop/Follow",
            Self::Bidi => "/shop.v1.Shop/Chat",
        }
    }

    /// Whether the answer is a stream.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Orders | Self::Bidi)
    }

    /// Whether it is called with an order; otherwise with a small message.
    pub(crate) fn sends_order(self) -> bool {
        matches!(self, Self::Order | Self::Gzip)
    }
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// gRPC.
    Grpc,
    /// Connect with protobuf.
    Proto,
    /// Connect with JSON.
    Json,
}

impl Format {
    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "gRPC",
            Self::Proto => "Connect, protobuf",
            Self::Json => "Connect, JSON",
        }
    }
}
