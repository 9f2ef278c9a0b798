use std::fmt;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle};

/// A thread with a runtime of its own, until the program ends: a program that has one core.
pub struct Core(Handle);

impl Core {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If there is no thread or no runtime to be had.
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Self(handle)
    }

    /// What runs there.
    pub fn runtime(&self) -> &Handle {
        &self.0
    }

    /// How much time the thread has had of a processor.
    ///
    /// # Panics
    ///
    /// If a task on it has stopped it.
    pub async fn busy(&self) -> Duration {
        let clock = self.0.spawn(async { clock_gettime(ClockId::ThreadCPUTime) });
        clock.await.expect("it runs").try_into().expect("it is not negative")
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}
