//! Ends streams whose credentials expire.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tonic_call::{CallInfo, Cut, Refusal, Rpc};

use super::decision::{Decision, Verdict};
use super::evaluate::{explain, explanation};
use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::settings::{LAYER, Settings};

/// A call whose credentials will expire.
pub(crate) struct Expiring {
    pub(crate) identity: Identity,
    pub(crate) rpc: Rpc,
    pub(crate) info: Option<CallInfo>,
    /// `None` in shadow mode.
    pub(crate) cut: Option<Cut>,
}

/// The timer of a running call.
#[derive(Debug)]
pub(crate) struct Timer(AbortHandle);

/// The system's clock can be changed, so it is read again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

impl Timer {
    /// Waits in a separate task, because the body of a caller who reads nothing is not polled.
    pub(crate) fn start(settings: Arc<Settings>, call: Expiring) -> Option<Self> {
        let at = call.identity.expires_at()?;
        let wait = async move {
            while let Ok(left) = at.duration_since(settings.clock.now())
                && !left.is_zero()
            {
                // A timer fires up to a millisecond late, never early.
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            }
            settings.expire(&call);
        };
        Some(Self(tokio::spawn(wait).abort_handle()))
    }
}

impl Settings {
    /// Ends a running call whose credentials have expired. In shadow mode, it is only reported.
    fn expire(&self, call: &Expiring) {
        let failure = Failure::new(Reason::TokenExpired, "expiry");
        let reason = failure.reason().as_str();
        let ended = match (&call.cut, &call.info) {
            (Some(cut), _) => {
                let status = self.answers.status(&failure, None);
                cut.refuse_with(&Refusal::new(LAYER, reason), explanation(&failure), status)
            }
            (None, Some(info)) => {
                explain(&failure, info);
                info.add_refusal(Refusal::shadow(LAYER, reason));
                true
            }
            (None, None) => true,
        };
        // Otherwise the call was over before.
        if ended {
            self.tell(&Decision {
                verdict: Verdict::Ended,
                shadow: self.shadow,
                cached: false,
                rpc: &call.rpc,
                identity: Some(&call.identity),
                failure: Some(&failure),
                extensions: None,
            });
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
