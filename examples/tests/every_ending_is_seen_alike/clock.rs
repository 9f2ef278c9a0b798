//! Time that only tests advance.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::advance;

/// How long a test may take. After that, the paused clock runs by itself, and what a test waits for fails by its
/// own limit.
const PATIENCE: Duration = Duration::from_secs(120);

/// Holds the paused clock: Tokio would advance it whenever all tasks wait, also if they wait for a socket.
pub(crate) fn hold() -> mpsc::Sender<()> {
    let (held, released) = mpsc::channel();
    // The clock does not run by itself while a blocking task does.
    tokio::task::spawn_blocking(move || _ = released.recv_timeout(PATIENCE));
    held
}

/// Runs a future while time passes.
pub(crate) async fn passing<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    for _ in 0..1_000_000 {
        tokio::select! {
            biased;
            output = &mut future => return output,
            () = tokio::task::yield_now() => advance(Duration::from_millis(1)).await,
        }
    }
    panic!("still not over after a million milliseconds");
}
