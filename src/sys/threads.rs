//! Work that several threads share: each takes the next part until none is left, so that who is slower does less.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many threads the processors can run at a time.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work` for all `items`, which gives a result for each, and returns the results in order.
///
/// Up to `threads` threads, of which this is one, take `part` items at a time. What `begin` makes is a thread's own, from its
/// first part to its last. Where a thread cannot be made (a limit on processes, no memory), the others do its work.
pub fn share<T: Sync, S, R: Send>(
    items: &[T],
    part: usize,
    threads: usize,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let part = part.max(1);
    let threads = threads.min(items.len().div_ceil(part));
    if threads <= 1 {
        return work(&mut begin(), items);
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take_turns = || {
        let (mut own, mut mine) = (begin(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(rest) =
                number.checked_mul(part).and_then(|start| items.get(start..)).filter(|rest| !rest.is_empty())
            else {
                break;
            };
            mine.push((number, work(&mut own, &rest[..part.min(rest.len())])));
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_what_they_are_of() {
        for count in [0, 1, 2, 7, 100] {
            let items: Vec<usize> = (0..count).collect();
            for (part, threads) in [(0, 2), (1, 1), (1, 2), (3, 2), (3, 4), (7, 3), (200, 4)] {
                let double = |_: &mut (), part: &[usize]| part.iter().map(|item| item * 2).collect();
                let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
                assert_eq!(share(&items, part, threads, || (), double), expected, "{count} {part} {threads}");
            }
        }
    }

    #[test]
    fn each_thread_has_its_own_and_no_more_threads_are_made_than_are_wanted() {
        let begun = AtomicUsize::new(0);
        let begin = || begun.fetch_add(1, Ordering::Relaxed);
        let owners = share(&[(); 100], 1, 3, begin, |own, part| vec![*own; part.len()]);
        assert_eq!(owners.len(), 100);
        assert!(owners.iter().all(|own| *own < 3) && begun.load(Ordering::Relaxed) <= 3);
        // One that waits for another: nobody holds a part that somebody else could do.
        let met = AtomicUsize::new(0);
        let meet = |_: &mut (), part: &[()]| {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            part.to_vec()
        };
        assert_eq!(share(&[(); 2], 1, 2, || (), meet).len(), 2);
    }
}
