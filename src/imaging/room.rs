//! Room in memory: all threads together decode and resize in [`IMAGE_MEMORY`], however many they are.
//!
//! A thread enters before it decodes an image and leaves when it is done with it. In between it says what it needs, and waits while others
//! hold too much. Whoever waits holds nothing, so that nobody waits for ever.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::limits::IMAGE_MEMORY;

/// Bytes that all threads hold together.
static HELD_BY_ALL: Mutex<u64> = Mutex::new(0);
/// Told whenever a thread gives something back.
static GIVEN_BACK: Condvar = Condvar::new();

thread_local! {
    /// How often this thread has entered, and the bytes that it holds.
    static MINE: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
}

/// A thread's stay: what it takes meanwhile is given back when the outermost one ends.
#[must_use]
pub struct Room(PhantomData<*const ()>);

impl Room {
    /// Begins a stay of this thread, within another one or not.
    pub fn enter() -> Self {
        MINE.with(|mine| {
            let (entered, bytes) = mine.get();
            mine.set((entered + 1, bytes));
        });
        Self(PhantomData)
    }

    /// Waits until this thread can hold `bytes` in all; at once where it holds as many already. More than [`IMAGE_MEMORY`] are never
    /// there: whoever asks has refused those before.
    #[expect(
        clippy::unused_self,
        reason = "only who has entered may take; what is taken is the thread's"
    )]
    pub(super) fn take(&self, bytes: u64) {
        let bytes = bytes.min(IMAGE_MEMORY);
        let (entered, mine) = MINE.get();
        if bytes <= mine {
            return;
        }
        let mut all = HELD_BY_ALL.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.saturating_sub(mine);
        if mine > 0 {
            GIVEN_BACK.notify_all();
        }
        while *all + bytes > IMAGE_MEMORY {
            all = GIVEN_BACK.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
        *all += bytes;
        MINE.set((entered, bytes));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let (entered, mine) = MINE.get();
        if entered > 1 || mine == 0 {
            MINE.set((entered.saturating_sub(1), mine));
            return;
        }
        MINE.set((0, 0));
        let mut all = HELD_BY_ALL.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.saturating_sub(mine);
        drop(all);
        GIVEN_BACK.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn threads_never_hold_more_than_there_is_and_all_of_them_get_through() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        static MOST: AtomicU64 = AtomicU64::new(0);
        let need = IMAGE_MEMORY / 3 + 1;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let room = Room::enter();
                        room.take(1);
                        let inner = Room::enter();
                        inner.take(need);
                        drop(inner);
                        let now = NOW.fetch_add(need, Ordering::SeqCst) + need;
                        MOST.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        NOW.fetch_sub(need, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = MOST.load(Ordering::SeqCst);
        assert!(most >= need && most <= IMAGE_MEMORY, "{most}");
        assert_eq!(MINE.get(), (0, 0));
    }
}
