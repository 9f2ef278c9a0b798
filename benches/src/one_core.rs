use std::fmt;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle};

/// A thread with its own runtime that runs until the program ends. It simulates a program with one core.
pub struct Core(Handle);

impl Core {
    /// Starts the thread.
    ///
    /// # Panics
    ///
    /// If the thread or its runtime cannot be created.
    pub fn start() -> Self {
        Self::start_in(|run| run())
    }

    /// Starts the thread, and runs everything on it in that function.
    pub(crate) fn start_in(scope: fn(&mut dyn FnMut())) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || scope(&mut || runtime.block_on(std::future::pending::<()>())));
        Self(handle)
    }

    /// The handle of the thread's runtime.
    pub fn runtime(&self) -> &Handle {
        &self.0
    }

    /// The CPU time that the thread has used.
    ///
    /// # Panics
    ///
    /// If a task has stopped the runtime.
    pub async fn busy(&self) -> Duration {
        self.0.spawn(async { thread_time() }).await.expect("it runs")
    }
}

/// The CPU time that this thread has used. Other programs that run meanwhile do not count.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}
