//! The signals that shut the server down.

use std::io;
use std::thread;

use tokio::sync::mpsc;

/// A signal that shuts the server down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: load balancers learn it at the same time.
    Terminate,
    /// SIGINT (Ctrl-C): a person waits for the end.
    Interrupt,
}

/// The signals that this process receives from now on.
pub fn signals() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, signals) = mpsc::unbounded_channel();
    listen(sender)?;
    Ok(signals)
}

/// The same. The end of standard input is like Ctrl-C: a program that has started this one with a pipe can stop it by
/// closing the pipe, and stops it by ending in whatever way.
pub fn signals_or_eof() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, signals) = mpsc::unbounded_channel();
    listen(sender.clone())?;
    // A thread, not a task: nothing else can wake it.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        _ = sender.send(Signal::Interrupt);
    })?;
    Ok(signals)
}

#[cfg(unix)]
fn listen(sender: mpsc::UnboundedSender<Signal>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    // Registered here, not in the task: a signal that arrives before the task runs is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = interrupt.recv() => Signal::Interrupt,
                else => return,
            };
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen(sender: mpsc::UnboundedSender<Signal>) -> io::Result<()> {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && sender.send(Signal::Interrupt).is_ok() {}
    });
    Ok(())
}
