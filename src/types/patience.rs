//! Whether to try again what was in vain: every second time, then every fourth, and so on.
//!
//! It knows nothing of what is tried. Invariant: it never gives up altogether, so it notices when trying pays again.

/// At the longest, one try in two to the power of this.
const LONGEST: u32 = 6;

/// How long to wait with the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    /// Tries in vain, one after the other.
    vain: u32,
    /// Occasions let go since the last try.
    skipped: u32,
}

impl Patience {
    /// Is this the occasion for a try?
    pub fn tries(&mut self) -> bool {
        if self.skipped < (1 << self.vain.min(LONGEST)) - 1 {
            self.skipped += 1;
            return false;
        }
        self.skipped = 0;
        true
    }

    /// The try has paid.
    pub fn paid(&mut self) {
        self.vain = 0;
    }

    /// The try was in vain.
    pub fn in_vain(&mut self) {
        self.vain = self.vain.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rare_and_frequent_again() {
        let mut patience = Patience::default();
        let until_next = |patience: &mut Patience| (1..).find(|_| patience.tries()).unwrap();
        for wait in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            assert_eq!(until_next(&mut patience), wait);
            patience.in_vain();
        }
        patience.paid();
        for _ in 0..5 {
            assert_eq!(until_next(&mut patience), 1);
        }
    }
}
