//! Records of files.

use crate::macros::records;

records! {
    /// First bytes of a log and of a snapshot.
    FileHeader {
        /// Magic number.
        magic: i32,
        /// 2.
        version: i32,
        /// 0 in logs, -1 in snapshots.
        dbid: i64,
    }
}
