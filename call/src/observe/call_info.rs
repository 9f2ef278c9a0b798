//! What layers tell each other of one call.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::Extensions;
use tonic::Code;

use crate::answer::Deadline;
use crate::observe::{Cause, End, EndedBy, Side};
use crate::show::{FieldValue, TraceIds, sanitize};

/// A slot in the request's extensions that an outer layer puts there and inner ones fill, since
/// independent layers can't see each other otherwise.
///
/// Clones share one slot. A layer that sends one call several times (retries) gives each attempt a
/// slot of its own.
///
/// A handler finds it in its request, for example to add a field to the call's log line:
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
    /// What layers said; of most calls nothing.
    facts: OnceLock<Box<Mutex<Facts>>>,
    /// When the caller gives up, by the clock of the outermost who looked.
    deadline: OnceLock<Option<Deadline>>,
    /// When the server's own time-out expires; it covers the time to the head of the response.
    server_timeout: OnceLock<Option<Deadline>>,
    /// Which span is the call's.
    trace: OnceLock<TraceIds>,
    /// Why the call was given up, so that all who ask are told the same.
    given_up: OnceLock<Cause>,
}

#[derive(Default)]
struct Facts {
    principal: Option<Arc<str>>,
    refusals: Vec<Refusal>,
    panic: Option<(Arc<str>, Option<Stack>)>,
    ended_by: Option<EndedBy>,
    fields: Vec<(Cow<'static, str>, FieldValue)>,
}

/// Where a panic happened. It is turned into text only when somebody reads it: that takes long.
type Stack = Arc<dyn fmt::Display + Send + Sync>;

/// That a layer refused a call, or would have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The layer, by the short name of its field: `auth`, `ratelimit`, `deadline`.
    pub by: &'static str,
    /// Why, as a short and stable word, fit for a label: for example `TOKEN_EXPIRED`.
    pub reason: Cow<'static, str>,
    /// Whether the call was let pass all the same, because the layer only tries its rules out.
    pub shadow: bool,
}

impl CallInfo {
    /// A slot for a call as that side sees it, with nothing in it.
    pub fn new(side: Side) -> Self {
        Self { side, slot: Arc::default() }
    }

    /// The slot of the call that these extensions belong to, if a layer has put one there.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The slot of the call that these extensions belong to; puts one there if there is none.
    ///
    /// A handler that sends its request on sends the extensions along: what a client finds there of the
    /// server's call is not about its own, and is replaced.
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

    /// As [`of`](Self::of), if the slot is one of that side's.
    pub fn of_side(side: Side, extensions: &Extensions) -> Option<&Self> {
        Self::of(extensions).filter(|info| info.side == side)
    }

    /// Says who is calling: a name for logs and for keys of limits, never for labels.
    pub fn set_principal(&self, principal: impl Into<Arc<str>>) {
        self.facts_mut().principal = Some(principal.into());
    }

    /// Who is calling, if an authenticating layer said so.
    pub fn principal(&self) -> Option<Arc<str>> {
        self.facts()?.principal.clone()
    }

    /// Says that a layer refuses the call, or would.
    pub fn add_refusal(&self, refusal: Refusal) {
        self.facts_mut().refusals.push(refusal);
    }

    /// All refusals so far, shadow ones too, in the order in which they were made.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.facts().map(|facts| facts.refusals.clone()).unwrap_or_default()
    }

    /// The refusal that ended the call, if one did.
    pub fn refusal(&self) -> Option<Refusal> {
        self.facts()?.refusal().cloned()
    }

    /// Says that a panic was recovered, with its text. It is for the operator; the first one counts. The text
    /// is kept as [`sanitize`] shows it: on one line, and bounded.
    pub fn set_panic(&self, message: impl Into<Arc<str>>) {
        self.add_panic(message.into(), None);
    }

    /// Like [`set_panic`](Self::set_panic), by whoever saw where it happened.
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

    /// The text of the panic that was recovered, if one was; also if it did not end the call.
    pub fn panic(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.facts()?.panic.as_ref()?.0))
    }

    /// Where that panic happened, if whoever recovered it saw that.
    pub fn panic_stack(&self) -> Option<Arc<dyn fmt::Display + Send + Sync>> {
        self.facts()?.panic.as_ref()?.1.clone()
    }

    /// Says what ended the call, where its ending does not tell: a layer that answers instead of the
    /// service, or ends the call from outside, as [`Cut`](crate::Cut) does. The last one counts.
    pub fn set_ended_by(&self, by: EndedBy) {
        self.facts_mut().ended_by = Some(by);
    }

    /// Says which span is the call's, so that its log line can be found from its trace. The first one
    /// counts: that of the outermost layer.
    pub fn set_trace(&self, ids: TraceIds) {
        self.slot.trace.get_or_init(|| ids);
    }

    /// Which span is the call's, if a tracing layer said so.
    pub fn trace(&self) -> Option<TraceIds> {
        self.slot.trace.get().copied()
    }

    /// Adds a field to the call's log line. Of fields with one key the last counts.
    pub fn add_field(&self, key: impl Into<Cow<'static, str>>, value: impl Into<FieldValue>) {
        let (key, value) = (key.into(), value.into());
        let fields = &mut self.facts_mut().fields;
        match fields.iter_mut().find(|(present, _)| *present == key) {
            Some(field) => field.1 = value,
            None => fields.push((key, value)),
        }
    }

    /// The fields that were added, in the order in which their keys first were.
    pub fn fields(&self) -> Vec<(Cow<'static, str>, FieldValue)> {
        self.facts().map(|facts| facts.fields.clone()).unwrap_or_default()
    }

    /// What ended the call, from its ending and from what the layers inside said.
    ///
    /// What a layer said counts first, unless the call ended `OK` all the same: then the service
    /// ended it.
    pub fn ended_by(&self, end: &End<'_>) -> EndedBy {
        if let End::Status { code: Code::Ok, .. } = end {
            return EndedBy::Service;
        }
        let Some(facts) = self.facts() else { return EndedBy::from(end) };
        match (&facts.ended_by, facts.refusal()) {
            (Some(by), _) => *by,
            (None, Some(refusal)) => EndedBy::Refusal { by: refusal.by },
            (None, None) => EndedBy::from(end),
        }
    }

    /// Sets when the caller gives up, unless a layer further out has: to all layers it is one moment.
    pub(crate) fn expires_after(&self, timeout: Duration) {
        self.slot.deadline.get_or_init(|| Deadline::after(timeout));
    }

    /// Sets how long the server lets the call wait for its head, unless a layer further out has.
    pub(crate) fn server_times_out_after(&self, timeout: Duration) {
        self.slot.server_timeout.get_or_init(|| Deadline::after(timeout));
    }

    /// Why the call, which nobody answered, is over. The first to ask decides it for all: a clock read
    /// twice tells two times.
    pub(crate) fn given_up(&self, responded: bool) -> Cause {
        *self.slot.given_up.get_or_init(|| {
            let expired = |deadline: &OnceLock<Option<Deadline>>| {
                deadline.get().copied().flatten().filter(|deadline| deadline.is_about_to_expire())
            };
            let callers = expired(&self.slot.deadline);
            let servers = expired(&self.slot.server_timeout).filter(|_| !responded);
            match (callers, servers) {
                (Some(caller), Some(server)) if server < caller => Cause::ServerTimeout,
                (Some(_), _) => Cause::DeadlineExpired,
                (None, Some(_)) => Cause::ServerTimeout,
                (None, None) => Cause::CallerLeft,
            }
        })
    }

    /// Whether a layer inside has shown that this is a call: it refused it, or recovered a panic in it.
    pub(crate) fn is_of_a_call(&self) -> bool {
        self.facts().is_some_and(|facts| facts.refusal().is_some() || facts.panic.is_some())
    }

    /// What was said so far. Of most calls that is nothing, and costs a glance.
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

impl Refusal {
    /// A refusal that ends the call.
    pub fn new(by: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { by, reason: reason.into(), shadow: false }
    }

    /// A refusal that is only reported.
    pub fn shadow(by: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { shadow: true, ..Self::new(by, reason) }
    }
}

/// What the ending alone tells, without a [`CallInfo`].
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    const DROPPED: End<'static> = End::Dropped { responded: true, cause: Cause::CallerLeft };

    fn status(code: Code) -> End<'static> {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        End::Status { code, headers: &NONE }
    }

    #[test]
    fn one_slot_is_shared_by_all_who_ask_for_it() {
        let mut extensions = Extensions::new();
        assert!(CallInfo::of(&extensions).is_none());
        let outer = CallInfo::get_or_insert(Side::Server, &mut extensions);
        let inner = CallInfo::get_or_insert(Side::Server, &mut extensions);
        inner.set_principal("spiffe://example.org/billing");
        assert_eq!(outer.principal().as_deref(), Some("spiffe://example.org/billing"));
    }

    #[test]
    fn a_request_that_is_sent_on_gets_a_slot_of_its_own() {
        let mut extensions = Extensions::new();
        let server = CallInfo::get_or_insert(Side::Server, &mut extensions);
        assert!(CallInfo::of_side(Side::Client, &extensions).is_none());
        let client = CallInfo::get_or_insert(Side::Client, &mut extensions);
        client.set_ended_by(EndedBy::Deadline);
        assert_eq!(server.ended_by(&DROPPED), EndedBy::Caller);
        let again = CallInfo::get_or_insert(Side::Client, &mut extensions);
        assert_eq!(again.ended_by(&DROPPED), EndedBy::Deadline);
    }

    #[test]
    fn an_ending_alone_tells_what_ended_the_call() {
        let info = CallInfo::new(Side::Server);
        let missing = End::missing(StatusCode::OK, Side::Server, true);
        let timer = End::Error {
            code: Code::DeadlineExceeded,
            by: EndedBy::Deadline,
            error: &"Timeout expired",
        };
        let expired = End::Dropped { responded: false, cause: Cause::DeadlineExpired };
        let panicked = End::Dropped { responded: false, cause: Cause::Panicked };
        for (end, by) in [
            (status(Code::Ok), EndedBy::Service),
            (status(Code::Internal), EndedBy::Service),
            (missing, EndedBy::Service),
            (DROPPED, EndedBy::Caller),
            (expired, EndedBy::Deadline),
            (timer, EndedBy::Deadline),
            (panicked, EndedBy::Panic),
        ] {
            assert_eq!(info.ended_by(&end), by, "{end:?}");
        }
    }

    #[test]
    fn a_recovered_panic_ended_the_call_only_if_its_layer_says_so() {
        let info = CallInfo::new(Side::Server);
        info.set_panic("in a destructor");
        assert_eq!(info.ended_by(&status(Code::NotFound)), EndedBy::Service);
        info.set_ended_by(EndedBy::Panic);
        assert_eq!(info.ended_by(&status(Code::Internal)), EndedBy::Panic);
        info.set_panic_with_stack("another", Arc::new("at main.rs:1:1"));
        assert!(info.panic_stack().is_none());
        assert_eq!(info.panic().as_deref(), Some("in a destructor"));
    }

    #[test]
    fn the_text_of_a_panic_is_one_bounded_line() {
        let info = CallInfo::new(Side::Server);
        info.set_panic("\u{1b}[31m\n".repeat(10_000));
        let text = info.panic().expect("a panic");
        assert!(text.len() <= crate::MAX_TEXT_BYTES && text.starts_with(r"\u{1b}[31m\n"), "{text}");
    }

    #[test]
    fn a_refusal_ended_the_call_unless_it_was_a_shadow() {
        let info = CallInfo::new(Side::Server);
        info.add_refusal(Refusal::shadow("ratelimit", "per_second"));
        assert_eq!(info.ended_by(&status(Code::Ok)), EndedBy::Service);
        assert_eq!(info.refusal(), None);

        info.add_refusal(Refusal::new("auth", "TOKEN_EXPIRED"));
        assert_eq!(info.ended_by(&status(Code::Unauthenticated)), EndedBy::Refusal { by: "auth" });
        assert_eq!(info.refusals().len(), 2);
    }

    #[test]
    fn whoever_cut_the_call_ended_it_unless_it_ended_well() {
        let info = CallInfo::new(Side::Server);
        info.set_ended_by(EndedBy::Deadline);
        assert_eq!(info.ended_by(&DROPPED), EndedBy::Deadline);
        assert_eq!(info.ended_by(&status(Code::Ok)), EndedBy::Service);
    }

    #[test]
    fn of_fields_with_one_key_the_last_counts() {
        let info = CallInfo::new(Side::Server);
        info.add_field("a", 1_i64);
        info.add_field("b", "x");
        info.add_field("a", true);
        let fields = info.fields();
        assert_eq!(fields, [("a".into(), FieldValue::Bool(true)), ("b".into(), "x".into())]);
    }
}
