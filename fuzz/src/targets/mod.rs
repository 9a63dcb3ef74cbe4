//! The table of targets: what each one attacks, its body, what it starts from, and how much memory it may take.

mod config;
mod disk;
mod four_letter;
mod peer;
mod records;
mod seeds;
mod server;
mod wire;

/// Everything that is fuzzed.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it attacks.
    pub about: &'static str,
    /// Returns, or has found something.
    pub body: fn(&[u8]),
    /// Sound inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Memory in use may rise by this many bytes for each byte of input, above [`Target::base`].
    pub per_byte: usize,
    /// Bytes that any input may cost.
    pub base: usize,
}

/// No single request may be larger, whatever the target.
pub const LARGEST: usize = 64 * 1024 * 1024;

/// The longest that one input may take, in milliseconds of an unoptimised build.
pub const SLOWEST: u64 = 2000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "records",
        about: "every record of the archive",
        body: records::records,
        seeds: records::seeds,
        // The text of a failed comparison and the copies of round trips.
        per_byte: 400,
        base: 64 * KIB,
    },
    Target {
        name: "text",
        about: "strings as the reference's runtime mends them",
        body: records::text,
        seeds: seeds::texts,
        per_byte: 40,
        base: 64 * KIB,
    },
    Target {
        name: "frames",
        about: "the frames of a client, one after the other",
        body: wire::frames,
        seeds: seeds::frames,
        // A vector of a dozen bytes an element becomes elements of 56, doubled while it grows.
        per_byte: 64,
        base: 64 * KIB,
    },
    Target {
        name: "handshake",
        about: "the first frame",
        body: wire::handshake,
        seeds: seeds::handshakes,
        per_byte: 8,
        base: 64 * KIB,
    },
    Target {
        name: "multi",
        about: "the bodies of multi and multiRead",
        body: wire::multi,
        seeds: seeds::multis,
        per_byte: 128,
        base: 64 * KIB,
    },
    Target {
        name: "transactions",
        about: "what log, peers and tree share: read, then replayed twice",
        body: disk::transactions,
        seeds: seeds::transactions,
        per_byte: 128,
        base: MIB,
    },
    Target {
        name: "log",
        about: "a log file: scanned whole, read by a cursor, and both agree",
        body: disk::log,
        seeds: seeds::logs,
        per_byte: 32,
        // The cursor's window, and the simulated disk.
        base: 8 * MIB,
    },
    Target {
        name: "snapshot",
        about: "a snapshot, packed or not: read in windows and at once, loaded, written again",
        body: disk::snapshot,
        seeds: seeds::snapshots,
        // Packed ones grow when they are unpacked.
        per_byte: 2048,
        base: 40 * MIB,
    },
    Target {
        name: "epochs",
        about: "epoch files, the durable mark, names of files",
        body: disk::epochs,
        seeds: seeds::epochs,
        per_byte: 32,
        base: MIB,
    },
    Target {
        name: "recovery",
        about: "a data directory with any snapshot, log and small files: a server starts or refuses, twice alike",
        body: disk::recovery,
        seeds: seeds::directories,
        per_byte: 2048,
        base: 40 * MIB,
    },
    Target {
        name: "zoo_cfg",
        about: "a zoo.cfg, to settings and to the report of them",
        body: config::zoo_cfg,
        seeds: seeds::zoo_cfgs,
        per_byte: 400,
        base: 4 * MIB,
    },
    Target {
        name: "toml",
        about: "a quoll.toml",
        body: config::toml,
        seeds: seeds::tomls,
        per_byte: 1000,
        base: 4 * MIB,
    },
    Target {
        name: "servers",
        about: "server lines and the dynamic configuration",
        body: config::servers,
        seeds: seeds::servers,
        per_byte: 400,
        base: 256 * KIB,
    },
    Target {
        name: "four_letter",
        about: "four-letter words, and answers made of hostile names",
        body: four_letter::words,
        seeds: seeds::words,
        per_byte: 200,
        base: MIB,
    },
    Target {
        name: "server",
        about: "clients' frames through validation, order and tree; then a snapshot of it, loaded",
        body: server::frames,
        seeds: seeds::sessions,
        per_byte: 1000,
        base: 8 * MIB,
    },
    Target {
        name: "packets",
        about: "the quorum port: packets of a learner or a leader, whole and in pieces",
        body: peer::packets,
        seeds: peer::packet_seeds,
        // A vector of identities of eight bytes each becomes two strings each, kept twice and written twice.
        per_byte: 64,
        base: 64 * KIB,
    },
    Target {
        name: "election",
        about: "the election port: an introduction, then votes",
        body: peer::election,
        seeds: peer::election_seeds,
        per_byte: 32,
        base: 64 * KIB,
    },
];
