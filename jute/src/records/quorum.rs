//! Records between servers.

use super::data::Id;
use crate::macros::records;

records! {
    /// What a learner says of itself.
    LearnerInfo {
        /// Server id.
        server_id: i64,
        /// 0x10000.
        protocol_version: i32,
        /// Version of its committed configuration.
        config_version: i64,
    }

    /// Every packet on the quorum port.
    QuorumPacket<'a> {
        /// Packet type.
        kind: i32,
        /// zxid.
        zxid: i64,
        /// Data.
        data: Option<&'a [u8]>,
        /// Identities of a forwarded request.
        authinfo: Option<Vec<Id<'a>>>,
    }

    /// One step of the SASL exchange between servers.
    QuorumAuthPacket<'a> {
        /// 0x5F2435013501EDCC.
        magic: i64,
        /// 0 in progress, 1 success, -1 error.
        status: i32,
        /// Token of the mechanism.
        token: Option<&'a [u8]>,
    }

}
