//! Work that makes more work, shared by a few threads.
//!
//! Owns who does what next, and when all is done. Refuses to know what the work is.
//!
//! Each worker takes its own latest task first, so that a walk goes deep before it goes wide and few directories are
//! open at a time. It gives the older half of its tasks away when another worker has none.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The tasks that any worker may take.
pub(super) struct Queue<T> {
    shared: Mutex<Shared<T>>,
    wake: Condvar,
    workers: usize,
    idle: AtomicUsize,
}

struct Shared<T> {
    tasks: Vec<T>,
    is_closed: bool,
}

impl<T> Queue<T> {
    /// A queue with its first task.
    pub(super) fn new(workers: usize, first: T) -> Self {
        let shared = Mutex::new(Shared { tasks: vec![first], is_closed: false });
        Self { shared, wake: Condvar::new(), workers, idle: AtomicUsize::new(0) }
    }

    /// The next task: the worker's own latest, or a shared one; `None` when all is done or the queue was closed.
    pub(super) fn next(&self, own: &mut Vec<T>) -> Option<T> {
        if let Some(task) = own.pop() {
            if self.idle.load(Relaxed) > 0 && !own.is_empty() {
                self.give(own);
            }
            return Some(task);
        }
        let mut shared = self.lock();
        loop {
            if shared.is_closed {
                return None;
            }
            if let Some(task) = shared.tasks.pop() {
                return Some(task);
            }
            if self.idle.fetch_add(1, Relaxed) + 1 == self.workers {
                shared.is_closed = true;
                self.wake.notify_all();
                return None;
            }
            shared = self.wake.wait(shared).unwrap_or_else(PoisonError::into_inner);
            self.idle.fetch_sub(1, Relaxed);
        }
    }

    /// Ends the work: every worker gets `None` once its own tasks are gone.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_all();
    }

    fn give(&self, own: &mut Vec<T>) {
        let older = own.len().div_ceil(2);
        self.lock().tasks.extend(own.drain(..older));
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue when a worker ends, so that a panic in one does not leave the others waiting for ever.
pub(super) struct CloseAtEnd<'q, T>(pub &'q Queue<T>);

impl<T> Drop for CloseAtEnd<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn all_work_is_done_once_by_any_number_of_workers() {
        for workers in 1..=8 {
            let queue = Queue::new(workers, 14u32);
            let done = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| {
                        let mut own = Vec::new();
                        while let Some(height) = queue.next(&mut own) {
                            done.fetch_add(1, Relaxed);
                            own.extend((height > 0).then_some([height.saturating_sub(1); 2]).into_iter().flatten());
                        }
                    });
                }
            });
            assert_eq!(done.into_inner(), (1 << 15) - 1);
        }
    }

    #[test]
    fn a_panic_in_one_worker_ends_the_others() {
        let queue = Queue::new(2, ());
        let panicked = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let _close = CloseAtEnd(&queue);
                        queue.next(&mut Vec::new()).map(|()| panic!("on purpose"))
                    })
                })
                .collect();
            workers.into_iter().filter(|_| true).map(|worker| worker.join().is_err()).filter(|failed| *failed).count()
        });
        assert_eq!(panicked, 1);
    }
}
