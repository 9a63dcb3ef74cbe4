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

/// Bytes of requests in the works at which the server stops reading from their client: sixteen of the longest
/// by default, enough to fill a group commit from one client.
pub const LANE_BYTES: usize = 16 * 1024 * 1024;

/// What a request in the works costs beside its own bytes, rounded up.
pub const REQUEST_OVERHEAD: usize = 64;

/// Steps in which what waits for or from one connection counts towards the sum of all. A readable batch of small
/// requests and its replies stay below one, so ordinary traffic never touches the common account.
pub const BACKLOG_STEP: usize = 16 * 1024;

/// Bytes that may wait for and from all clients together, where memory allows. Sixteen clients at their own cap:
/// beyond that the reason is no single client any more, and the largest have to go.
pub const BACKLOG_TOTAL: usize = 1024 * 1024 * 1024;

/// The same on small machines: this part of their memory.
pub const BACKLOG_SHARE: usize = 4;

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

/// Names that one connection may act under. Nobody has more than a few; an ensemble passes all of them on with each
/// write, and looks through them for each entry of an access list.
pub const IDENTITIES: usize = 64;

/// Bytes of these names together: what a follower passes on stays far below the longest packet its leader takes.
pub const IDENTITY_BYTES: usize = 64 * 1024;

const _: () = assert!(OUTBOX_SOFT < OUTBOX_HARD);
const _: () = assert!(OUTBOX_HARD < BACKLOG_TOTAL && LANE_BYTES < BACKLOG_TOTAL);
const _: () = assert!(BACKLOG_STEP < OUTBOX_SOFT);
