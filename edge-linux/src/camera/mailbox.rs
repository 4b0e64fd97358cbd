//! A mailbox with room for one: what lies in it when something newer comes is dropped, and counted.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Hands buffers from one thread to another. They are swapped, so three of them circulate and none is made anew.
#[derive(Debug, Default)]
pub(crate) struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot<T> {
    item: T,
    full: bool,
    closed: bool,
    counts: Counts,
}

/// What passed through a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Items that were put in.
    pub(crate) put: u64,
    /// Items dropped for newer ones, or because nobody takes them any more.
    pub(crate) dropped: u64,
    /// Items that came after nobody took any more.
    pub(crate) refused: u64,
}

/// What [`Mailbox::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// An item, which was taken out.
    Item,
    /// Nothing came in time.
    Nothing,
    /// Nothing more will come.
    Closed,
}

impl<T> Mailbox<T> {
    /// Puts `item` in, and gives an old buffer for it. Whatever lay there is dropped. `false` once the mailbox is closed.
    pub(crate) fn put(&self, item: &mut T) -> bool {
        self.fill(self.lock(), item)
    }

    /// As [`put`](Self::put), but waits until the mailbox is empty: nothing is dropped.
    pub(crate) fn put_when_empty(&self, item: &mut T) -> bool {
        let slot = self.changed.wait_while(self.lock(), |slot| slot.full && !slot.closed);
        self.fill(slot.unwrap_or_else(PoisonError::into_inner), item)
    }

    fn fill(&self, mut slot: MutexGuard<'_, Slot<T>>, item: &mut T) -> bool {
        if slot.closed {
            slot.counts.refused += 1;
            return false;
        }
        mem::swap(&mut slot.item, item);
        slot.counts.put += 1;
        slot.counts.dropped += u64::from(slot.full);
        slot.full = true;
        self.changed.notify_all();
        true
    }

    /// Takes what lies there, for an old buffer; waits for it, but not longer than `patience`.
    pub(crate) fn take(&self, item: &mut T, patience: Duration) -> Taken {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |slot| !slot.full && !slot.closed);
        let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if slot.full {
            mem::swap(&mut slot.item, item);
            slot.full = false;
            self.changed.notify_all();
            return Taken::Item;
        }
        if slot.closed { Taken::Closed } else { Taken::Nothing }
    }

    /// Says that nothing more comes. What lies there can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Says that nobody takes anything any more. What lies there is dropped.
    pub(crate) fn abandon(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        slot.counts.dropped += u64::from(mem::take(&mut slot.full));
        self.changed.notify_all();
    }

    /// What passed through, up to now.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// A thread that panicked leaves a slot that is whole all the same.
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_secs(60);

    #[test]
    fn the_newest_is_there_and_the_others_are_counted() {
        let mailbox = Mailbox::default();
        let mut taken = 0;
        assert_eq!(mailbox.take(&mut taken, SOON), Taken::Nothing);
        for mut number in 1..=5 {
            assert!(mailbox.put(&mut number));
        }
        assert_eq!((mailbox.take(&mut taken, SOON), taken, mailbox.counts().dropped), (Taken::Item, 5, 4));
        mailbox.put(&mut 6);
        mailbox.close();
        assert!(!mailbox.put(&mut 7));
        assert_eq!((mailbox.take(&mut taken, SOON), taken), (Taken::Item, 6));
        assert_eq!(mailbox.counts(), Counts { put: 6, dropped: 4, refused: 1 });
        assert_eq!(mailbox.take(&mut taken, LATE), Taken::Closed);
    }

    #[test]
    fn what_nobody_takes_any_more_is_dropped() {
        let mailbox = Mailbox::default();
        mailbox.put(&mut 1);
        mailbox.abandon();
        mailbox.abandon();
        assert!(!mailbox.put_when_empty(&mut 2));
        assert_eq!(mailbox.counts(), Counts { put: 1, dropped: 1, refused: 1 });
        assert_eq!(mailbox.take(&mut 0, LATE), Taken::Closed);
    }

    #[test]
    fn who_waits_drops_nothing() {
        let mailbox = Arc::new(Mailbox::default());
        let sender = Arc::clone(&mailbox);
        let thread = thread::spawn(move || {
            for mut number in 0..1000_u32 {
                assert!(sender.put_when_empty(&mut number));
            }
            sender.close();
        });
        let (mut taken, mut all) = (0, Vec::new());
        while mailbox.take(&mut taken, LATE) == Taken::Item {
            all.push(taken);
        }
        thread.join().unwrap();
        assert_eq!((all, mailbox.counts().dropped), ((0..1000).collect(), 0));
    }

    #[test]
    fn buffers_circulate() {
        let mailbox = Mailbox::default();
        let (mut sent, mut received) = (vec![1_u8], vec![2_u8]);
        let mut seen = Vec::new();
        for _ in 0..9 {
            sent.resize(1, 3);
            seen.push(sent[0]);
            mailbox.put(&mut sent);
            mailbox.take(&mut received, SOON);
        }
        assert_eq!(seen, [1, 3, 2, 1, 3, 2, 1, 3, 2]);
    }
}
