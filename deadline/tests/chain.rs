//! A service that calls a second, which calls a third: each has less time than the one before.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "chain/hop.rs"]
mod hop;

use std::time::Duration;

use common::Raw;
use hop::{Calls, Chain};
use tonic::Code;
use tonic_call::{EndedBy, MethodKind};
use tonic_call_test_kit::ask;
use tonic_call_test_kit::v1::Act;
use tonic_deadline_layer::DeadlineLayer;

const NAMES: [&str; 3] = ["first", "second", "third"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the numbers are for readers")]
async fn each_service_of_a_chain_has_less_time_than_the_one_before() {
    for margin in [Duration::ZERO, Duration::from_millis(20)] {
        let chain = Chain::start(&DeadlineLayer::client(None).margin(margin), Calls::InTheHandler);
        let raw = Raw::connect(chain.address()).await;
        let answer = raw.call(MethodKind::Unary, &["5S"], &ask(Act::Unspecified, 0)).await;
        assert_eq!(answer.code, Code::Ok, "{answer:?}");

        println!("margin {margin:?}");
        let mut before: Option<Duration> = None;
        for (hop, name) in chain.hops.iter().zip(NAMES) {
            let seen = hop.seen();
            println!(
                "  {name}: grpc-timeout {}, of which {:?} are left in the handler",
                seen.header.as_deref().unwrap(),
                seen.current.unwrap(),
            );
            let timeout = seen.timeout().unwrap();
            assert!(seen.current.unwrap() < timeout, "{seen:?}");
            // The deadline in the extensions is the same one, and was read later.
            assert!(seen.of_request.unwrap() <= seen.current.unwrap(), "{seen:?}");
            match before {
                None => assert_eq!(timeout, Duration::from_secs(5)),
                Some(before) => assert!(timeout + margin < before, "{seen:?} after {before:?}"),
            }
            before = seen.current;
            let inside = hop.inside.only();
            assert_eq!((inside.code, inside.by), (Code::Ok, EndedBy::Service), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_services_of_a_chain_end_when_the_deadline_passes() {
    // A service drops its call when its own deadline passes: where that reaches the next one before its clock, which
    // began later, the next one is right that its caller has left, and the call is made again.
    for _ in 0..20 {
        let chain = Chain::start(&DeadlineLayer::client(None), Calls::InTheHandler);
        let raw = Raw::connect(chain.address()).await;
        let answer = raw.call(MethodKind::Unary, &["150m"], &ask(Act::Hang, 0)).await;
        assert_eq!(answer.code, Code::DeadlineExceeded, "{answer:?}");
        chain.service.until_alive(0).await;

        let mut in_time = true;
        for (hop, name) in chain.hops.iter().zip(NAMES) {
            for observer in [&hop.outside, &hop.inside] {
                observer.until_ended(1).await;
                let recorded = observer.only();
                if name != "first"
                    && recorded.by == EndedBy::Caller
                    && recorded.took < hop.seen().timeout().unwrap()
                {
                    in_time = false;
                    continue;
                }
                let ending = (Code::DeadlineExceeded, EndedBy::Deadline);
                assert_eq!((recorded.code, recorded.by), ending, "{name} {recorded:#?}");
            }
        }
        if in_time {
            return;
        }
    }
    panic!("the later services never got as far as their deadlines");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_the_deadline_of_the_task_that_makes_it() {
    for (calls, inherits) in [
        (Calls::InTheHandler, true),
        (Calls::InASpawnedTask, false),
        (Calls::InASpawnedTaskInAScope, true),
        (Calls::InASpawnedTaskWithADeadlineInTheRequest, true),
        (Calls::Detached, false),
        (Calls::WithoutALayer, false),
    ] {
        let chain = Chain::start(&DeadlineLayer::client(None), calls);
        let raw = Raw::connect(chain.address()).await;
        let answer = raw.call(MethodKind::Unary, &["5S"], &ask(Act::Unspecified, 0)).await;
        assert_eq!(answer.code, Code::Ok, "{calls:?} {answer:?}");
        let [first, second, _] = [0, 1, 2].map(|hop: usize| chain.hops[hop].seen());
        assert_eq!(second.timeout().is_some(), inherits, "{calls:?} {second:?}");
        assert_eq!(second.current.is_some(), inherits, "{calls:?} {second:?}");
        if inherits {
            assert!(second.timeout() < first.current, "{calls:?} {second:?} {first:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_the_earliest_of_all_its_deadlines() {
    // The third one's client has a limit of its own: of one hour, or of two seconds.
    for (limit, is_less) in [(Duration::from_secs(3_600), false), (Duration::from_secs(2), true)] {
        let layer = DeadlineLayer::client(limit).methods(&tonic_call_test_kit::methods());
        let chain = Chain::start(&layer, Calls::InTheHandler);
        let raw = Raw::connect(chain.address()).await;
        let answer = raw.call(MethodKind::Unary, &["5S"], &ask(Act::Unspecified, 0)).await;
        assert_eq!(answer.code, Code::Ok, "{answer:?}");
        let second = chain.hops[1].seen().timeout().unwrap();
        assert!(second < Duration::from_secs(5), "{second:?}");
        assert_eq!(second <= Duration::from_secs(2), is_less, "{second:?}");
    }
}
