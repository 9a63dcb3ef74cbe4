//! Records shared by the others: identities, access lists, stats.

use crate::macros::records;
use crate::text::Text;

records! {
    /// An identity: a scheme and what it calls somebody.
    Id<'a> {
        /// The scheme, such as `world`, `digest`, `ip`.
        scheme: Option<Text<'a>>,
        /// The name under that scheme.
        id: Option<Text<'a>>,
    }

    /// One entry of an access list.
    Acl<'a> {
        /// Permission bits, unchecked.
        perms: i32,
        /// Who has them.
        id: Id<'a>,
    }

    /// The stat that clients see (68 bytes).
    Stat {
        /// zxid of the creation.
        czxid: i64,
        /// zxid of the last data change.
        mzxid: i64,
        /// Time of the creation.
        ctime: i64,
        /// Time of the last data change.
        mtime: i64,
        /// Number of data changes.
        version: i32,
        /// Number of child changes.
        cversion: i32,
        /// Number of access list changes.
        aversion: i32,
        /// Session of an ephemeral, else 0.
        ephemeral_owner: i64,
        /// Length of the data.
        data_length: i32,
        /// Number of children.
        num_children: i32,
        /// zxid of the last child change.
        pzxid: i64,
    }

    /// The stat as snapshots keep it (60 bytes); `cversion` counts creations only.
    StatPersisted {
        /// zxid of the creation.
        czxid: i64,
        /// zxid of the last data change.
        mzxid: i64,
        /// Time of the creation.
        ctime: i64,
        /// Time of the last data change.
        mtime: i64,
        /// Number of data changes.
        version: i32,
        /// Number of child creations.
        cversion: i32,
        /// Number of access list changes.
        aversion: i32,
        /// Packed owner: session, container, TTL or 0.
        ephemeral_owner: i64,
        /// zxid of the last child change.
        pzxid: i64,
    }

    /// One identity in the answer of whoAmI.
    ClientInfo<'a> {
        /// The scheme.
        auth_scheme: Option<Text<'a>>,
        /// The user.
        user: Option<Text<'a>>,
    }
}
