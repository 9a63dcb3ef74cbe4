//! The members of an ensemble: who they are, groups and weights, the configuration text, the mode decision.
//!
//! It reads no file and resolves no host; names stay as configured. Quorum arithmetic belongs to the replica.
//!
//! Invariant: a `Membership` that exists has consistent groups, and `text` reads back to an equal one, save for what
//! the reference loses on that way too: a negative version, backslashes, blanks in front of a host.

mod member;

use super::error::{ConfigError, EXIT_UNEXPECTED};
use super::number::strict_long;
use super::parse::{self, Entry};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use member::pieces;
pub use member::{HostPort, Member, MemberAddress, Role};

/// Who belongs to the ensemble, and how votes count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Members by id.
    pub members: BTreeMap<i64, Member>,
    /// Ids by group; not empty exactly in a hierarchical quorum with groups.
    pub groups: BTreeMap<i64, BTreeSet<i64>>,
    /// Weights that were given.
    pub weights: BTreeMap<i64, i64>,
    /// Whether any `group` or `weight` line selects the hierarchical quorum.
    pub hierarchical: bool,
    /// The zxid at which this membership was agreed; 0 if never.
    pub version: i64,
}

/// Whether a key describes membership.
#[must_use]
pub fn is_membership_key(key: &str) -> bool {
    key.starts_with("server.") || key.starts_with("group") || key.starts_with("weight")
}

impl Membership {
    /// Reads the membership among the entries. With `only` set, as in a dynamic file, any other key than
    /// `version` is refused; else other keys are passed over.
    ///
    /// # Errors
    /// What the reference refuses, with key, value and line, but without the file.
    pub fn read<'a>(
        entries: impl IntoIterator<Item = &'a Entry>,
        only: bool,
        multi_address: bool,
    ) -> Result<Self, ConfigError> {
        let mut out = Self::default();
        for entry in entries {
            out.take(entry, only, multi_address).map_err(|mut error| {
                error.key.get_or_insert_with(|| entry.key.clone());
                error.value.get_or_insert_with(|| entry.value.clone());
                error.line.get_or_insert(entry.line);
                error
            })?;
        }
        out.check_groups()?;
        Ok(out)
    }

    /// Reads a configuration text as it travels between servers and stands in `/zookeeper/config`.
    ///
    /// # Errors
    /// As [`Membership::read`], or a malformed text.
    pub fn from_text(text: &[u8], multi_address: bool) -> Result<Self, ConfigError> {
        let entries = parse::last_wins(text)
            .map_err(|error| ConfigError::new(error.to_string()).at("configuration", Some(error.line())))?;
        Self::read(&entries, true, multi_address)
    }

    fn take(&mut self, entry: &Entry, only: bool, multi_address: bool) -> Result<(), ConfigError> {
        let after_dot = |key: &str| {
            let id = key.split_once('.').map_or(key, |(_, id)| id);
            strict_long(id).ok_or_else(|| not_a_number(id))
        };
        if let Some(id) = entry.key.strip_prefix("server.") {
            let id = strict_long(id).ok_or_else(|| not_a_number(id).expected("server.<number>"))?;
            self.members.insert(id, Member::read(id, &entry.value, multi_address)?);
        } else if entry.key.starts_with("group") {
            self.hierarchical = true;
            let group = after_dot(&entry.key)?;
            for id in pieces(&entry.value, ':') {
                let id = strict_long(id)
                    .ok_or_else(|| not_a_number(id).expected("server ids joined by colons"))?;
                if self.groups.values().any(|ids| ids.contains(&id)) {
                    return Err(ConfigError::new(format!("Server {id}is in multiple groups")));
                }
                self.groups.entry(group).or_default().insert(id);
            }
        } else if entry.key.starts_with("weight") {
            self.hierarchical = true;
            let id = after_dot(&entry.key)?;
            let weight = strict_long(&entry.value).ok_or_else(|| not_a_number(&entry.value))?;
            self.weights.insert(id, weight);
        } else if entry.key == "version" {
            self.version = i64::from_str_radix(&entry.value, 16)
                .map_err(|_| not_a_number(&entry.value).expected("a hexadecimal number"))?;
        } else if only {
            return Err(ConfigError::new(format!("Unrecognised parameter: {}", entry.key))
                .expected("only server, group and weight lines"));
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), ConfigError> {
        if !self.hierarchical {
            return Ok(());
        }
        if let Some(id) = self.voters().find(|id| !self.groups.values().any(|ids| ids.contains(id))) {
            return Err(ConfigError::new(format!("Server {id}is not in a group"))
                .remedy("name every voter in exactly one group line"));
        }
        let strangers = |(group, ids): (&i64, &BTreeSet<i64>)| {
            let stranger =
                ids.iter().find(|id| !self.members.contains_key(id) && !self.weights.contains_key(id));
            stranger.map(|id| (*group, *id))
        };
        // The reference stumbles over it with an exception of no meaning, and code 1.
        match self.groups.iter().find_map(strangers) {
            Some((group, id)) => {
                Err(ConfigError::new(format!("server {id} of group {group} has no server line"))
                    .key(format!("group.{group}"))
                    .code(EXIT_UNEXPECTED))
            }
            None => Ok(()),
        }
    }

    /// Ids of the voting members, ascending.
    pub fn voters(&self) -> impl Iterator<Item = i64> {
        self.members.values().filter(|member| member.role == Role::Participant).map(|member| member.id)
    }

    /// Ids of the observers, ascending.
    pub fn observers(&self) -> impl Iterator<Item = i64> {
        self.members.values().filter(|member| member.role == Role::Observer).map(|member| member.id)
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.members.values().map(|member| format!("server.{}={member}", member.id)));
        if self.hierarchical {
            for (group, ids) in &self.groups {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                lines.push(format!("group.{group}={}", ids.join(":")));
            }
            let unweighted = self.voters().filter(|id| !self.weights.contains_key(id)).map(|id| (id, 1));
            let weights: BTreeMap<i64, i64> =
                self.weights.iter().map(|(id, w)| (*id, *w)).chain(unweighted).collect();
            lines.extend(weights.iter().map(|(id, weight)| format!("weight.{id}={weight}")));
        }
        lines
    }

    /// The configuration text: what notifications, NEWLEADER, reconfig and `/zookeeper/config` carry.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines() {
            let _ = writeln!(text, "{line}");
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }

    /// The contents of a dynamic configuration file: the lines sorted as text, no version, no last newline.
    #[must_use]
    pub fn dynamic_file(&self) -> String {
        let mut lines = self.lines();
        lines.sort();
        lines.join("\n")
    }
}

fn not_a_number(text: &str) -> ConfigError {
    ConfigError::new(format!("For input string: \"{text}\"")).expected("an integer")
}

/// The version a dynamic file's name carries: the hexadecimal number behind its last dot, else 0.
#[must_use]
pub fn version_in_name(name: &str) -> i64 {
    name.rsplit_once('.').and_then(|(_, suffix)| i64::from_str_radix(suffix, 16).ok()).unwrap_or(0)
}

/// Whether the server runs alone or as a member of an ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Alone, without elections and epochs.
    Standalone,
    /// With the quorum protocol, be it with one voter.
    Ensemble,
}

/// The mode, and what the reference logs about the choice.
///
/// # Errors
/// Memberships without enough voters.
pub fn decide(membership: &Membership, standalone_enabled: bool) -> Result<(Mode, Vec<String>), ConfigError> {
    let voters = membership.voters().count();
    let observers = membership.observers().count();
    let refuse = |message: &str| Err(ConfigError::new(message));
    match voters {
        0 if !standalone_enabled => {
            refuse("standaloneEnabled = false then number of participants should be >0")
        }
        0 if observers > 0 => refuse("Observers w/o participants is an invalid configuration"),
        0 => Ok((Mode::Standalone, Vec::new())),
        1 if standalone_enabled && observers > 0 => {
            refuse("Observers w/o quorum is an invalid configuration")
        }
        1 if standalone_enabled => Ok((
            Mode::Standalone,
            vec!["Invalid configuration, only one server specified (ignoring)".to_owned()],
        )),
        2 => Ok((
            Mode::Ensemble,
            vec!["No server failure will be tolerated. You need at least 3 servers.".to_owned()],
        )),
        even if even % 2 == 0 => Ok((
            Mode::Ensemble,
            vec!["Non-optimal configuration, consider an odd number of servers.".to_owned()],
        )),
        _ => Ok((Mode::Ensemble, Vec::new())),
    }
}

/// Reads the contents of a `myid` file: its first line, a bare decimal number.
///
/// # Errors
/// Anything else, trailing blanks included.
pub fn read_my_id(contents: &[u8]) -> Result<i64, ConfigError> {
    let text = String::from_utf8_lossy(contents);
    let first = text.split(['\n', '\r']).next().filter(|_| !text.is_empty()).unwrap_or("null");
    strict_long(first).ok_or_else(|| {
        ConfigError::new(format!("serverid {first} is not a number"))
            .expected("a bare decimal number on the first line")
    })
}

/// The role of this server, and the warning if `peerType` says otherwise.
///
/// # Errors
/// An id that no server line has; the reference ends with code 1.
pub fn own_role(
    membership: &Membership,
    id: i64,
    peer_type: Role,
) -> Result<(Role, Option<String>), ConfigError> {
    let Some(member) = membership.members.get(&id) else {
        let known: Vec<String> = membership.members.keys().map(i64::to_string).collect();
        return Err(ConfigError::new(format!("My id {id} not in the peer list"))
            .code(EXIT_UNEXPECTED)
            .remedy(format!("the server lines have {}; correct myid or add server.{id}", known.join(", "))));
    };
    let warning = (member.role != peer_type).then(|| {
        format!(
            "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to servers list.",
            member.role.shouted(),
            peer_type.shouted()
        )
    });
    Ok((member.role, warning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(line: &str) -> String {
        match Member::read(1, line, true) {
            Ok(member) => member.to_string(),
            Err(error) => format!("error: {}", error.message),
        }
    }

    #[track_caller]
    fn reads(line: &str, shown: &str) {
        assert_eq!(member(line), shown, "{line}");
    }

    #[test]
    fn lines_are_printed_as_the_reference_prints_them() {
        reads("h:1:2", "h:1:2:participant");
        reads("h:1:2:OBSERVER;2181", "h:1:2:observer;0.0.0.0:2181");
        reads("h:1:2;k:2181", "h:1:2:participant;k:2181");
        reads(
            "[2001:db8::1]:1:2;[::1]:2181",
            "[2001:db8:0:0:0:0:0:1]:1:2:participant;[0:0:0:0:0:0:0:1]:2181",
        );
        reads("[::ffff:1.2.3.4]:1:2", "1.2.3.4:1:2:participant");
        reads("k:1:2|h:3:4:observer", "h:3:4|k:1:2:observer");
        reads("[h]:1:2", "h:1:2:participant");
    }

    #[test]
    fn odd_lines_mean_what_they_mean_to_java() {
        reads("h:1:2:", "h:1:2:participant");
        reads("h:1:2;", "h:1:2:participant");
        reads("h:1:2;2181;", "h:1:2:participant;0.0.0.0:2181");
        reads("h:1:2|", "h:1:2:participant");
        reads(":1:2", "localhost:1:2:participant");
        reads("[]:1:2", "localhost:1:2:participant");
        reads("h:1:2;:2181", "h:1:2:participant;localhost:2181");
        reads("[::1]x:1:2", "error: Address unresolved: ::1:");
        reads("h:1:2;[::1]", "error: Address unresolved: null:::1");
        reads(
            "h:1:2:observer|k:1:2:participant",
            "error: Multiple addresses should have similar roles: OBSERVER vs PARTICIPANT",
        );
        for bad in ["", "h", "h:1", "::1:1:2", "h:1:2;;2181", "|h:1:2", ";2181", "h:1:2;a:b:c", "h:1:2;"] {
            let shown = member(bad);
            assert_eq!(shown.starts_with("error: "), bad != "h:1:2;", "{bad}: {shown}");
        }
    }

    fn membership(text: &str) -> Result<Membership, ConfigError> {
        Membership::from_text(text.as_bytes(), false)
    }

    const TEXT: &str = "server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:participant\n\
        server.10=[0:0:0:0:0:0:0:1]:1:2:observer\ngroup.1=1\ngroup.2=2\nweight.1=0\nweight.2=1\nversion=10000001f";

    #[test]
    fn the_text_reads_back() {
        let read = membership(TEXT).unwrap();
        assert_eq!(read.text(), TEXT);
        assert_eq!((read.version, read.voters().collect::<Vec<_>>()), (0x1_0000_001f, vec![1, 2]));
        assert_eq!(read.observers().collect::<Vec<_>>(), [10]);
        assert_eq!(membership("version=0").unwrap(), Membership::default());
        assert_eq!(Membership::default().text(), "version=0");
    }

    /// The reference sorts such a host to the front of the line too, and trims it there when it reads the line again.
    #[test]
    fn a_blank_in_front_of_a_host_is_lost_on_the_way_back() {
        let read = |text: &str| Membership::from_text(text.as_bytes(), true).unwrap().text();
        let once = read("server.1=a:1:2| b:3:4\nserver.2=a:1:2|\u{14}:3:4");
        assert_eq!(
            once,
            "server.1= b:3:4|a:1:2:participant\nserver.2=\u{14}:3:4|a:1:2:participant\nversion=0"
        );
        assert_eq!(
            read(&once),
            "server.1=a:1:2|b:3:4:participant\nserver.2=a:1:2|localhost:3:4:participant\nversion=0"
        );
    }

    #[test]
    fn a_dynamic_file_is_sorted_and_has_no_version() {
        assert_eq!(
            membership(TEXT).unwrap().dynamic_file(),
            "group.1=1\ngroup.2=2\nserver.10=[0:0:0:0:0:0:0:1]:1:2:observer\n\
             server.1=127.0.0.1:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:participant\n\
             weight.1=0\nweight.2=1"
        );
        assert_eq!(version_in_name("/c/zoo.cfg.dynamic.100000000"), 0x1_0000_0000);
        assert_eq!((version_in_name("zoo"), version_in_name("zoo.cfg.dynamic.next")), (0, 0));
    }

    #[test]
    fn only_membership_belongs_into_the_text() {
        assert_eq!(membership("foo=1").unwrap_err().message, "Unrecognised parameter: foo");
        let stranger = membership("server.1=h:1:2\ngroup.1=1:9").unwrap_err();
        assert_eq!(
            (stranger.message.as_str(), stranger.exit_code()),
            ("server 9 of group 1 has no server line", 1)
        );
        assert!(membership("version=xyz").is_err());
    }

    #[test]
    fn my_id_is_bare() {
        assert_eq!(read_my_id(b"12\n").unwrap(), 12);
        assert_eq!(read_my_id(b"-1").unwrap(), -1);
        assert_eq!(read_my_id(b"3\r\nmore").unwrap(), 3);
        for (bad, shown) in [(&b""[..], "null"), (b"1 ", "1 "), (b" 1", " 1"), (b"\n1", ""), (b"x", "x")] {
            assert_eq!(read_my_id(bad).unwrap_err().message, format!("serverid {shown} is not a number"));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "(\\[|\\]|:|;|\\||[0-9]{1,5}|h|observer| |\\PC){0,14}") {
            if let Ok(member) = Member::read(7, &line, true) {
                let again = Member::read(7, &member.to_string(), true);
                // Hosts with a colon outside brackets, or a bracket inside, cannot be written back.
                if !line.contains(['[', ']']) {
                    prop_assert_eq!(again.unwrap(), member);
                }
            }
        }
    }
}
