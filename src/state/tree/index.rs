//! Node ids under the hashes of their paths, in many small tables instead of a large one: the state never
//! stands still to grow, and never holds a whole table twice.
//!
//! The tables get unequal shares of the hashes, spread over a factor of two, so that they grow one after the
//! other instead of all at once; on average two thirds of what they take is in use.

use hashbrown::HashTable;

/// Tables. At a million nodes each has about a thousand.
const SHARDS: u64 = 1024;

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<HashTable<u32>>,
}

/// What a table sees: the low bits choose the place, and seven that neither place nor shard depends on are
/// the tag in the high ones.
const fn spread(hash: u32) -> u64 {
    (hash as u64) | ((hash as u64 >> 15) & 0x7f) << 57
}

/// `log2(1 + u)` of the upper half `u` as a fraction, near enough, in shards.
const fn shard(hash: u32) -> usize {
    let u = (hash >> 16) as u64;
    ((u * ((4 << 16) - u) * SHARDS / 3) >> 32) as usize
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }

    pub(super) fn find(&self, hash: u32, is: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.shards.get(shard(hash))?.find(spread(hash), is).copied()
    }

    pub(super) fn insert(&mut self, hash: u32, id: u32, hash_of: impl Fn(u32) -> u32) {
        if let Some(table) = self.shards.get_mut(shard(hash)) {
            table.insert_unique(spread(hash), id, |id| spread(hash_of(*id)));
        }
    }

    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        let Some(table) = self.shards.get_mut(shard(hash)) else { return };
        if let Ok(entry) = table.find_entry(spread(hash), |other| *other == id) {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|t| t.allocation_size() + size_of::<HashTable<u32>>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_a_shard_and_shares_differ_by_two() {
        assert_eq!((shard(0), shard(u32::MAX)), (0, SHARDS as usize - 1));
        let mut shares = [0; SHARDS as usize];
        (0..=u16::MAX).for_each(|u| shares[shard(u32::from(u) << 16)] += 1);
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(*least >= 45 && *most <= 98, "{least} {most}");
    }

    #[test]
    fn nine_bytes_a_node_at_any_size() {
        let hash = |n: u32| n.wrapping_mul(0x9e37_79b1) ^ (n >> 3).wrapping_mul(0x85eb_ca6b);
        let mut index = Index::new();
        for n in 0..400_000 {
            index.insert(hash(n), n, hash);
            if n > 100_000 && n % 10_000 == 0 {
                let each = index.bytes() as f64 / f64::from(n);
                assert!((5.5..9.2).contains(&each), "{each} at {n}");
            }
        }
        assert!((0..400_000).step_by(37).all(|n| index.find(hash(n), |id| *id == n) == Some(n)));
        index.remove(hash(5), 5);
        assert_eq!(index.find(hash(5), |id| *id == 5), None);
    }
}
