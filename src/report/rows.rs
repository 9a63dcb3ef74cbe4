//! The table of what is counted and timed: field, name of the metric, meaning.
//!
//! A row stands here because a server of the reference shows the metric, whether or not this server has the
//! stage that it measures: monitoring looks for the name. Such rows stay zero; which, is in `docs/COMPAT.md`.

use super::counters::{STRIPES, Stripe};
use super::keyed::{Keyed, LEARNERS};
use super::metrics::Metrics;
use super::summary::{Percentiles, Reservoir, Summary};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

macro_rules! rows {
    (
        counters { $($(#[$cdoc:meta])* $counter:ident = $cname:literal;)* }
        summaries { $($(#[$sdoc:meta])* $summary:ident = $sname:literal;)* }
        percentiles { $($(#[$pdoc:meta])* $percentiles:ident = $pname:literal;)* }
    ) => {
        /// Counters and summaries of a server, by the names of the reference.
        #[derive(Debug, Default)]
        pub struct Counters {
            pub(super) stripes: [Stripe; STRIPES],
            pub(super) read_sample: Reservoir,
            pub(super) last_response: AtomicI64,
            pub(super) min_response: AtomicI64,
            pub(super) max_response: AtomicI64,
            /// Clients whose certificate was not accepted. `srst` leaves it alone.
            pub auth_failed: AtomicU64,
            /// Times the log took longer than its warning threshold. `srst` leaves it alone.
            pub fsync_threshold_exceeded: AtomicU64,
            $($(#[$cdoc])* #[doc = concat!("Metric `", $cname, "`.")] pub $counter: AtomicU64,)*
            $($(#[$sdoc])* #[doc = concat!("Metric `", $sname, "`.")] pub $summary: Summary,)*
            $($(#[$pdoc])* #[doc = concat!("Metric `", $pname, "`.")] pub $percentiles: Percentiles,)*
            /// Requests over a quota, by namespace.
            pub quota_exceeded: Keyed<AtomicU64>,
            /// Packets that waited for a learner when another was put down, by its id.
            pub learner_packets: Keyed<Summary, LEARNERS>,
            /// From putting a packet down for a learner to its leaving, ms, by the learner's id.
            pub learner_waits: Keyed<Percentiles, LEARNERS>,
            /// From making a transaction to a server's acknowledgement, ms, by the server's id.
            pub ack_latencies: Keyed<Percentiles, LEARNERS>,
            pub(super) reads_by_namespace: Keyed<Summary>,
            pub(super) writes_by_namespace: Keyed<Summary>,
        }

        impl Counters {
            pub(super) fn rows_to(&self, into: &mut Metrics) {
                $(into.counters.push(($cname, self.$counter.load(Relaxed)));)*
                $(into.summaries.push(($sname, self.$summary.totals()));)*
                $(into.percentiles.push(($pname, self.$percentiles.totals(), self.$percentiles.quantiles()));)*
            }

            pub(super) fn reset_rows(&self) {
                $(self.$counter.store(0, Relaxed);)*
                $(self.$summary.reset();)*
                $(self.$percentiles.reset();)*
            }
        }
    };
}

rows! {
    counters {
        /// Entries into looking for a leader.
        looking = "looking_count";
        /// Learners brought up to date from the log.
        diffs = "diff_count";
        /// Learners brought up to date by a snapshot.
        snaps = "snap_count";
        /// Transactions proposed.
        proposals = "proposal_count";
        /// Transactions committed.
        commits = "commit_count";
        /// Proposals received.
        learner_proposals_received = "learner_proposal_received_count";
        /// Commits received.
        learner_commits_received = "learner_commit_received_count";
        /// Greetings.
        connection_requests = "connection_request_count";
        /// Connections refused by limits or throttle.
        connections_rejected = "connection_rejected";
        /// Connections whose client went away.
        connections_dropped = "connection_drop_count";
        /// Greetings that bring a session back.
        connection_revalidates = "connection_revalidate_count";
        /// Sessions that a leader looked up for a learner.
        revalidates = "revalidate_count";
        /// Connections closed for having no session.
        sessionless_connections_expired = "sessionless_connections_expired";
        /// Sessions that expired.
        stale_sessions_expired = "stale_sessions_expired";
        /// Bytes of events.
        watch_bytes = "watch_bytes";
        /// Reads answered from a cache.
        response_cache_hits = "response_packet_cache_hits";
        /// Reads not found in a cache.
        response_cache_misses = "response_packet_cache_misses";
        /// Lists of children answered from a cache.
        children_cache_hits = "response_packet_get_children_cache_hits";
        /// Lists of children not found in a cache.
        children_cache_misses = "response_packet_get_children_cache_misses";
        /// Requests handed to validation.
        prep_queued = "prep_processor_request_queued";
        /// Entries handed to the log.
        sync_queued = "sync_processor_request_queued";
        /// Commits handed on.
        commits_queued = "request_commit_queued";
        /// Rows laid over the tree by validation.
        changes_queued = "outstanding_changes_queued";
        /// Rows taken off again.
        changes_removed = "outstanding_changes_removed";
        /// Operations turned down for having waited too long.
        throttled_ops = "throttled_ops";
        /// Waits in front of a full pipeline.
        throttle_waits = "request_throttle_wait_count";
        /// Requests that were stale when their turn came.
        stale_requests = "stale_requests";
        /// Those of them that were dropped.
        stale_requests_dropped = "stale_requests_dropped";
        /// Replies to connections that are gone.
        stale_replies = "stale_replies";
        /// Large requests turned down.
        large_requests_rejected = "large_requests_rejected";
        /// Scheme `ensemble`: granted.
        ensemble_auth_success = "ensemble_auth_success";
        /// Scheme `ensemble`: denied.
        ensemble_auth_fail = "ensemble_auth_fail";
        /// Scheme `ensemble`: not asked for.
        ensemble_auth_skip = "ensemble_auth_skip";
        /// TLS handshakes that failed.
        unsuccessful_handshakes = "unsuccessful_handshake";
        /// TLS handshakes beyond the limit.
        handshakes_exceeded = "tls_handshake_exceeded";
        /// Connections closed because the server was not serving.
        closed_without_server = "cnxn_closed_without_zk_server_running";
        /// Admin requests without TLS.
        insecure_admin = "insecure_admin_count";
        /// Waiting for the cleaner of dead watchers, ms.
        dead_watcher_stall = "add_dead_watcher_stall_time";
        /// Dead watchers handed to the cleaner.
        dead_watchers_queued = "dead_watchers_queued";
        /// Dead watchers cleaned up.
        dead_watchers_cleared = "dead_watchers_cleared";
        /// Transactions whose digest was not ours.
        digest_mismatches = "digest_mismatches_count";
        /// Errors that end the process.
        unrecoverable_errors = "unrecoverable_error_count";
        /// Leaderships given up to disloyal voters.
        disloyal_voters = "quit_leading_due_to_disloyal_voter";
        /// Optional path of learners.
        learner_requests_skipped = "skip_learner_request_to_next_processor_count";
        /// Optional path of commits.
        requests_not_forwarded = "requests_not_forwarded_to_commit_processor";
        /// Snapshots by admin command that failed.
        snapshot_errors = "snapshot_error_count";
        /// Snapshots by admin command that came too soon.
        snapshots_limited = "snapshot_rate_limited_count";
        /// Restores by admin command that failed.
        restore_errors = "restore_error_count";
        /// Restores by admin command that came too soon.
        restores_limited = "restore_rate_limited_count";
    }
    summaries {
        /// A flush of the log.
        fsync_time = "fsynctime";
        /// Writing a snapshot.
        snapshot_time = "snapshottime";
        /// Restoring a snapshot.
        restore_time = "restore_time";
        /// Loading the data directory.
        db_init_time = "dbinittime";
        /// A follower catching up.
        follower_sync_time = "follower_sync_time";
        /// An observer catching up.
        observer_sync_time = "observer_sync_time";
        /// An election.
        election_time = "election_time";
        /// Tokens missing when a connection came.
        token_deficit = "connection_token_deficit";
        /// Snapshots on their way to learners.
        inflight_snaps = "inflight_snap_count";
        /// Diffs on their way to learners.
        inflight_diffs = "inflight_diff_count";
        /// Watchers told of a creation.
        created_watchers = "node_created_watch_count";
        /// Watchers told of a deletion.
        deleted_watchers = "node_deleted_watch_count";
        /// Watchers told of new data.
        changed_watchers = "node_changed_watch_count";
        /// Watchers told of children.
        children_watchers = "node_children_watch_count";
        /// Requests waiting for validation.
        prep_queue_size = "prep_processor_queue_size";
        /// Validation.
        prep_time = "prep_process_time";
        /// Proposing.
        proposal_time = "proposal_process_time";
        /// Not serving.
        unavailable_time = "unavailable_time";
        /// Not serving, as a leader.
        leader_unavailable_time = "leader_unavailable_time";
        /// Requests waiting behind a write of their session.
        session_queue = "requests_in_session_queue";
        /// Sessions with such requests.
        session_queues = "pending_session_queue_size";
        /// Reads waiting behind a write.
        reads_after_write = "reads_after_write_in_session_queue";
        /// Reads let go behind a write.
        reads_issued = "reads_issued_from_session_queue";
        /// Sessions whose queue became empty.
        queues_drained = "session_queues_drained";
        /// Waiting for readers before a write.
        empty_pool_wait = "time_waiting_empty_pool_in_commit_processor_read_ms";
        /// A batch of writes.
        write_batch_time = "write_batch_time_in_commit_processor";
        /// Requests at work at a time.
        concurrent_requests = "concurrent_request_processing_in_commit_processor";
        /// Reads queued.
        reads_queued = "read_commit_proc_req_queued";
        /// Writes queued.
        writes_queued = "write_commit_proc_req_queued";
        /// Commits queued.
        commit_queue = "commit_commit_proc_req_queued";
        /// Reads let go per round.
        reads_per_round = "read_commit_proc_issued";
        /// Writes let go per round.
        writes_per_round = "write_commit_proc_issued";
        /// A round.
        commit_time = "commit_process_time";
        /// Transactions replayed at start.
        startup_txns = "startup_txns_loaded";
        /// Replaying them.
        startup_txns_time = "startup_txns_load_time";
        /// Loading the snapshot at start.
        startup_snapshot_time = "startup_snap_load_time";
        /// Entries waiting for the log.
        sync_queue_size = "sync_processor_queue_size";
        /// Writing an entry to the log.
        sync_time = "sync_process_time";
        /// Entries per flush.
        sync_batch = "sync_processor_batch_size";
        /// Bytes queued for a client by Netty.
        netty_queued = "netty_queued_buffer_capacity";
        /// Requests waiting for a learner.
        learner_queue = "learner_request_processor_queue_size";
        /// Closing a socket.
        socket_closing_time = "socket_closing_time";
    }
    percentiles {
        /// From a write's arrival to its reply.
        update_latency = "updatelatency";
        /// From the leader's receipt to here.
        propagation_latency = "propagation_latency";
        /// From proposal to commit.
        proposal_latency = "proposal_latency";
        /// From proposal to acknowledgement.
        ack_creation_latency = "proposal_ack_creation_latency";
        /// From commit to its arrival.
        commit_propagation_latency = "commit_propagation_latency";
        /// From proposal to quorum.
        quorum_ack_latency = "quorum_ack_latency";
        /// Waiting for validation.
        prep_queue_time = "prep_processor_queue_time_ms";
        /// Validating the end of a session.
        close_session_time = "close_session_prep_time";
        /// A read behind writes of its session.
        read_commit_time = "read_commitproc_time_ms";
        /// A write up to its commit.
        write_commit_time = "write_commitproc_time_ms";
        /// From an own write's commit to its turn.
        local_commit_time = "local_write_committed_time_ms";
        /// From another's write's commit to its turn.
        server_commit_time = "server_write_committed_time_ms";
        /// Observer master: proposals.
        om_proposal_time = "om_proposal_process_time_ms";
        /// Observer master: commits.
        om_commit_time = "om_commit_process_time_ms";
        /// Answering a read.
        read_final_time = "read_final_proc_time_ms";
        /// Applying and answering a write.
        write_final_time = "write_final_proc_time_ms";
        /// Waiting for the log, its flush included.
        sync_total_time = "sync_processor_queue_and_flush_time_ms";
        /// Waiting for the log.
        sync_queue_time = "sync_processor_queue_time_ms";
        /// Waiting for a flush of the log.
        sync_flush_time = "sync_processor_queue_flush_time_ms";
        /// Waiting in front of the pipeline.
        throttle_queue_time = "request_throttle_queue_time_ms";
        /// Cleaning up dead watchers.
        cleaner_latency = "dead_watchers_cleaner_latency";
        /// Pauses of the process.
        pause_time = "jvm_pause_time_ms";
    }
}
