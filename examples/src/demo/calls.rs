//! Makes calls as `orders call` does, and returns how they ended.

use tokio::sync::mpsc::unbounded_channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::row::{Ending, count};
use super::stage::Stage;
use crate::call::{CallError, Connections, Line, Output};
use crate::cli::{CallArgs, Cli};

/// How a call ended.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) code: Code,
    /// The reason in the `ErrorInfo` of the status; empty if it has none.
    reason: String,
    /// The response messages, as JSON.
    pub(super) messages: Vec<String>,
    pub(super) trace_id: String,
}

impl Stage<'_> {
    /// Calls the main server as a developer, with this method and these flags.
    pub(super) async fn call(&self, method: &[&str]) -> Result<Called, String> {
        self.call_with(&["--dev-key", &self.files.key], method).await
    }

    /// Calls the main server with these credentials.
    pub(super) async fn call_with(
        &self,
        credentials: &[&str],
        method: &[&str],
    ) -> Result<Called, String> {
        let url = self.server.url();
        self.call_at(&[&["--to", &url], credentials, method].concat()).await
    }

    /// The same as `orders call` with these arguments.
    pub(super) async fn call_at(&self, arguments: &[&str]) -> Result<Called, String> {
        let args = parse(arguments)?;
        let connections = Connections::open(&args).map_err(|error| error.to_string())?;
        let (send, mut lines) = unbounded_channel();
        let called = async {
            let output = Output::Send(send);
            let caller = connections.caller(&args, Some(self.traces), output).await?;
            caller.call(args.method.clone()).await
        };
        let called = called.await;
        connections.close().await;
        let (code, reason) = match called {
            Ok(()) => (Code::Ok, String::new()),
            Err(CallError::Status(status) | CallError::StatusWithHint(status, _)) => {
                (status.code(), reason_of(&status))
            }
            Err(error) => return Err(error.to_string()),
        };
        let mut called = Called { code, reason, messages: Vec::new(), trace_id: String::new() };
        while let Ok(line) = lines.try_recv() {
            match line {
                Line::Message(json) => called.messages.push(json),
                Line::TraceId(id) => called.trace_id = id,
                Line::NextPageToken(_) => {}
            }
        }
        Ok(called)
    }
}

/// The flags of a call that reports its trace id, its metrics and its log lines.
pub(super) fn parse(arguments: &[&str]) -> Result<CallArgs, String> {
    Cli::parse_call(&[&["-v"], arguments].concat()).map_err(|error| error.to_string())
}

fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

impl Called {
    /// The code, and the number of messages or the reason.
    pub(super) fn ending(&self) -> Ending {
        let messages = count(self.messages.len(), "message");
        let detail = match (self.code, self.messages.len()) {
            (Code::Ok, _) => messages,
            (_, 0) => self.reason.clone(),
            _ => format!("after {messages}"),
        };
        Ending::grpc(self.code, detail)
    }

    /// A field of the only response.
    pub(super) fn field(&self, name: &str) -> Result<String, String> {
        let json = self.messages.first().ok_or("there is no response")?;
        let json: serde_json::Value =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        match &json[name] {
            serde_json::Value::String(text) => Ok(text.clone()),
            other => Err(format!("the field {name} of the response is {other}")),
        }
    }
}
