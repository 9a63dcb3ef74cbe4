//! The throttle on new and renewed sessions: a bucket of tokens, and above it a chance to be refused that grows
//! while the bucket is empty (`BlueThrottle`). Time and chance are handed in.
//!
//! Two faults of the reference stay out. It counts in 32 bits, so that a long idle time can leave it with a
//! debt of tokens; here every sum saturates. And it forgets elapsed time at each refusal, so that a storm of
//! clients faster than the refill gets nobody in; here time that has passed is never lost.
//!
//! Invariant: there are never fewer than no tokens and never more than the bucket holds.

use crate::config::settings::ConnectionThrottle;
use crate::types::Millis;
use parking_lot::Mutex;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A session that every member will know.
    Global,
    /// A session of this server alone.
    Local,
    /// The session it had.
    Renewal,
}

/// A bucket of tokens.
#[derive(Debug, Clone)]
pub struct Bucket {
    capacity: i64,
    tokens: i64,
    fill_ms: i64,
    fill_count: i64,
    filled_at: Millis,
    /// What is left of elapsed time times count, less than one token's worth.
    rest: i64,
    weights: Option<(i64, i64, i64)>,
    freeze_ms: Option<i64>,
    frozen_at: Millis,
    drop: f64,
    drop_increase: f64,
    drop_decrease: f64,
    /// Used tokens at which the chance to be refused falls.
    low_mark: i64,
}

impl Bucket {
    /// A full bucket, or `None` where the settings turn it off.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a 32-bit size times a 32-bit weight times a ratio; the cast saturates"
    )]
    pub fn new(settings: &ConnectionThrottle, now: Millis) -> Option<Self> {
        if settings.tokens <= 0 {
            return None;
        }
        let weights = settings.weights.then(|| {
            let weight = |w: i32| i64::from(w.max(1));
            (weight(settings.global_weight), weight(settings.local_weight), weight(settings.renew_weight))
        });
        // The settings speak of global sessions.
        let unit = weights.map_or(1, |(global, ..)| global);
        let capacity = i64::from(settings.tokens).saturating_mul(unit);
        Some(Self {
            capacity,
            tokens: capacity,
            fill_ms: i64::from(settings.fill_ms.max(1)),
            fill_count: i64::from(settings.fill_count.max(0)).saturating_mul(unit),
            filled_at: now,
            rest: 0,
            weights,
            freeze_ms: (settings.freeze_ms >= 0).then(|| i64::from(settings.freeze_ms)),
            frozen_at: now,
            drop: 0.0,
            drop_increase: settings.drop_increase,
            drop_decrease: settings.drop_decrease,
            low_mark: (capacity as f64 * settings.decrease_ratio).round() as i64,
        })
    }

    /// Takes the tokens for a client; false if it must be refused. `chance` is evenly spread over 0..1.
    pub fn admit(&mut self, now: Millis, asked: Asked, chance: f64) -> bool {
        let need = match (self.weights, asked) {
            (None, _) => 1,
            (Some((global, ..)), Asked::Global) => global,
            (Some((_, local, _)), Asked::Local) => local,
            (Some((.., renewal)), Asked::Renewal) => renewal,
        };
        self.refill(now);
        if let Some(freeze) = self.freeze_ms {
            self.adjust(now, freeze);
            if chance < self.drop {
                return false;
            }
        }
        let enough = self.tokens >= need;
        if enough {
            self.tokens -= need;
        }
        enough
    }

    fn refill(&mut self, now: Millis) {
        let elapsed = now.0.saturating_sub(self.filled_at.0);
        if elapsed <= self.fill_ms {
            return;
        }
        let worth = elapsed.saturating_mul(self.fill_count).saturating_add(self.rest);
        self.tokens = self.tokens.saturating_add(worth / self.fill_ms).min(self.capacity);
        self.rest = worth % self.fill_ms;
        self.filled_at = now;
    }

    fn adjust(&mut self, now: Millis, freeze: i64) {
        if now.0.saturating_sub(self.frozen_at.0) <= freeze {
            return;
        }
        self.frozen_at = now;
        if self.tokens == 0 && self.drop < 1.0 {
            self.drop = (self.drop + self.drop_increase).min(1.0);
        } else if self.deficit() <= self.low_mark && self.drop > 0.0 {
            self.drop = (self.drop - self.drop_decrease).max(0.0);
        }
    }

    /// Tokens that are out.
    #[must_use]
    pub fn deficit(&self) -> i64 {
        self.capacity - self.tokens
    }

    /// How likely the next client is refused whatever the bucket holds.
    #[must_use]
    pub fn drop_probability(&self) -> f64 {
        self.drop
    }
}

/// The bucket at work: behind a lock, with a source of chance.
#[derive(Debug)]
pub struct Throttle {
    inner: Mutex<(Bucket, u64)>,
}

impl Throttle {
    /// `None` where the settings turn it off.
    #[must_use]
    pub fn new(settings: &ConnectionThrottle, now: Millis, seed: u64) -> Option<Self> {
        Some(Self { inner: Mutex::new((Bucket::new(settings, now)?, seed | 1)) })
    }

    /// The tokens that are out once this client has its own, or nothing if it must be refused.
    pub fn admit(&self, now: Millis, asked: Asked) -> Option<i64> {
        let mut inner = self.inner.lock();
        let (bucket, seed) = &mut *inner;
        // Xorshift: whom it hits must not be foreseeable by a client's rhythm, and no more than that.
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let chance = f64::from(u32::try_from(*seed >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        bucket.admit(now, asked, chance).then(|| bucket.deficit())
    }

    /// See [`Bucket::drop_probability`].
    #[must_use]
    pub fn drop_probability(&self) -> f64 {
        self.inner.lock().0.drop_probability()
    }
}

/// A warning that comes once a second at most, however often its reason does.
#[derive(Debug, Default)]
pub struct Hush {
    inner: Mutex<(Option<Millis>, u64)>,
}

/// The shortest time between two lines of a [`Hush`].
const QUIET: i64 = 1000;

impl Hush {
    /// Should it be said now? Then how often it was not said since the last time.
    pub fn breaks(&self, now: Millis) -> Option<u64> {
        let mut inner = self.inner.lock();
        let (said, withheld) = &mut *inner;
        if said.is_some_and(|said| now.0.saturating_sub(said.0) < QUIET) {
            *withheld = withheld.saturating_add(1);
            return None;
        }
        *said = Some(now);
        Some(std::mem::take(withheld))
    }
}

/// What stands behind a line that was withheld before.
#[must_use]
pub fn also(withheld: u64) -> String {
    if withheld == 0 { String::new() } else { format!(" ({withheld} more of these since the last line)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: ConnectionThrottle = ConnectionThrottle {
        tokens: 0,
        fill_ms: 1,
        fill_count: 1,
        freeze_ms: -1,
        drop_increase: 0.02,
        drop_decrease: 0.002,
        decrease_ratio: 0.0,
        weights: false,
        global_weight: 3,
        local_weight: 1,
        renew_weight: 2,
    };

    fn bucket(settings: ConnectionThrottle) -> Bucket {
        Bucket::new(&settings, Millis(1000)).unwrap()
    }

    /// How many of a burst get in.
    fn burst(bucket: &mut Bucket, now: i64, of: usize) -> usize {
        (0..of).filter(|_| bucket.admit(Millis(now), Asked::Global, 0.5)).count()
    }

    #[test]
    fn off_without_tokens() {
        assert!(Bucket::new(&OFF, Millis(0)).is_none());
        assert!(Bucket::new(&ConnectionThrottle { tokens: -5, ..OFF }, Millis(0)).is_none());
    }

    #[test]
    fn a_burst_takes_what_is_there_and_the_refill_gives_it_back() {
        let mut b = bucket(ConnectionThrottle { tokens: 10, fill_ms: 10, ..OFF });
        assert_eq!(burst(&mut b, 1000, 50), 10);
        assert_eq!(b.deficit(), 10);
        assert_eq!(burst(&mut b, 1010, 50), 0, "not before more than a fill time has passed");
        assert_eq!(burst(&mut b, 1035, 50), 3);
        assert_eq!(burst(&mut b, 1060, 50), 3, "half tokens are not lost");
    }

    #[test]
    fn a_long_idle_time_fills_the_bucket_and_no_more() {
        for (fill_ms, fill_count) in [(1, 1), (1, i32::MAX), (i32::MAX, 1), (0, i32::MAX), (-1, 7)] {
            let settings = ConnectionThrottle { tokens: 100, fill_ms, fill_count, ..OFF };
            for idle in [1 << 31, 1 << 32, (1 << 40) + 12_345, i64::MAX - 1000] {
                let mut b = bucket(settings);
                assert_eq!(burst(&mut b, 1000, 200), 100);
                let got = burst(&mut b, 1000 + idle, 200);
                assert_eq!(got, if fill_ms == i32::MAX { got.min(100) } else { 100 }, "{fill_ms} {idle}");
                assert!((0..=100).contains(&b.deficit()));
                assert_eq!(burst(&mut b, 1000 + idle, 200), 0, "and then it is empty again");
            }
        }
        let largest = ConnectionThrottle {
            tokens: i32::MAX,
            fill_count: i32::MAX,
            weights: true,
            global_weight: i32::MAX,
            ..OFF
        };
        let mut b = bucket(largest);
        assert!(b.admit(Millis(1000), Asked::Global, 0.0));
        assert!(b.admit(Millis(i64::MAX), Asked::Global, 0.0));
        assert!(b.admit(Millis(i64::MIN), Asked::Global, 0.0), "a clock that is set back takes nothing");
    }

    #[test]
    fn a_storm_does_not_keep_the_bucket_empty() {
        let mut b = bucket(ConnectionThrottle { tokens: 5, fill_ms: 100, ..OFF });
        assert_eq!(burst(&mut b, 1000, 5), 5);
        let admitted: usize = (1001..=2000).map(|now| burst(&mut b, now, 3)).sum();
        assert!((8..=10).contains(&admitted), "{admitted} of about ten");
    }

    #[test]
    fn weights_multiply_the_bucket_and_count_by_kind() {
        let mut b = bucket(ConnectionThrottle { tokens: 2, weights: true, ..OFF });
        let mut ask = |asked| b.admit(Millis(1000), asked, 0.0);
        assert!(ask(Asked::Global) && ask(Asked::Renewal) && ask(Asked::Local), "3 + 2 + 1 of 2 x 3");
        assert!(!ask(Asked::Local));
        assert!(b.admit(Millis(1002), Asked::Global, 0.0), "two times three came back");
        assert_eq!(b.deficit(), 3);
    }

    #[test]
    fn the_chance_to_be_refused_follows_the_bucket() {
        let settings = ConnectionThrottle {
            tokens: 4,
            fill_ms: 1000,
            fill_count: 4,
            freeze_ms: 10,
            drop_increase: 0.6,
            drop_decrease: 0.25,
            decrease_ratio: 0.5,
            ..OFF
        };
        let mut b = bucket(settings);
        assert_eq!(burst(&mut b, 1005, 9), 4);
        assert_eq!(b.drop_probability(), 0.0, "frozen for ten milliseconds");
        assert!(!b.admit(Millis(1011), Asked::Global, 0.9));
        assert_eq!(b.drop_probability(), 0.6);
        assert!(!b.admit(Millis(1022), Asked::Global, 0.9));
        assert_eq!(b.drop_probability(), 1.0, "never more than certain");
        assert!(!b.admit(Millis(2100), Asked::Global, 0.7), "full again, and falling");
        assert_eq!(b.drop_probability(), 0.75);
        assert!(b.admit(Millis(2105), Asked::Global, 0.8));
        assert!(b.admit(Millis(2105), Asked::Global, 0.8));
        assert!(b.admit(Millis(2105), Asked::Global, 0.8));
        assert!(b.admit(Millis(2120), Asked::Global, 0.8), "more than half is used: no change");
        assert_eq!(b.drop_probability(), 0.75);
    }

    #[test]
    fn a_hush_speaks_once_a_second_and_counts() {
        let hush = Hush::default();
        assert_eq!(hush.breaks(Millis(5)), Some(0));
        assert!((6..1005).all(|now| hush.breaks(Millis(now)).is_none()));
        assert_eq!(hush.breaks(Millis(1005)), Some(999));
        assert_eq!(also(0), "");
    }
}
