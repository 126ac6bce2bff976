//! Keeping a cache within its limits by itself, while others go on using it.
//!
//! Nobody counts what is in a cache: a count that every run had to write would be one more file to wait for, and one more to
//! be wrong. Who stores a call draws a lot instead, and looks after the cache with a chance of what it adds to a hundredth
//! of the limit. So on average there is one look for each hundredth, however many processes store, and what one misses the
//! next one finds. The lot is the call's own key, which is as good as random.

use std::sync::atomic::Ordering;

use rustix::fs::statvfs;

use super::{Freed, Limits};
use crate::error::Error;
use crate::model::{CacheLimits, Key, MaxSize};
use crate::store::{Access, Store};
use crate::sys::{clock, lock};

/// The size that a cache has at most where nobody says another: 20 GiB, or a tenth of the file system if that is less.
const USUAL: u64 = 20 << 30;
const USUAL_PERCENT: f64 = 10.0;
/// A look comes on average for each such part of a limit that is added.
const PARTS: u64 = 100;
/// One call in so many looks where only an age is limited.
const SELDOM: u64 = 256;
/// What is removed once there is too much, so that it is not too much again at once: a tenth.
const ROOM: u64 = 10;
/// The byte of the lock file that is held by who looks.
const LOOK_BYTE: u64 = (1 << 63) - 1;

impl Store {
    /// The same store, to be kept within `limits`.
    pub fn within(mut self, limits: &CacheLimits) -> Store {
        self.limits = limits.clone();
        self
    }

    /// What it is kept within.
    pub fn limits(&self) -> &CacheLimits {
        &self.limits
    }

    /// How many bytes it may have, if somebody said so.
    pub fn configured_size(&self) -> Option<u64> {
        self.limits.max_size.map(|_| self.most_bytes())
    }

    /// Draws the lot for a call that was stored and added so many bytes.
    pub(in crate::store) fn draw(&self, key: &Key, added: u64) {
        if self.is_drawn(key, added) {
            self.leave_due();
        }
    }

    /// Whether it is on this process to [`look after`](Store::look_after) the cache, by lot or because it was left to it.
    pub fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed)
    }

    /// Leaves it to this process to look after the cache.
    pub fn leave_due(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }

    fn is_drawn(&self, key: &Key, added: u64) -> bool {
        let mut lot = [0; 4];
        lot.copy_from_slice(&key.0.0[..4]);
        let lot = f64::from(u32::from_le_bytes(lot)) / f64::from(u32::MAX);
        let share = |part: u64, of: u64| part as f64 * PARTS as f64 / of.max(1) as f64;
        let by_size = share(added, self.most_bytes());
        let by_count = self.limits.max_entries.map_or(0.0, |most| share(1, most));
        let by_age = self.limits.max_age.map_or(0.0, |_| 1.0 / SELDOM as f64);
        lot <= by_size.max(by_count).max(by_age)
    }

    /// Evicts what is beyond the limits, and what only that kept; nothing if somebody is at it. Room is made for a tenth of
    /// a limit that is passed.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read or written.
    pub fn look_after(&self) -> Result<Freed, Error> {
        let open = || Error::failure("cannot open the lock file of the cache");
        let file = self.folder.open_or_create("lock").map_err(|why| open().because(why))?;
        let mut all = Freed::default();
        // Without locks nobody knows who else is at it: then it is `fleche gc` that makes room.
        while self.access == Access::ReadWrite && lock::try_exclusive(&file, LOOK_BYTE).unwrap_or(false) {
            let freed = self.kept_within();
            let _ = lock::release(&file, LOOK_BYTE);
            let freed = freed?;
            all.add_all(&freed);
            // Who stored meanwhile found the lock taken and left it to us: this looks at what they stored too.
            if freed == Freed::default() || self.beyond()?.is_none() {
                break;
            }
        }
        Ok(all)
    }

    fn kept_within(&self) -> Result<Freed, Error> {
        let nothing: super::Progress = &|_, _| {};
        let (max_size, max_entries) = self.beyond()?.unwrap_or((self.most_bytes(), self.limits.max_entries));
        let limits = Limits {
            max_size: Some(max_size),
            max_age: self.limits.max_age.map(clock::nanoseconds),
            max_entries,
            // Nobody who is storing a call can lose what it needs: that waits for this, and this for that.
            grace: 0,
        };
        self.collect(&self.gc_plan(&limits, nothing)?, nothing)
    }

    /// The bytes and the calls that are to be left, if there are more than there may be.
    fn beyond(&self) -> Result<Option<(u64, Option<u64>)>, Error> {
        let catalogue = self.own_catalogue()?;
        let (size, count) = (catalogue.size()?, catalogue.count(&Default::default())?);
        let most = (self.most_bytes(), self.limits.max_entries);
        let is_beyond = size > most.0 || most.1.is_some_and(|most| count > most);
        let room = |most: u64, now: u64| if now > most { most - most / ROOM } else { most };
        Ok(is_beyond.then(|| (room(most.0, size), most.1.map(|most| room(most, count)))))
    }

    /// How many bytes of calls and values it may have.
    fn most_bytes(&self) -> u64 {
        let percent = |percent: f64| {
            let system = statvfs(self.folder.path()).ok()?;
            Some((system.f_blocks.saturating_mul(system.f_frsize) as f64 * percent / 100.0) as u64)
        };
        match self.limits.max_size {
            Some(MaxSize::Bytes(most)) => most,
            Some(MaxSize::Percent(share)) => percent(share).unwrap_or(USUAL),
            None => percent(USUAL_PERCENT).map_or(USUAL, |most| most.min(USUAL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Digest;
    use crate::store::testing::{World, call};

    fn kept(world: &World, limits: CacheLimits) -> Store {
        Store::open(world.store.folder()).unwrap().within(&limits)
    }

    fn entries(most: u64) -> CacheLimits {
        CacheLimits { max_entries: Some(most), ..CacheLimits::default() }
    }

    #[test]
    fn what_is_beyond_a_limit_goes_with_some_room_and_pins_stay() {
        let world = World::new();
        for number in 0..30 {
            let mut made = call(&number.to_string());
            if number < 5 {
                made.tags.insert("pin".into(), String::new());
            }
            world.record(made);
        }
        let store = kept(&world, entries(20));
        assert_eq!(store.look_after().unwrap().calls, 12);
        let left = store.catalogue().unwrap().count(&Default::default()).unwrap();
        assert_eq!(left, 18);
        assert_eq!(store.look_after().unwrap(), Freed::default());
        let pinned = (0..5).all(|number| store.call(&call(&number.to_string()).key).unwrap().is_some());
        assert!(pinned);
    }

    #[test]
    fn one_looks_after_a_cache_at_a_time() {
        let world = World::new();
        (0..3).for_each(|number| drop(world.record(call(&number.to_string()))));
        let store = kept(&world, entries(0));
        let held = store.folder.open_or_create("lock").unwrap();
        assert!(lock::try_exclusive(&held, LOOK_BYTE).unwrap());
        assert_eq!(store.look_after().unwrap(), Freed::default());
        lock::release(&held, LOOK_BYTE).unwrap();
        assert_eq!(store.look_after().unwrap().calls, 3);
    }

    #[test]
    fn there_is_about_one_look_for_each_hundredth_of_a_limit() {
        let world = World::new();
        let looks = |limits: CacheLimits, added: u64| {
            let store = kept(&world, limits);
            let keys = (0..20_000u32).map(|number| Key(Digest::of(&number.to_le_bytes())));
            keys.filter(|key| store.is_drawn(key, added)).count()
        };
        let bytes = |most| CacheLimits { max_size: Some(MaxSize::Bytes(most)), ..CacheLimits::default() };
        assert_eq!(looks(bytes(1000), 10), 20_000);
        assert!((1800..2200).contains(&looks(bytes(1_000_000), 1000)));
        assert!((1800..2200).contains(&looks(entries(1000), 0)));
        let aged = CacheLimits { max_age: Some(Duration::from_secs(1)), ..CacheLimits::default() };
        assert!((50..110).contains(&looks(aged, 0)));
        assert!(looks(CacheLimits::default(), 1000) < 20);
    }

    #[test]
    fn a_share_of_the_file_system_is_less_than_all_of_it() {
        let world = World::new();
        let most = |max_size| kept(&world, CacheLimits { max_size, ..CacheLimits::default() }).most_bytes();
        let all = most(Some(MaxSize::Percent(100.0)));
        assert!(most(Some(MaxSize::Percent(50.0))).abs_diff(all / 2) <= 1);
        assert_eq!(most(None), USUAL.min(most(Some(MaxSize::Percent(USUAL_PERCENT)))));
        assert_eq!(most(Some(MaxSize::Bytes(7))), 7);
    }
}
