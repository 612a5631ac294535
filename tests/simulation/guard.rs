//! Nothing hangs, nothing panics.

use std::{sync::mpsc, thread, time::Duration};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Does `work` in a thread of its own; an error if it panics, or does not come back.
///
/// # Errors
///
/// What happened, as a sentence. A thread that hangs is left behind.
pub fn guarded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = work();
        // Nobody waits any more if it took too long.
        let _ = done.send(());
        result
    });
    match wait.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("it hangs: {PATIENCE:?} are over")),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            thread.join().map_err(|panic| format!("it panics: {}", said(&*panic)))
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
