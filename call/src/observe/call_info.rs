//! Facts about one call that its layers share.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::Extensions;
use tonic::Code;

use crate::answer::Deadline;
use crate::observe::{Cause, End, EndedBy, Refusal, Side};
use crate::show::{FieldValue, TraceIds, sanitize};

/// A slot in the request's extensions where the layers of one call share facts: an outer layer inserts it, and
/// inner layers fill it in. Independent layers have no other way to see each other.
///
/// Clones share one slot. A layer that sends one call several times (retries) gives each attempt
/// [its own slot](Self::new_attempt).
///
/// A handler gets it from its request, for example to add a field to the call's log line:
///
/// ```
/// # use tonic_call::CallInfo;
/// fn handle(request: &tonic::Request<()>) {
///     if let Some(info) = CallInfo::of(request.extensions()) {
///         info.add_field("order.total_cents", 4_200_i64);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct CallInfo {
    side: Side,
    slot: Arc<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Facts from the layers. Empty for most calls.
    facts: OnceLock<Box<Mutex<Facts>>>,
    /// The principal. Not among the facts, which most calls with a principal then do not need.
    principal: OnceLock<Arc<str>>,
    /// The caller's timeout, and its deadline. The outermost layer that sets it wins.
    deadline: OnceLock<(Duration, Option<Deadline>)>,
    /// When the server's own timeout expires. It limits the time until the response head.
    server_timeout: OnceLock<Option<Deadline>>,
    /// The call's trace and span.
    trace: OnceLock<TraceIds>,
    /// Why the call ended without an answer. Decided once, so that all layers see the same cause.
    drop_cause: OnceLock<Cause>,
    /// The attempt whose answer the caller gets, if the call is sent in attempts.
    attempt: OnceLock<CallInfo>,
}

#[derive(Default)]
struct Facts {
    /// The principal that replaces the first one.
    principal: Option<Arc<str>>,
    refusals: Vec<Refusal>,
    panic: Option<(Arc<str>, Option<Stack>)>,
    ended_by: Option<EndedBy>,
    fields: Vec<(Cow<'static, str>, FieldValue)>,
}

/// The stack of a panic. Formatted only on demand, because that is slow.
type Stack = Arc<dyn fmt::Display + Send + Sync>;

impl CallInfo {
    /// Creates an empty slot for a call on this side.
    pub fn new(side: Side) -> Self {
        Self { side, slot: Arc::default() }
    }

    /// The slot in these extensions, if a layer has inserted one.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The slot in these extensions. Inserts one if there is none for this side.
    ///
    /// A handler that forwards its request also forwards the extensions, with the slot of the server's call. On
    /// the client side that slot is replaced, because it belongs to another call.
    pub fn get_or_insert(side: Side, extensions: &mut Extensions) -> Self {
        match Self::of_side(side, extensions) {
            Some(info) => info.clone(),
            None => {
                let info = Self::new(side);
                extensions.insert(info.clone());
                info
            }
        }
    }

    /// Like [`of`](Self::of), but only if the slot is for this side.
    pub fn of_side(side: Side, extensions: &Extensions) -> Option<&Self> {
        Self::of(extensions).filter(|info| info.side == side)
    }

    /// Creates a slot for one attempt to make this call. It knows the trace of the call; the rest is its own.
    pub fn new_attempt(&self) -> Self {
        let attempt = Self::new(self.side);
        if let Some(trace) = self.trace() {
            attempt.set_trace(trace);
        }
        attempt
    }

    /// Sets the [attempt](Self::new_attempt) whose answer the caller gets: what layers record of it, before and after
    /// this, is then shown as recorded of the call. The first one set is used.
    pub fn set_attempt(&self, attempt: &Self) {
        self.slot.attempt.get_or_init(|| attempt.clone());
    }

    /// Sets the name of the authenticated caller. It is meant for logs and limit keys, never for labels.
    /// If it is set again, the last value is used.
    pub fn set_principal(&self, principal: impl Into<Arc<str>>) {
        if let Err(replaces) = self.slot.principal.set(principal.into()) {
            self.facts_mut().principal = Some(replaces);
        }
    }

    /// The name of the authenticated caller, if an authentication layer has set it.
    pub fn principal(&self) -> Option<Arc<str>> {
        let last = self.facts().and_then(|facts| facts.principal.clone());
        let own = last.or_else(|| self.slot.principal.get().cloned());
        own.or_else(|| self.slot.attempt.get()?.principal())
    }

    /// Records that a layer refuses the call, or would refuse it (shadow mode).
    pub fn add_refusal(&self, refusal: Refusal) {
        self.facts_mut().refusals.push(refusal);
    }

    /// All refusals so far, including shadow refusals, in order.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut all = self.facts().map(|facts| facts.refusals.clone()).unwrap_or_default();
        if let Some(attempt) = self.slot.attempt.get() {
            all.extend(attempt.refusals());
        }
        all
    }

    /// The first refusal that is not a shadow refusal, if any: the one that ended the call.
    pub fn refusal(&self) -> Option<Refusal> {
        let own = self.facts().and_then(|facts| facts.refusal().cloned());
        own.or_else(|| self.slot.attempt.get()?.refusal())
    }

    /// Records a recovered panic with its message, which is meant for the operator. The first one is kept. The
    /// message is [sanitized](sanitize): one bounded line.
    pub fn set_panic(&self, message: impl Into<Arc<str>>) {
        self.add_panic(message.into(), None);
    }

    /// Like [`set_panic`](Self::set_panic), with the stack of the panic.
    pub fn set_panic_with_stack(
        &self,
        message: impl Into<Arc<str>>,
        stack: Arc<dyn fmt::Display + Send + Sync>,
    ) {
        self.add_panic(message.into(), Some(stack));
    }

    fn add_panic(&self, message: Arc<str>, stack: Option<Stack>) {
        let message = match sanitize(&*message) {
            Cow::Borrowed(_) => message,
            Cow::Owned(shown) => shown.into(),
        };
        self.facts_mut().panic.get_or_insert((message, stack));
    }

    /// The message of the recovered panic, if there was one, even if it did not end the call.
    pub fn panic(&self) -> Option<Arc<str>> {
        let own = self.facts().and_then(|facts| Some(Arc::clone(&facts.panic.as_ref()?.0)));
        own.or_else(|| self.slot.attempt.get()?.panic())
    }

    /// The stack of that panic, if it was recorded.
    pub fn panic_stack(&self) -> Option<Arc<dyn fmt::Display + Send + Sync>> {
        match self.facts().and_then(|facts| facts.panic.clone()) {
            Some((_, stack)) => stack,
            None => self.slot.attempt.get()?.panic_stack(),
        }
    }

    /// Sets what ended the call, where its [`End`] does not show it: for a layer that answers instead of the
    /// service, or that ends the call from outside, as [`Cut`](crate::Cut) does. The last value set is used.
    pub fn set_ended_by(&self, by: EndedBy) {
        if by == EndedBy::Deadline {
            // Layers inside see the call dropped.
            self.slot.drop_cause.get_or_init(|| Cause::DeadlineExpired);
        }
        self.facts_mut().ended_by = Some(by);
    }

    /// Sets the trace and span of the call, so that its log line can be found from its trace. The first value
    /// set is used: that of the outermost layer.
    pub fn set_trace(&self, ids: TraceIds) {
        self.slot.trace.get_or_init(|| ids);
    }

    /// The trace and span of the call, if a tracing layer has set them.
    pub fn trace(&self) -> Option<TraceIds> {
        self.slot.trace.get().copied()
    }

    /// Adds a field to the call's log line. A field with the same key is replaced.
    pub fn add_field(&self, key: impl Into<Cow<'static, str>>, value: impl Into<FieldValue>) {
        let (key, value) = (key.into(), value.into());
        let fields = &mut self.facts_mut().fields;
        match fields.iter_mut().find(|(present, _)| *present == key) {
            Some(field) => field.1 = value,
            None => fields.push((key, value)),
        }
    }

    /// The added fields, in the order in which their keys were first added.
    pub fn fields(&self) -> Vec<(Cow<'static, str>, FieldValue)> {
        let mut all = self.facts().map(|facts| facts.fields.clone()).unwrap_or_default();
        if let Some(attempt) = self.slot.attempt.get() {
            let added = attempt.fields().into_iter();
            all.extend(added.filter(|(key, _)| !self.has_field(key)));
        }
        all
    }

    /// What ended the call, derived from its end and from what the inner layers recorded.
    ///
    /// What a layer recorded takes precedence, unless the call ended `OK`: then the result is
    /// [`EndedBy::Service`].
    pub fn ended_by(&self, end: &End<'_>) -> EndedBy {
        if let End::Status { code: Code::Ok, .. } = end {
            return EndedBy::Service;
        }
        self.recorded_end().unwrap_or_else(|| EndedBy::from(end))
    }

    /// The deadline of a caller that waits for this time from now; `None` if it is never reached. The first call
    /// counts it, so that all layers of a call use the same moment.
    ///
    /// Another timeout than in the first call means that something in between has changed the header: it counts from
    /// now.
    pub fn caller_deadline(&self, timeout: Duration) -> Option<Deadline> {
        let (first, deadline) =
            *self.slot.deadline.get_or_init(|| (timeout, Deadline::after(timeout)));
        if first == timeout { deadline } else { Deadline::after(timeout) }
    }

    /// Sets the server's own timeout for the response head. The first call wins.
    pub(crate) fn server_times_out_after(&self, timeout: Duration) {
        self.slot.server_timeout.get_or_init(|| Deadline::after(timeout));
    }

    /// The cause of an end without an answer. The first layer to ask decides it for all: each would read
    /// another time from the clock.
    pub(crate) fn drop_cause(&self, responded: bool) -> Cause {
        *self.slot.drop_cause.get_or_init(|| {
            let expired = |deadline: Option<Deadline>| {
                deadline.filter(|deadline| deadline.is_about_to_expire())
            };
            let callers = expired(self.slot.deadline.get().and_then(|(_, deadline)| *deadline));
            let servers = expired(self.slot.server_timeout.get().copied().flatten());
            let servers = servers.filter(|_| !responded);
            match (callers, servers) {
                (Some(caller), Some(server)) if server < caller => Cause::ServerTimeout,
                (Some(_), _) => Cause::DeadlineExpired,
                (None, Some(_)) => Cause::ServerTimeout,
                (None, None) => Cause::CallerLeft,
            }
        })
    }

    /// What the layers recorded of the end, if anything.
    fn recorded_end(&self) -> Option<EndedBy> {
        let own = self.facts().and_then(|facts| match (&facts.ended_by, facts.refusal()) {
            (Some(by), _) => Some(*by),
            (None, Some(refusal)) => Some(EndedBy::Refusal { by: refusal.by }),
            (None, None) => None,
        });
        own.or_else(|| self.slot.attempt.get()?.recorded_end())
    }

    fn has_field(&self, key: &str) -> bool {
        self.facts().is_some_and(|facts| facts.fields.iter().any(|(present, _)| present == key))
    }

    /// Whether an inner layer has refused this request or recovered a panic in it. Either proves that it is a
    /// call.
    pub(crate) fn proves_call(&self) -> bool {
        self.refusal().is_some() || self.panic().is_some()
    }

    /// The facts so far, if any. For most calls there are none, and this costs one atomic load.
    fn facts(&self) -> Option<MutexGuard<'_, Facts>> {
        Some(self.slot.facts.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn facts_mut(&self) -> MutexGuard<'_, Facts> {
        self.slot.facts.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn refusal(&self) -> Option<&Refusal> {
        self.refusals.iter().find(|refusal| !refusal.shadow)
    }
}

/// Shows refusals, panic message and ending only.
impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut info = f.debug_struct("CallInfo");
        if let Some(facts) = self.facts() {
            info.field("refusals", &facts.refusals)
                .field("panic", &facts.panic.as_ref().map(|(message, _)| message))
                .field("ended_by", &facts.ended_by);
        }
        info.finish_non_exhaustive()
    }
}
