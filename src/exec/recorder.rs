//! Writes the transcript: which stream got how much when, in bounded memory.

use crate::model::{Stream, Transcript};

/// Chunks of one stream that come within this many nanoseconds are one chunk, at first.
const RESOLUTION: u64 = 1_000_000;
/// After each so many chunks of one stream in a row the resolution is halved: an hour of output a millisecond
/// apart makes fifty thousand chunks, not three million.
const COARSER_AFTER: u64 = 4096;
/// More chunks than this (about three megabytes) are not recorded. Only a command that writes to two streams in
/// turn comes so far: their order is never given up, so nothing can be merged.
const MOST: u64 = 1 << 19;

/// Builds a [`Transcript`] while a command runs.
pub struct Recorder {
    transcript: Transcript,
    open: Option<Chunk>,
    /// When the chunk before `open` began, or the command.
    before: u64,
    resolution: u64,
    /// How many chunks were written, and how many of them because time had passed.
    chunks: u64,
    timed: u64,
}

struct Chunk {
    stream: Stream,
    began: u64,
    length: u64,
}

impl Recorder {
    /// For a command that starts at `now`, in nanoseconds of the monotonic clock.
    pub fn new(now: u64) -> Recorder {
        Recorder {
            transcript: Transcript::default(),
            open: None,
            before: now,
            resolution: RESOLUTION,
            chunks: 0,
            timed: 0,
        }
    }

    /// Takes note of `length` bytes that came through `stream` at `now`.
    pub fn note(&mut self, now: u64, stream: Stream, length: u64) {
        match &mut self.open {
            Some(open) if open.stream == stream => {
                if now.saturating_sub(open.began) <= self.resolution {
                    open.length += length;
                    return;
                }
                self.timed += 1;
                if self.timed.is_multiple_of(COARSER_AFTER) {
                    self.resolution = self.resolution.saturating_mul(2);
                }
            }
            _ => {}
        }
        self.close();
        self.open = Some(Chunk { stream, began: now, length });
    }

    /// Writes the open chunk down.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.chunks += 1;
        if self.chunks <= MOST {
            self.transcript.push(open.began.saturating_sub(self.before), open.stream, open.length);
        }
        self.before = open.began;
    }

    /// The transcript, or `None` if there were more chunks than can be kept.
    pub fn finish(mut self) -> Option<Transcript> {
        self.close();
        (self.chunks <= MOST).then_some(self.transcript)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};

    const MS: u64 = 1_000_000;

    fn record(notes: &[(u64, Stream, u64)]) -> Vec<(u64, Stream, u64)> {
        let mut recorder = Recorder::new(100);
        for &(now, stream, length) in notes {
            recorder.note(now, stream, length);
        }
        recorder.finish().unwrap().chunks().map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_close_in_time_are_one() {
        let notes = [(100, Stdout, 1), (100 + MS, Stdout, 2), (101 + MS, Stdout, 4)];
        assert_eq!(record(&notes), [(0, Stdout, 3), (MS + 1, Stdout, 4)]);
    }

    #[test]
    fn the_order_of_streams_is_kept_however_fast_they_alternate() {
        let notes = [(105, Stdout, 1), (105, Stderr, 2), (106, Stdout, 3), (107, Stdout, 4)];
        assert_eq!(record(&notes), [(5, Stdout, 1), (0, Stderr, 2), (1, Stdout, 7)]);
    }

    #[test]
    fn nothing_written_is_an_empty_transcript() {
        assert_eq!(record(&[]), []);
    }

    #[test]
    fn a_long_run_gets_coarser_and_loses_no_byte() {
        let notes: Vec<_> = (0..1_000_000).map(|number| (100 + number * 2 * MS, Stdout, 3)).collect();
        let chunks = record(&notes);
        assert!(chunks.len() < 50_000, "{}", chunks.len());
        assert_eq!(chunks.iter().map(|chunk| chunk.2).sum::<u64>(), 3_000_000);
        let last = chunks.iter().map(|chunk| chunk.0).sum::<u64>();
        assert!(last <= 999_999 * 2 * MS && last > 900_000 * 2 * MS);
    }

    #[test]
    fn endless_alternation_is_given_up() {
        let mut recorder = Recorder::new(0);
        for number in 0..MOST {
            recorder.note(number, if number % 2 == 0 { Stdout } else { Stderr }, 1);
        }
        recorder.note(MOST, Stdout, 1);
        assert!(recorder.finish().is_none());
    }
}
