//! Every fixed bound of the server, with its reason. Bounds that operators set live in `config`.

/// Default of `jute.maxbuffer`: the longest frame a client may send.
pub const MAX_BUFFER: usize = 0xf_ffff;

/// What one readiness of a socket may read before other connections get their turn. Large enough for the
/// deepest pipelines of real clients (64 requests of 1 KiB), small enough for a fair share.
pub const READ_CHUNK: usize = 64 * 1024;

/// Bytes of replies waiting for one client at which the server stops reading from it.
pub const OUTBOX_SOFT: usize = 1024 * 1024;

/// Bytes of replies and events waiting for one client at which it is cut off. A client that never reads may
/// cost this much and no more; the largest single reply (all children of a huge node) must still fit.
pub const OUTBOX_HARD: usize = 64 * 1024 * 1024;

/// Requests of one connection that may wait behind its own unfinished writes.
pub const LANE_DEPTH: usize = 4096;

/// Transactions applied under one exclusive lock before readers get a chance.
pub const APPLY_BATCH: usize = 1000;

/// Entries the log thread takes in one group commit, as the reference's `maxBatchSize`.
pub const COMMIT_BATCH: usize = 1000;

/// How long a freshly accepted connection may stay without a session, in ms.
pub const SESSIONLESS_TIMEOUT: i64 = 10_000;

/// Recent transactions kept in memory for peers that fell behind a little (`commitLogCount`).
pub const COMMITTED_RING: usize = 500;

/// One digest is remembered for every zxid that this divides, as the reference does.
pub const DIGEST_INTERVAL: i64 = 128;

/// Remembered digests at most.
pub const DIGEST_LOG: usize = 1024;

const _: () = assert!(OUTBOX_SOFT < OUTBOX_HARD);
