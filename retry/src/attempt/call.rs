use std::future::poll_fn;
use std::sync::Arc;

use http::{Request, Response, request};
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic_call::{
    CallInfo, EndedBy, GrpcService, MessageLimit, MethodConfig, Replay, Rpc, WaitForReady,
    as_error, lost_connection,
};

use super::head::Head;
use super::outcome::{Failure, Outcome};
use super::plan::{Again, Plan, Shared};
use super::report::Report;
use super::timer::{Interruption, Timer};
use crate::hook::{AttemptKind, AttemptOutcome, Final};
use crate::response::{ResponseBody, Watch};
use crate::settings::Settings;

/// A call, which is sent in one or more attempts.
pub(crate) struct Call {
    head: Head,
    /// Dropped with the call, which ends the body that an attempt reads.
    replay: Replay,
    plan: Plan,
    watch: Watch,
    report: Report,
    settings: Arc<Settings>,
}

type Answer<B> = Response<ResponseBody<B>>;

impl Call {
    pub(crate) fn new(parts: request::Parts, body: Body, settings: Arc<Settings>) -> Self {
        let rpc = Rpc::from_head(&parts);
        let config = settings.config.method(&rpc);
        let policy = config.and_then(MethodConfig::retry_policy).cloned();
        let by_caller = WaitForReady::of(&parts.extensions).map(|WaitForReady(waits)| waits);
        let waits = by_caller.or_else(|| config?.wait_for_ready()).unwrap_or(false);
        let limit = |bytes: Option<u64>| bytes.map(MessageLimit::new);
        let request_limit = limit(config.and_then(MethodConfig::max_request_message_bytes));
        let watch = Watch {
            throttle: settings.throttle.clone().map(|throttle| (throttle, policy.clone())),
            limit: limit(config.and_then(MethodConfig::max_response_message_bytes)),
            request: None,
        };
        Self {
            head: Head::new(parts),
            replay: Replay::new(body, request_limit, settings.call_bytes, settings.budget.clone()),
            plan: Plan::new(policy, settings.max_attempts, waits),
            watch,
            report: Report::new(settings.hook.clone(), rpc),
            settings,
        }
    }

    /// Makes attempts until one is answered, or there is to be no other.
    pub(crate) async fn run<S>(
        mut self,
        mut channel: S,
    ) -> Result<Answer<S::ResponseBody>, S::Error>
    where
        S: GrpcService,
        S::Error: 'static,
    {
        let mut timer = Timer::new(self.head.deadline);
        let mut kind = AttemptKind::First;
        loop {
            self.report.begin(kind);
            let info = self.head.new_attempt();
            let request = || {
                let body = Body::new(self.replay.attempt());
                self.head.request(info.clone(), self.plan.retries, body)
            };
            let result = match timer.within(&self.replay, send(&mut channel, request)).await {
                Ok(result) => result,
                Err(interruption) => return Ok(self.interrupted(interruption)),
            };
            let failure = match Outcome::of(&result) {
                Outcome::Failed(failure) => failure,
                Outcome::Answered => return result.map(|response| self.answered(response, &info)),
                Outcome::Expired => return Ok(self.interrupted(Interruption::Expired)),
            };
            let again = match self.next(failure) {
                Ok(again) => again,
                Err(reason) => {
                    self.report.end(AttemptOutcome::Failed(failure.code, reason));
                    self.settle_on(&info);
                    return match result {
                        Ok(response) => Ok(response.map(|body| ResponseBody::new(body, None))),
                        Err(error) => self.failed(error),
                    };
                }
            };
            self.report.end(AttemptOutcome::Retried(failure.code));
            // The attempt is over before the wait.
            drop(result);
            if let Err(interruption) = self.wait(again, &mut timer).await {
                return Ok(self.interrupted(interruption));
            }
            kind = again.kind;
        }
    }

    fn next(&mut self, failure: Failure) -> Result<Again, Final> {
        // First, so that a task that still reads its request cannot change what is kept of it.
        let is_replayable = self.replay.end_attempt();
        if self.replay.has_failed() {
            return Err(Final::RequestFailed);
        }
        let random = &*self.settings.random;
        let shared = Shared { throttle: self.settings.throttle.as_deref(), random: &|| random() };
        let again = self.plan.next(failure, is_replayable, &shared)?;
        match self.head.deadline {
            None if again.waits && !again.after.is_zero() => self.settings.warn_of_endless_wait(),
            Some(deadline) if !again.waits && again.after >= deadline.remaining() => {
                return Err(Final::DeadlineTooClose);
            }
            _ => {}
        }
        Ok(again)
    }

    async fn wait(&mut self, again: Again, timer: &mut Timer) -> Result<(), Interruption> {
        if again.after.is_zero() {
            return Ok(());
        }
        let began = Instant::now();
        let result = timer.within(&self.replay, sleep(again.after)).await;
        self.report.waited(began.elapsed());
        result
    }

    /// The caller gets the response of this attempt.
    fn answered<B>(mut self, response: Response<B>, info: &CallInfo) -> Answer<B>
    where
        B: http_body::Body,
    {
        self.report.end(AttemptOutcome::Answered);
        self.settle_on(info);
        let request = self.replay.answered();
        let mut watch = self.watch;
        if response.body().is_end_stream() {
            // Its status is in its head.
            watch.ended_with(response.headers());
            return response.map(|body| ResponseBody::new(body, None));
        }
        watch.request = request.has_limit().then_some(request);
        response.map(|body| ResponseBody::new(body, Some(watch)))
    }

    /// The caller gets the error of the last attempt. tonic reads a lost connection as `UNKNOWN`, and the policy has
    /// read it as `UNAVAILABLE`: so does the caller, as of every other gRPC client.
    fn failed<B, E: 'static>(&self, error: E) -> Result<Answer<B>, E> {
        let Some(status) = as_error(&error).and_then(lost_connection) else { return Err(error) };
        if let Some(info) = &self.head.info {
            info.set_ended_by(EndedBy::Transport);
        }
        Ok(status.into_http())
    }

    /// The call ends while no attempt is answered.
    fn interrupted<B>(&mut self, interruption: Interruption) -> Answer<B> {
        let text = match interruption {
            Interruption::TooLong(status) => {
                let outcome = AttemptOutcome::Failed(status.code(), Final::RequestFailed);
                self.report.end(outcome);
                return status.into_http();
            }
            Interruption::Deadline => self.plan.deadline_text(),
            Interruption::Expired => "the channel's own timeout has passed",
        };
        if let Some(info) = &self.head.info {
            info.set_ended_by(EndedBy::Deadline);
        }
        Status::deadline_exceeded(text).into_http()
    }

    /// What layers inside record of this attempt is recorded of the call.
    fn settle_on(&self, attempt: &CallInfo) {
        if let Some(info) = &self.head.info {
            info.set_attempt(attempt);
        }
    }
}

/// Sends a request when the channel is ready. The one that is polled is the one that is called.
async fn send<S: GrpcService>(
    channel: &mut S,
    request: impl FnOnce() -> Request<Body>,
) -> Result<Response<S::ResponseBody>, S::Error> {
    poll_fn(|cx| channel.poll_grpc_ready(cx)).await?;
    channel.call_grpc(request()).await
}
