//! One `server.N` line: the grammar of the reference with its quirks, and how it is printed again.
//!
//! It resolves no host. Invariant: a `Member` that exists prints a line that reads back to an equal one.

use super::super::error::ConfigError;
use super::super::number::strict_int;
use nom::bytes::complete::take_while;
use nom::character::complete::{anychar, char as symbol};
use nom::combinator::{all_consuming, opt, rest};
use nom::multi::separated_list1;
use nom::sequence::delimited;
use nom::{IResult, Parser};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Votes.
    #[default]
    Participant,
    /// Follows without a vote.
    Observer,
}

impl Role {
    /// Reads the role word in any case.
    ///
    /// # Errors
    /// Any other word, in the words of the reference.
    pub fn read(word: &str) -> Result<Self, ConfigError> {
        match word.to_ascii_lowercase().as_str() {
            "participant" => Ok(Self::Participant),
            "observer" => Ok(Self::Observer),
            _ => Err(ConfigError::new(format!("Unrecognised peertype: {word}"))
                .expected("participant or observer")),
        }
    }

    /// The word in configuration texts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        }
    }

    /// The word as the reference logs it.
    pub(super) fn shouted(self) -> &'static str {
        match self {
            Self::Participant => "PARTICIPANT",
            Self::Observer => "OBSERVER",
        }
    }
}

/// A host as configured, with a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// A name, or an address literal without brackets and, if IPv6, written out in full.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Takes a host as written and a port.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: named(host), port }
    }

    /// Whether the host stands for every address.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The host as it is kept: an empty one is this machine, as in Java.
fn named(host: &str) -> String {
    if host.is_empty() { "localhost".to_owned() } else { expanded(host) }
}

/// IPv6 literals the way the reference prints them: eight groups, nothing left out.
fn expanded(host: &str) -> String {
    let (address, zone) = host.split_once('%').map_or((host, ""), |(address, zone)| (address, zone));
    let Ok(ip) = address.parse::<Ipv6Addr>() else { return host.to_owned() };
    if let Some(v4) = ip.to_ipv4_mapped() {
        return v4.to_string();
    }
    let groups: Vec<String> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
    let mut out = groups.join(":");
    if !zone.is_empty() {
        let _ = write!(out, "%{zone}");
    }
    out
}

/// One address of a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberAddress {
    /// The host as configured.
    pub host: String,
    /// The port learners connect to.
    pub quorum_port: u16,
    /// The port for elections.
    pub election_port: u16,
}

impl std::fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", HostPort { host: self.host.clone(), port: self.quorum_port }, self.election_port)
    }
}

/// A member, one `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The number behind `server.`.
    pub id: i64,
    /// Its addresses, at least one, sorted by host.
    pub addresses: Vec<MemberAddress>,
    /// Whether it votes.
    pub role: Role,
    /// The client address of the line, if it has one.
    pub client: Option<HostPort>,
}

const FORM: &str = " does not have the form server_config or server_config;client_config where server_config is the \
pipe separated list of host:port:port or host:port:port:type and client_config is port or host:port";

impl Member {
    /// Reads the value of a `server.N` line.
    ///
    /// # Errors
    /// What the reference refuses, in its order and in its words.
    pub fn read(id: i64, line: &str, multi_address: bool) -> Result<Self, ConfigError> {
        let form = || {
            ConfigError::new(format!("{line}{FORM}"))
                .remedy("write host:2888:3888 or host:2888:3888:observer;2181")
        };
        let parts = pieces(line, ';');
        let client = match parts.as_slice() {
            [_, client] => match fields(client)?.as_slice() {
                [number] => Some(HostPort::new("0.0.0.0", port(number, "null")?)),
                [host, number] => Some(HostPort::new(host, port(number, host)?)),
                _ => return Err(form()),
            },
            _ => None,
        };
        let raw_addresses = pieces(parts.first().copied().unwrap_or_default(), '|');
        if !multi_address && raw_addresses.len() > 1 {
            return Err(ConfigError::new(format!(
                "Multiple address feature is disabled, but multiple addresses were specified for sid {id}"
            ))
            .remedy("start with -Dzookeeper.multiAddress.enabled=true; the key in the file is not enough"));
        }
        let mut role = None;
        let mut addresses = Vec::with_capacity(raw_addresses.len());
        for raw in raw_addresses {
            let fields = fields(raw)?;
            let (host, quorum, election, word) = match fields.as_slice() {
                _ if parts.len() > 2 => return Err(form()),
                [host, quorum, election] => (host, quorum, election, None),
                [host, quorum, election, word] => (host, quorum, election, Some(word)),
                _ => return Err(form()),
            };
            let quorum_port = port(quorum, host)?;
            let election_port = port(election, host)?;
            if quorum_port == election_port {
                return Err(ConfigError::new(format!(
                    "Client and election port must be different! Please update the configuration file on server.{id}"
                )));
            }
            addresses.push(MemberAddress { host: named(host), quorum_port, election_port });
            if let Some(word) = word {
                let this = Role::read(word)?;
                let first = *role.get_or_insert(this);
                if first != this {
                    return Err(ConfigError::new(format!(
                        "Multiple addresses should have similar roles: {} vs {}",
                        first.shouted(),
                        this.shouted()
                    )));
                }
            }
        }
        addresses.sort();
        Ok(Self { id, addresses, role: role.unwrap_or_default(), client })
    }
}

impl std::fmt::Display for Member {
    /// The value of the line, as configuration texts have it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (count, address) in self.addresses.iter().enumerate() {
            if count > 0 {
                f.write_str("|")?;
            }
            write!(f, "{address}")?;
        }
        write!(f, ":{}", self.role.word())?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

/// `String.split` of Java: empty pieces at the end are dropped, those before are kept.
pub(super) fn pieces(text: &str, separator: char) -> Vec<&str> {
    let piece = take_while(move |c| c != separator);
    let all: IResult<&str, Vec<&str>> = all_consuming(separated_list1(symbol(separator), piece)).parse(text);
    let mut all = all.map_or_else(|_| vec![text], |(_, all)| all);
    while all.len() > 1 && all.last().is_some_and(|last| last.is_empty()) {
        all.pop();
    }
    all
}

/// `host:a:b` or `[v6]:a:b`; brackets are taken off. The character behind the bracket is never looked at.
fn fields(text: &str) -> Result<Vec<&str>, ConfigError> {
    if !text.starts_with('[') {
        return Ok(pieces(text, ':'));
    }
    let host = delimited(symbol('['), take_while(|c| c != ']'), symbol(']'));
    let read: IResult<&str, (&str, Option<char>, &str)> = (host, opt(anychar), rest).parse(text);
    match read {
        Err(_) => Err(ConfigError::new(format!("{text} starts with '[' but has no matching ']:'"))),
        Ok((_, (host, None, _))) => Ok(vec![host]),
        Ok((_, (_, Some(_), ""))) => Err(ConfigError::new(format!("{text} doesn't have a port after colon"))),
        Ok((_, (host, Some(_), ports))) => Ok(std::iter::once(host).chain(pieces(ports, ':')).collect()),
    }
}

fn port(text: &str, host: &str) -> Result<u16, ConfigError> {
    let number = strict_int(text)
        .ok_or_else(|| ConfigError::new(format!("Address unresolved: {host}:{text}")).expected("a port"))?;
    u16::try_from(number).map_err(|_| {
        ConfigError::new(format!("port out of range:{number}")).expected("an integer from 0 to 65535")
    })
}
