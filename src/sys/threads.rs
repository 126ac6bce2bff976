//! Work that several threads share: each takes the next part until none is left, so that who is slower does less.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many threads the processors can run at a time.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// What a thread has that no other thread of the process shares with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// A working directory, which it may change as it likes.
    Directory,
    /// Nothing.
    Nothing,
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
    let threads = most(threads, items, part);
    if threads <= 1 {
        return work(&mut begin(), items);
    }
    let turns = Turns::of(items, part);
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, || turns.take(&begin, &work)).is_err() {
                break;
            }
        }
        turns.take(&begin, &work);
    });
    turns.results()
}

/// The same, where more than one thread is worth it by threads that have a working directory of their own, if the kernel (or
/// who confines this process) allows it: `begin` is told. Then this one only waits.
pub fn share_apart<T: Sync, S, R: Send>(
    items: &[T],
    part: usize,
    threads: usize,
    begin: impl Fn(Own) -> S + Sync,
    work: impl Fn(&mut S, &[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let threads = most(threads, items, part);
    let turns = Turns::of(items, part);
    let is_apart = threads > 1
        && thread::scope(|scope| {
            let start = || thread::Builder::new().spawn_scoped(scope, || turns.take(|| begin(go_apart()), &work));
            (0..threads).take_while(|_| start().is_ok()).count() > 0
        });
    if is_apart { turns.results() } else { work(&mut begin(Own::Nothing), items) }
}

/// Gives this thread, which must have been made for it, a working directory of its own.
/// A filter of a container may refuse the call; those of systemd allow it with the others for processes.
fn go_apart() -> Own {
    // SAFETY: from now on the working directory and the umask of this thread are copies.
    match unsafe { libc::unshare(libc::CLONE_FS) } {
        0 => Own::Directory,
        _ => Own::Nothing,
    }
}

/// No more threads than there are parts.
fn most<T>(threads: usize, items: &[T], part: usize) -> usize {
    threads.min(items.len().div_ceil(part.max(1)))
}

/// Items that are taken by parts, and the results.
struct Turns<'a, T, R> {
    items: &'a [T],
    part: usize,
    next: AtomicUsize,
    done: Mutex<Vec<(usize, Vec<R>)>>,
}

impl<'a, T, R> Turns<'a, T, R> {
    fn of(items: &'a [T], part: usize) -> Turns<'a, T, R> {
        Turns { items, part: part.max(1), next: AtomicUsize::new(0), done: Mutex::new(Vec::new()) }
    }

    /// Takes the next part until none is left.
    fn take<S>(&self, begin: impl Fn() -> S, work: &impl Fn(&mut S, &[T]) -> Vec<R>) {
        let (mut own, mut mine) = (begin(), Vec::new());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let start = number.checked_mul(self.part);
            let rest = start.and_then(|start| self.items.get(start..)).filter(|rest| !rest.is_empty());
            let Some(rest) = rest else { break };
            mine.push((number, work(&mut own, &rest[..self.part.min(rest.len())])));
        }
        self.done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
    }

    fn results(self) -> Vec<R> {
        let mut done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(number, _)| *number);
        done.into_iter().flat_map(|(_, results)| results).collect()
    }
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

    #[test]
    fn threads_apart_may_go_where_they_like() {
        let here = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (count, threads) in [(0, 2), (1, 2), (100, 1), (100, 2), (100, 3)] {
            let items: Vec<usize> = (0..count).collect();
            let begin = |own| {
                // Who confines the tests may not allow it.
                assert!(own == Own::Nothing || count.min(threads) > 1);
                if own == Own::Directory {
                    std::env::set_current_dir(folder.path()).unwrap();
                }
                own
            };
            let work = |own: &mut Own, part: &[usize]| {
                let now = std::env::current_dir().unwrap();
                let expected = if *own == Own::Directory { folder.path() } else { &here };
                assert_eq!(now, expected.canonicalize().unwrap());
                part.iter().map(|item| item * 2).collect()
            };
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(share_apart(&items, 1, threads, begin, work), expected, "{count} {threads}");
            assert_eq!(std::env::current_dir().unwrap(), here);
        }
    }
}
