//! The digest of one node (`DigestCalculator`, version 2): CRC-32 over path, data and stat. A tree's digest is
//! their sum, so validation can tell it before the change is applied.

use jute::records::data::StatPersisted;

/// Version of the digest that transactions carry.
pub const VERSION: i32 = 2;

/// The tree's own nodes change without transactions, so they are left out.
fn counts(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

/// The part of a node's digest that its stat does not touch. The root's path is empty.
#[must_use]
pub fn body(path: &str, data: Option<&[u8]>) -> u32 {
    if !counts(path) {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    if path != "/" {
        crc.update(path.as_bytes());
    }
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// The whole digest of a node; zero where it does not count.
#[must_use]
pub fn node(path: &str, body: u32, stat: &StatPersisted) -> u64 {
    if !counts(path) {
        return 0;
    }
    let mut bytes = [0; 60];
    let (longs, rest) = bytes.split_at_mut(40);
    let times = [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime];
    for (slot, v) in longs.chunks_exact_mut(8).zip(times) {
        slot.copy_from_slice(&v.to_be_bytes());
    }
    let (ints, owner) = rest.split_at_mut(12);
    for (slot, v) in ints.chunks_exact_mut(4).zip([stat.version, stat.cversion, stat.aversion]) {
        slot.copy_from_slice(&v.to_be_bytes());
    }
    owner.copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(body);
    crc.update(&bytes);
    u64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_s_vectors() {
        let root = node("/", body("/", Some(b"")), &StatPersisted::default());
        let zookeeper = node("/zookeeper", body("/zookeeper", Some(b"")), &StatPersisted::default());
        assert_eq!((root, zookeeper), (0x0412_8908, 0x4db4_4d58));
        let t = StatPersisted {
            czxid: 8,
            mzxid: 8,
            pzxid: 8,
            ctime: 0x1a1_f926_0464,
            mtime: 0x1a1_f926_0464,
            ephemeral_owner: 0xff00_0000_0000_ea60_u64.cast_signed(),
            ..Default::default()
        };
        assert_eq!(node("/t", body("/t", Some(b"x")), &t), 0x478b_bdbe);
        assert_eq!(node("/zookeeper/config", body("/zookeeper/config", None), &t), 0);
    }
}
