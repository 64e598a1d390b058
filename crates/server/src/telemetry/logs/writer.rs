//! The bounded queue of log lines and the thread that writes them.
//!
//! [`Lines`] is the handle of threads that log: it never blocks and never fails. If the queue is full, a line is lost;
//! so are the lines of a write that the output rejects (no reader, no space, no device). Each is counted, and the first
//! write that succeeds afterwards is followed by a warning with the number. Only the writer thread may block, on an
//! output whose reader stalls.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// Maximum bytes of queued lines: about 20 000 lines. More than a burst, and little memory when an output stalls.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Maximum queued lines of any size.
const QUEUE_LINES: usize = 32 * 1024;
/// Bytes written to the output at once.
const WRITE_BYTES: usize = 64 * 1024;
/// Pause before a full non-blocking output is retried.
const RETRY: Duration = Duration::from_millis(20);

/// The sending end of the queue for threads that log; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signals the writer that lines arrived, and flushing threads that lines were written.
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the writer holds lines that it has taken out and not finished.
    writing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// If the system cannot start another thread.
    pub(super) fn start(output: File) -> std::io::Result<Self> {
        let lines = Self::unwritten();
        let shared = Arc::clone(&lines.0);
        std::thread::Builder::new().name("fanfare-log".into()).spawn(move || {
            Output { file: output, torn: false, unreported: 0 }.run(&shared);
        })?;
        Ok(lines)
    }

    fn unwritten() -> Self {
        let (queue, changed, lost) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        Self(Arc::new(Shared { queue, changed, lost }))
    }

    /// Lines lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until every line queued before is written or lost, at most `within`.
    pub(super) fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut queue = self.0.queue();
        while !queue.lines.is_empty() || queue.writing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Queues a line, or loses it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue();
        if queue.lines.len() >= QUEUE_LINES || queue.bytes + line.len() > QUEUE_BYTES {
            drop(queue);
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        let wake = queue.lines.len() == 1;
        drop(queue);
        if wake {
            self.0.changed.notify_all();
        }
    }
}

impl Write for Lines {
    /// One call is one line: the formatting layer writes like this.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The writer thread's side.
struct Output {
    file: File,
    /// Whether the last write ended within a line.
    torn: bool,
    /// Lost lines that no warning has reported yet.
    unreported: u64,
}

impl Output {
    fn run(mut self, shared: &Shared) {
        let mut reported = 0;
        let mut text = Vec::with_capacity(WRITE_BYTES);
        loop {
            let lines = take(shared, &mut text);
            if let Err(_unwritable) = self.write(&text) {
                shared.lost.fetch_add(lines, Ordering::Relaxed);
            } else {
                let lost = shared.lost.load(Ordering::Relaxed);
                self.unreported += lost - reported;
                reported = lost;
            }
            shared.queue().writing = false;
            shared.changed.notify_all();
            if self.unreported > 0 {
                let lines = std::mem::take(&mut self.unreported);
                tracing::warn!(lines, "log lines were lost: they could not be written to standard output");
            }
        }
    }

    /// Writes the whole text, or returns an error if the output rejects it.
    fn write(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.torn {
            self.put(b"\n")?;
            self.torn = false;
        }
        self.put(text)
    }

    fn put(&mut self, mut text: &[u8]) -> std::io::Result<()> {
        while !text.is_empty() {
            match self.file.write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.torn = text[n - 1] != b'\n';
                    text = &text[n..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process may have made the shared output non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits for lines and moves some of them to `text`; returns how many.
fn take(shared: &Shared, text: &mut Vec<u8>) -> u64 {
    text.clear();
    let mut queue = shared.queue();
    while queue.lines.is_empty() {
        queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    let mut lines = 0;
    while text.len() < WRITE_BYTES
        && let Some(line) = queue.lines.pop_front()
    {
        queue.bytes -= line.len();
        text.extend_from_slice(&line);
        lines += 1;
    }
    queue.writing = true;
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, pipe};

    fn piped() -> (Lines, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        (Lines::start(File::from(std::os::fd::OwnedFd::from(writer))).unwrap(), reader)
    }

    #[test]
    fn lines_arrive_in_order_and_flush_waits_for_them() {
        let (lines, mut reader) = piped();
        (0..100).for_each(|n| lines.push(format!("line {n}\n").as_bytes()));
        lines.flush(Duration::from_secs(20));
        let mut text = [0; 790];
        reader.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let expected: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(text, expected);
        assert_eq!(lines.lost(), 0);
    }

    #[test]
    fn a_closed_reader_loses_lines_and_nothing_else() {
        let (lines, reader) = piped();
        drop(reader);
        (0..10).for_each(|_| lines.push(b"an unread line\n"));
        lines.flush(Duration::from_secs(20));
        assert_eq!(lines.lost(), 10);
    }

    #[test]
    fn a_reader_that_stalls_costs_a_bounded_queue_and_lines_flow_when_it_reads_again() {
        let (lines, mut reader) = piped();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let pushed = 2 * QUEUE_BYTES / line.len();
        (0..pushed).for_each(|_| lines.push(&line));
        assert!(lines.lost() > 0, "the queue has no bound");
        assert!(lines.0.queue().bytes <= QUEUE_BYTES);
        let begun = Instant::now();
        lines.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(10), "a flush waits for a reader that stalls");
        let kept = pushed as u64 - lines.lost();
        let mut text = vec![0; kept as usize * line.len()];
        reader.read_exact(&mut text).unwrap();
        assert!(text.chunks(line.len()).all(|chunk| chunk == line));
    }

    #[test]
    fn a_line_after_a_torn_one_begins_on_a_line_of_its_own() {
        let (mut reader, writer) = pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut output = Output { file, torn: false, unreported: 0 };
        output.write(b"half a li").unwrap();
        output.write(b"whole\n").unwrap();
        output.write(b"next\n").unwrap();
        drop(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "half a li\nwhole\nnext\n");
    }
}
