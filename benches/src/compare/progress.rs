use std::time::Instant;

/// Prints what is being measured to standard error.
#[derive(Debug)]
pub(super) struct Progress(Instant);

impl Progress {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::print_stderr, reason = "standard output is for the results")]
    pub(super) fn stage(&self, stage: &str) {
        eprintln!("{:>4} s  {stage}", self.seconds());
    }

    /// The seconds since the start.
    pub(super) fn seconds(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}
