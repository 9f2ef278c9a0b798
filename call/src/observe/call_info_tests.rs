use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap, StatusCode};
use tonic::Code;

use crate::answer::Deadline;
use crate::observe::{CallInfo, Cause, End, EndedBy, Refusal, Side};
use crate::show::FieldValue;

const DROPPED: End<'static> = End::Dropped { responded: true, cause: Cause::CallerLeft };

fn status(code: Code) -> End<'static> {
    static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    End::Status { code, headers: &NONE }
}

#[test]
fn one_slot_is_shared_by_all_layers_of_a_call() {
    let mut extensions = Extensions::new();
    assert!(CallInfo::of(&extensions).is_none());
    let outer = CallInfo::get_or_insert(Side::Server, &mut extensions);
    let inner = CallInfo::get_or_insert(Side::Server, &mut extensions);
    inner.set_principal("spiffe://example.org/billing");
    assert_eq!(outer.principal().as_deref(), Some("spiffe://example.org/billing"));
}

#[test]
fn the_principal_that_is_set_last_is_used() {
    let info = CallInfo::new(Side::Server);
    assert_eq!(info.principal(), None);
    for principal in ["ann", "bob", "ann", "eve"] {
        info.set_principal(principal);
        info.add_field("auth.check", "exp");
        assert_eq!(info.principal().as_deref(), Some(principal));
    }
}

#[test]
fn a_request_that_is_forwarded_gets_its_own_slot() {
    let mut extensions = Extensions::new();
    let server = CallInfo::get_or_insert(Side::Server, &mut extensions);
    assert!(CallInfo::of_side(Side::Client, &extensions).is_none());
    let client = CallInfo::get_or_insert(Side::Client, &mut extensions);
    client.set_ended_by(EndedBy::Deadline);
    assert_eq!(server.ended_by(&DROPPED), EndedBy::Caller);
    let again = CallInfo::get_or_insert(Side::Client, &mut extensions);
    assert_eq!(again.ended_by(&DROPPED), EndedBy::Deadline);
}

#[tokio::test(start_paused = true)]
async fn all_layers_use_the_same_deadline_unless_the_timeout_was_changed() {
    let info = CallInfo::new(Side::Server);
    let second = Duration::from_secs(1);
    let first = info.caller_deadline(second);
    tokio::time::advance(second / 4).await;
    assert_eq!(info.caller_deadline(second), first);
    for changed in [second / 2, second * 2] {
        assert_eq!(info.caller_deadline(changed), Deadline::after(changed));
    }
    assert_eq!(info.caller_deadline(second), first);
}

#[test]
fn without_recorded_facts_the_end_shows_what_ended_the_call() {
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
fn a_recovered_panic_ended_the_call_only_if_its_layer_records_that() {
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
fn a_cut_ends_the_call_unless_it_ended_ok() {
    let info = CallInfo::new(Side::Server);
    info.set_ended_by(EndedBy::Deadline);
    assert_eq!(info.ended_by(&DROPPED), EndedBy::Deadline);
    assert_eq!(info.ended_by(&status(Code::Ok)), EndedBy::Service);
}

#[test]
fn what_is_recorded_of_the_attempt_that_counts_is_recorded_of_the_call() {
    let info = CallInfo::new(Side::Client);
    info.add_field("tenant", "of the call");
    let [lost, last] = [info.new_attempt(), info.new_attempt()];
    lost.add_refusal(Refusal::new("ratelimit", "per_second"));
    lost.set_panic("lost");
    last.add_refusal(Refusal::new("auth", "no_token"));
    assert_eq!((info.refusal(), info.panic()), (None, None));
    assert_eq!(info.ended_by(&DROPPED), EndedBy::Caller);

    info.set_attempt(&last);
    info.set_attempt(&lost);
    last.set_principal("billing");
    last.set_panic("in a stream");
    last.add_field("tenant", "of the attempt");
    last.add_field("shard", 7_i64);
    assert_eq!(info.ended_by(&DROPPED), EndedBy::Refusal { by: "auth" });
    assert_eq!(info.refusals(), last.refusals());
    assert_eq!(info.principal().as_deref(), Some("billing"));
    assert_eq!(info.panic().as_deref(), Some("in a stream"));
    let fields = [("tenant".into(), "of the call".into()), ("shard".into(), 7_i64.into())];
    assert_eq!(info.fields(), fields);

    last.set_ended_by(EndedBy::Transport);
    assert_eq!(info.ended_by(&DROPPED), EndedBy::Transport);
    info.set_ended_by(EndedBy::Deadline);
    assert_eq!(info.ended_by(&DROPPED), EndedBy::Deadline);
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
