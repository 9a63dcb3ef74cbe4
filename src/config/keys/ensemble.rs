//! Rows for servers in the plural: members, elections, learners, reconfiguration, observers.
//!
//! Rows only; see the parent for their meaning.

use super::Fallback::{Bool, Derived, Int, Real, Text, Unset};
use super::Status::{NoEffect, NotYet, Supported};
use super::{Feature, Key, rows};

pub(super) const ENSEMBLE: &[Key] = rows! { Ensemble:
    File "server.*", "ensemble.servers", Family, Unset, Supported,
        "host:port:port[:role][;[host:]port]; more than one voter needs an ensemble",
        "A member: quorum and election address, role, client address";
    File "group*", "ensemble.groups", Family, Unset, Supported, "ids joined by colons; every voter in exactly one group",
        "A group of a hierarchical quorum";
    File "weight*", "ensemble.weights", Family, Unset, Supported, "an integer; 1 unless given",
        "Weight of a member in a hierarchical quorum";
    File "peerType", "ensemble.peer_type", Text, Text("participant"), Supported, "participant or observer",
        "Role of this server; the server line wins";
    File "initLimit", "ensemble.init_limit_ticks", Int, Unset, Supported, "mandatory in an ensemble",
        "Ticks a learner has to connect and catch up";
    File "syncLimit", "ensemble.sync_limit_ticks", Int, Unset, Supported, "mandatory in an ensemble",
        "Ticks a learner may lag before it is dropped";
    File "connectToLearnerMasterLimit", "ensemble.connect_limit_ticks", Int, Int(0), Supported, "0: initLimit",
        "Ticks a learner has to connect";
    File "electionAlg", "ensemble.election_algorithm", Int, Int(3), Supported, "only 3", "Election algorithm";
    File "standaloneEnabled", "ensemble.standalone", Bool, Bool(true), Supported, "false needs a voter",
        "Runs a single voter as standalone server instead of an ensemble of one";
    File "reconfigEnabled", "ensemble.reconfig", Bool, Bool(false), Supported, "",
        "Allows members to be changed while the ensemble runs";
    File "dynamicConfigFile", "ensemble.dynamic_file", Path, Unset, Supported,
        "excludes server, group and weight lines in the main file",
        "File that holds the members";
    File "oraclePath", "ensemble.oracle_path", Path, Unset, NotYet(Feature::Oracle), "",
        "File whose first character 1 lets one of two voters go on alone";
    System "leaderServes", "ensemble.leader_serves", OnUnlessNo, Bool(true), Supported, "only no turns it off",
        "Lets the leader serve clients";
    File "quorumListenOnAllIPs", "ensemble.listen_on_all_addresses", Bool, Bool(false), Supported, "",
        "Binds quorum and election ports on every address";
    System "tcpKeepAlive", "ensemble.tcp_keep_alive", Bool, Bool(false), Supported, "", "SO_KEEPALIVE on election sockets";
    System "cnxTimeout", "ensemble.connect_timeout_ms", Int, Int(5_000), Supported,
        "a value that is no number stops an ensemble", "Time an election connection may take to open";
    System "quorumCnxnTimeoutMs", "ensemble.election_read_timeout_ms", Int, Int(-1), Supported, "-1: syncLimit x tickTime",
        "Time an election connection may be silent";
    File "quorum.cnxn.threads.size", "ensemble.connection_threads", Int, Int(20),
        NoEffect("connections are opened by tasks, not threads"), "up to 20 means 20",
        "Threads that open election connections";
    System "electionPortBindRetry", "ensemble.election_bind_retries", Int, Int(3), Supported,
        "0: for ever; below 0 means the default", "Attempts to bind the election port";
    System "fastleader.minNotificationInterval", "ensemble.election_min_interval_ms", Int, Int(200), Supported, "",
        "First wait before votes are sent again";
    System "fastleader.maxNotificationInterval", "ensemble.election_max_interval_ms", Int, Int(60_000), Supported, "",
        "Longest wait before votes are sent again";
    System "leader.maxTimeToWaitForEpoch", "ensemble.epoch_wait_ms", Int, Int(-1), Supported, "-1: off",
        "Gives up leading when voters look elsewhere for this long";
    System "leader.maxConcurrentSnapSyncs", "ensemble.concurrent_snap_syncs", Int, Int(10), Supported, "",
        "Learners that may be sent a snapshot at the same time";
    System "leader.maxConcurrentDiffSyncs", "ensemble.concurrent_diff_syncs", Int, Int(100), Supported, "",
        "Learners that may be sent differences at the same time";
    System "leader.ackLoggingFrequency", "ensemble.ack_logging_frequency", Int, Int(1_000), Supported, "0 or less: off",
        "Measures the latency of acknowledgements every so many transactions";
    Both "leader.closeSocketAsync", "ensemble.leader_close_async", Bool, Bool(false),
        NoEffect("sockets are closed without blocking anybody"), "", "Closes learner sockets in the background";
    Both "learner.closeSocketAsync", "ensemble.learner_close_async", Bool, Bool(false),
        NoEffect("sockets are closed without blocking anybody"), "", "Closes the leader socket in the background";
    Both "learner.asyncSending", "ensemble.learner_async_sending", Bool, Bool(false),
        NoEffect("packets are always sent from a queue"), "", "Sends packets to the leader from a queue";
    System "leaderConnectDelayDuringRetryMs", "ensemble.connect_retry_ms", Int, Int(100), Supported, "",
        "Pause before a learner tries to connect again";
    Bare "follower.nodelay", "ensemble.follower_nodelay", OnlyTrue, Bool(true), Supported, "", "TCP_NODELAY towards the leader";
    Bare "leader.nodelay", "ensemble.leader_nodelay", OnlyTrue, Bool(true), Supported, "", "TCP_NODELAY towards learners";
    System "forward_learner_requests_to_commit_processor_disabled", "ensemble.forward_requests_disabled", Bool,
        Bool(false), NoEffect("a memory saving of the Java pipeline"), "",
        "Does not pass requests of learners through the leader's last stage";
    System "follower.skipLearnerRequestToNextProcessor", "ensemble.skip_learner_requests", Bool, Bool(false),
        NoEffect("a memory saving of the Java pipeline"), "",
        "Does not pass requests of observers through a follower's next stage";
    File "multiAddress.enabled", "ensemble.multi_address", Bool, Bool(false), Supported,
        "several addresses are read only with the system property zookeeper.multiAddress.enabled=true",
        "Allows several addresses per member";
    File "multiAddress.reachabilityCheckEnabled", "ensemble.multi_address_check", Bool, Bool(true), NoEffect("all addresses are tried at once, and the first that answers is taken"), "",
        "Checks which of several addresses answers";
    File "multiAddress.reachabilityCheckTimeoutMs", "ensemble.multi_address_check_ms", Int, Int(1_000), NoEffect("all addresses are tried at once, and the first that answers is taken"), "",
        "Time that check may take";
    System "kerberos.canonicalizeHostNames", "ensemble.canonicalize_hosts", Bool, Bool(false), NotYet(Feature::Sasl), "",
        "Resolves hosts of server lines to their canonical form";
    System "forceSnapshotSync", "ensemble.force_snapshot_sync", Bool, Bool(false), Supported, "",
        "Always sends learners a snapshot; a test aid";
    System "snapshotSizeFactor", "ensemble.log_sync_factor", Real, Real(0.33), Supported,
        "above 1 or no number means the default; negative: off",
        "Sends learners the log from disk if it is smaller than this share of the snapshot";
    System "enableEagerACLCheck", "ensemble.eager_acl_check", Bool, Bool(false), NoEffect("the leader checks every write"), "",
        "Lets learners check ACLs before they pass writes on";
    Bare "readonlymode.enabled", "ensemble.read_only_mode", Bool, Bool(false), Supported,
        "true also allows the four-letter word isro",
        "Serves reads while the server is cut off from its quorum";
    System "messageTracker.Enabled", "ensemble.message_tracker", Bool, Bool(false), NoEffect("packets between servers are logged at the level trace instead"), "",
        "Keeps the last packets of a quorum link and logs them when it breaks";
    System "messageTracker.BufferSize", "ensemble.message_tracker_size", Int, Int(10), NoEffect("packets between servers are logged at the level trace instead"), "", "Packets it keeps";
    File "quorum.auth.enableSasl", "quorum_auth.sasl", Bool, Bool(false), NotYet(Feature::Sasl), "",
        "SASL between servers";
    File "quorum.auth.learnerRequireSasl", "quorum_auth.learner_require", Bool, Bool(false), NotYet(Feature::Sasl),
        "needs quorum.auth.enableSasl", "A learner authenticates itself";
    File "quorum.auth.serverRequireSasl", "quorum_auth.server_require", Bool, Bool(false), NotYet(Feature::Sasl),
        "needs quorum.auth.learnerRequireSasl", "A server refuses learners that did not authenticate";
    File "quorum.auth.kerberos.servicePrincipal", "quorum_auth.service_principal", Text, Text("zkquorum/localhost"),
        NotYet(Feature::Sasl), "_HOST stands for the peer's host", "Kerberos name of the quorum service";
    File "quorum.auth.learner.saslLoginContext", "quorum_auth.learner_section", Text, Text("QuorumLearner"),
        NotYet(Feature::Sasl), "", "Login section of a learner";
    File "quorum.auth.server.saslLoginContext", "quorum_auth.server_section", Text, Text("QuorumServer"),
        NotYet(Feature::Sasl), "", "Login section of a server";
};

pub(super) const OBSERVERS: &[Key] = rows! { Observers:
    File "observerMasterPort", "observers.master_port", Int, Unset, Supported, "0 or less: off",
        "Port on which followers accept observers";
    System "observerMaster.sizeLimit", "observers.master_buffer_bytes", Int, Int(33_554_432), Supported, "",
        "Recent packets a follower keeps for its observers";
    System "observer.reconnectDelayMs", "observers.reconnect_delay_ms", Long, Int(0), Supported, "",
        "Longest random wait before an observer connects again";
    System "observer.election.DelayMs", "observers.election_delay_ms", Long, Int(200), Supported, "",
        "Wait before an observer looks for a leader again";
    File "syncEnabled", "observers.write_disk", Bool, Bool(true), Supported, "observer.syncEnabled wins",
        "Lets an observer write logs and snapshots";
    System "observer.syncEnabled", "observers.write_disk_override", Bool, Derived("syncEnabled"), Supported, "",
        "The same as system property";
};
