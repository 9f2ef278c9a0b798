//! Runs test cases, and prints how each ends.

use std::error::Error;
use std::time::Duration;

use tokio::time::timeout;

use super::cases::{ALL, Tester};
use super::check::Stop;
use super::connect;
use super::endings::Endings;
use crate::cli::ClientArgs;
use crate::proto::test_service_client::TestServiceClient;
use crate::proto::unimplemented_service_client::UnimplementedServiceClient;

/// A case that takes longer has failed.
const CASE_TIMEOUT: Duration = Duration::from_secs(20);

/// Prints a line for each case: `NAME: passed`, `NAME: failed: WHY`, or `NAME: not possible: WHY`. `false` if one has
/// failed.
pub(crate) async fn run(args: ClientArgs) -> Result<bool, Box<dyn Error>> {
    let (channel, endings) = if args.bare {
        (connect::bare(&args)?, None)
    } else {
        let endings = Endings::default();
        (connect::layered(&args, endings.clone())?, Some(endings))
    };
    let tester = Tester {
        client: TestServiceClient::new(channel.clone()),
        unimplemented: UnimplementedServiceClient::new(channel),
        endings,
        username: args.default_service_account,
    };
    let all = args.test_case.iter().any(|case| case == "all");
    let asked: Vec<&str> =
        if all { ALL.to_vec() } else { args.test_case.iter().map(String::as_str).collect() };
    let mut passed = true;
    for case in asked {
        let ended = timeout(CASE_TIMEOUT, tester.run(case)).await;
        let ended = ended.unwrap_or_else(|_| {
            Err(Stop::Failed(format!("it did not end within {CASE_TIMEOUT:?}")))
        });
        match ended {
            Ok(()) => println!("{case}: passed"),
            Err(Stop::Cannot(why)) => println!("{case}: not possible: {why}"),
            Err(Stop::Failed(why)) => {
                println!("{case}: failed: {why}");
                passed = false;
            }
        }
    }
    Ok(passed)
}
