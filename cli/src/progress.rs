//! Progress bars on stderr, for long work. Hidden where stderr is no terminal.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts bytes, up to `total` if that is known.
pub(crate) fn bytes_bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(8);
    let bar = ProgressBar::with_draw_target(total, target).with_message(what);
    let template = if total.is_some() {
        "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}"
    } else {
        "{msg} {spinner} {decimal_bytes} {decimal_bytes_per_sec}"
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    bar.set_style(style.progress_chars("=> "));
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// Length of what stdin will give, if it is a file.
#[cfg(unix)]
pub(crate) fn stdin_len() -> Option<u64> {
    use std::{fs::File, os::fd::AsFd as _};

    let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Length of what stdin will give, if it is a file: not known on this system.
#[cfg(not(unix))]
pub(crate) fn stdin_len() -> Option<u64> {
    None
}

/// Tells a bar what passes through.
#[derive(Debug)]
pub(crate) struct Metered<T> {
    pub(crate) inner: T,
    pub(crate) bar: ProgressBar,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.bar.inc(u64::try_from(n).unwrap_or(u64::MAX));
        Ok(n)
    }
}

impl<W: Write> Write for Metered<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.bar.inc(u64::try_from(n).unwrap_or(u64::MAX));
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
