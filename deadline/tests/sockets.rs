//! Calls of each kind over real sockets: what they end with, wherever they are when their deadline passes, and what
//! all who look at them see. `-- --nocapture` prints the tables.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Cell, Client, Expires, Place, SERVERS_MESSAGE, Served};
use tonic::Code;
use tonic_call::{EndedBy, MethodTable};
use tonic_call_test_kit::{Recorded, methods};
use tonic_deadline_layer::{ClientDeadlineLayer, DeadlineLayer};

/// The only call of an observer.
async fn only(recorder: &tonic_call_test_kit::Recorder) -> Recorded {
    recorder.until_ended(1).await;
    recorder.only()
}

fn assert_ending(cell: Cell, recorded: &Recorded, whose: &str) {
    assert_eq!((recorded.code, recorded.by), cell.ending(), "{cell:?} {whose}: {recorded:#?}");
}

fn row(cell: Cell, recorded: &[&Recorded], caller: &str) -> String {
    let seen = recorded.iter().map(|recorded| {
        let by = match recorded.by {
            EndedBy::Deadline => "deadline",
            EndedBy::Service => "service",
            _ => "other",
        };
        format!(" {:?}, {by} |", recorded.code)
    });
    format!("| {} | {:?} |{} {caller} |", cell.kind, cell.expires, seen.collect::<String>())
}

#[expect(clippy::print_stdout, reason = "the table is for readers")]
fn print(title: &str, header: &str, rows: &[String]) {
    let rule = "---|".repeat(header.matches('|').count() - 1);
    println!("\n{title}\n\n{header}\n|{rule}\n{}", rows.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_timer_gets_deadline_exceeded_in_each_cell() {
    let mut rows = Vec::new();
    for cell in Cell::all() {
        let served = Served::start_holding(DeadlineLayer::server(), cell.holds_head());
        let ended = async {
            served.inside.until_ended(1).await;
            // What the caller has not read is not over for those outside.
            let early = served.outside.ended();
            assert!(early.is_empty(), "{cell:?} {early:?}");
        };
        let answer = cell.call_raw(served.address, ended).await;
        served.service.until_alive(0).await;
        assert_eq!(answer.code, cell.ending().0, "{cell:?} {answer:?}");
        if cell.expires != Expires::Never {
            assert_eq!(answer.message, SERVERS_MESSAGE, "{cell:?}");
        }
        let before_messages = cell.messages() == Some(0);
        let place = if before_messages { Place::Head } else { Place::Trailers };
        assert_eq!(answer.place, place, "{cell:?}");
        match cell.messages() {
            Some(messages) => assert_eq!(answer.messages, messages, "{cell:?}"),
            None => assert!(answer.messages >= 1, "{cell:?}"),
        }
        let (outside, inside) = (only(&served.outside).await, only(&served.inside).await);
        assert_ending(cell, &outside, "server outside");
        assert_ending(cell, &inside, "server inside");
        let caller = format!("{:?} in {:?}: {}", answer.code, answer.place, answer.message);
        rows.push(row(cell, &[&outside, &inside], &caller));
    }
    let header = "| kind | expires | server outside | server inside | caller |";
    print("A caller without a timer", header, &rows);
}

/// Who sets the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetBy {
    Request,
    Layer,
}

impl SetBy {
    fn layer(self, cell: Cell) -> ClientDeadlineLayer {
        if self == Self::Request {
            return DeadlineLayer::client(None);
        }
        let methods = methods();
        if cell.kind == tonic_call::MethodKind::Unary {
            return DeadlineLayer::client(cell.timeout()).methods(&methods);
        }
        // A stream has a deadline only by a rule for its method.
        let (service, method) = tonic_call_test_kit::method_of(cell.kind).split_once('/').unwrap();
        let table = MethodTable::new(Some(Duration::from_millis(1)));
        let table = table.method(service, method, Some(cell.timeout()));
        DeadlineLayer::client(table.checked(&methods).unwrap()).methods(&methods)
    }

    fn message(self, cell: Cell) -> String {
        match self {
            _ if cell.expires == Expires::Never => String::new(),
            Self::Request => SERVERS_MESSAGE.to_owned(),
            Self::Layer => {
                format!("the client's limit of {:?} for this call has passed", cell.timeout())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonics_client_gets_deadline_exceeded_in_each_cell() {
    for set_by in [SetBy::Request, SetBy::Layer] {
        let mut rows = Vec::new();
        for cell in Cell::all() {
            rows.push(call_until_both_expire(cell, set_by).await);
        }
        let header = "| kind | expires | server outside | server inside | client outside | client inside | caller |";
        print(&format!("tonic's client, deadline set by {set_by:?}"), header, &rows);
    }
}

/// Makes the call of a cell. The reset of a client whose deadline has passed may overtake the server's clock, which
/// began later: then the server is right that its caller has left, and the call is made again.
async fn call_until_both_expire(cell: Cell, set_by: SetBy) -> String {
    for _ in 0..20 {
        let served = Served::start_holding(DeadlineLayer::server(), cell.holds_head());
        let endpoint = served.endpoint.clone().initial_stream_window_size(cell.window());
        let mut client = Client::new(set_by.layer(cell), endpoint.connect().await.unwrap());
        let ended = async { client.inside.until_ended(1).await };
        let outcome = cell.call(&mut client.kinds, set_by == SetBy::Request, ended).await;
        served.service.until_alive(0).await;

        assert_eq!(outcome.code, cell.ending().0, "{cell:?} {set_by:?} {outcome:?}");
        if let Some(messages) = cell.messages() {
            assert_eq!(outcome.notes, messages, "{cell:?} {set_by:?}");
        }
        let messages = [set_by.message(cell), SERVERS_MESSAGE.to_owned()];
        assert!(messages.contains(&outcome.message), "{cell:?} {set_by:?}: {}", outcome.message);
        let seen = [&client.outside, &client.inside, &served.outside, &served.inside];
        let [client_outside, client_inside, outside, inside] =
            [only(seen[0]).await, only(seen[1]).await, only(seen[2]).await, only(seen[3]).await];
        assert_ending(cell, &client_outside, "client outside");
        assert_ending(cell, &client_inside, "client inside");
        if outside.by == EndedBy::Caller && outside.took < cell.timeout() {
            assert_eq!((outside.code, inside.code), (Code::Cancelled, Code::Cancelled));
            continue;
        }
        assert_ending(cell, &outside, "server outside");
        assert_ending(cell, &inside, "server inside");
        let caller = format!("{:?}: {}", outcome.code, outcome.message);
        return row(cell, &[&outside, &inside, &client_outside, &client_inside], &caller);
    }
    panic!("{cell:?}: the server never got as far as its deadline");
}
