use tracing_subscriber::EnvFilter;

/// Who listens to the events of `tracing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nobody does.
    Nobody,
    /// Whoever writes what is `INFO` or louder as JSON, to where nothing takes it.
    Json,
}

impl Listener {
    /// Both, in the order in which one process can have them: who listens once, listens to its end.
    pub const ALL: [Self; 2] = [Self::Nobody, Self::Json];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "no subscriber",
            Self::Json => "JSON to a sink",
        }
    }

    /// Lets it listen, from now on.
    ///
    /// # Panics
    ///
    /// If JSON is asked for twice.
    pub fn listen(self) {
        match self {
            Self::Nobody => assert!(!tracing::dispatcher::has_been_set(), "somebody listens"),
            Self::Json => tracing_subscriber::fmt()
                .json()
                .flatten_event(true)
                .with_env_filter(EnvFilter::new("info"))
                .with_writer(std::io::sink)
                .init(),
        }
    }
}
