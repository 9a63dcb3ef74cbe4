//! The random numbers of a run. Not a library's generator, because a seed that found a fault must make the
//! same sequence after every upgrade.
//!
//! Invariant: the numbers depend on the seed and on the order of the calls, and on nothing else.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 where `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of the items. An empty slice is a fault of the caller.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = self.below(items.len());
        let Some(item) = items.get(at) else { unreachable!("pick from nothing") };
        item
    }

    /// The index of one of the weights, in proportion.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (i, w) in weights.iter().enumerate() {
            if left < *w {
                return i;
            }
            left -= w;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_its_sequence() {
        let mut rng = Rng::new(1);
        assert_eq!(
            [rng.next(), rng.next(), rng.next()],
            [0xc1b4_bb72_8dd9_6dc3, 0xfc94_d6cb_a1d4_622c, 0xe3a8_c908_8ca4_fd45]
        );
    }

    #[test]
    fn weights_of_zero_are_never_taken() {
        let mut rng = Rng::new(7);
        assert!((0..500).all(|_| rng.weighted(&[0, 3, 0, 1]) % 2 == 1));
    }
}
