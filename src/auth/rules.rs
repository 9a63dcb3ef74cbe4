//! The rules of access: which schemes there are, who matches an entry, what a new access list may hold, what
//! `addauth` yields. Built once from the settings and shared by every connection; it keeps no state of its own.
//!
//! Invariant: [`Rules::permits`] is asked in two places only, validation for writes and the tree's reads; the
//! events of watches ask it for the node they tell about.

use super::acl::{AccessList, AclEntry};
use super::identity::Identity;
use super::scheme::{digest, ip};
use jute::ErrorCode;
use jute::codes::perms;
use jute::records::data::{Acl, Id};
use std::collections::BTreeSet;

/// What an operator may set about access.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// `skipACL`: everything is allowed.
    pub skip_acl: bool,
    /// Is the scheme `digest` there.
    pub digest_enabled: bool,
    /// Its hash.
    pub digest_algorithm: digest::Algorithm,
    /// `super:hash` whose password makes a connection super.
    pub super_digest: Option<String>,
    /// Schemes of which a connection must have one before anything else, if enforced.
    pub enforced_schemes: Option<Vec<String>>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            skip_acl: false,
            digest_enabled: true,
            digest_algorithm: digest::Algorithm::Sha1,
            super_digest: None,
            enforced_schemes: None,
        }
    }
}

/// The settings at work.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    settings: AuthSettings,
}

/// A scheme that can stand in an access list or be offered by `addauth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ip,
    Digest,
}

impl Rules {
    /// Rules from settings.
    #[must_use]
    pub fn new(settings: AuthSettings) -> Self {
        Self { settings }
    }

    fn scheme(&self, name: &str) -> Option<Scheme> {
        match name {
            "ip" => Some(Scheme::Ip),
            "digest" if self.settings.digest_enabled => Some(Scheme::Digest),
            _ => None,
        }
    }

    /// May somebody with these identities do one of `perms` (any common bit is enough) under this list?
    /// `ZooKeeperServer.checkACL`.
    #[must_use]
    pub fn permits(&self, acl: &[AclEntry], perms: i32, ids: &[Identity]) -> bool {
        self.settings.skip_acl
            || acl.is_empty()
            || ids.iter().any(|id| &*id.scheme == "super")
            || acl.iter().filter(|entry| entry.perms & perms != 0).any(|entry| self.matches(entry, ids))
    }

    fn matches(&self, entry: &AclEntry, ids: &[Identity]) -> bool {
        if &*entry.scheme == "world" && &*entry.id == "anyone" {
            return true;
        }
        let Some(scheme) = self.scheme(&entry.scheme) else { return false };
        ids.iter().filter(|id| id.scheme == entry.scheme).any(|id| match scheme {
            Scheme::Ip => ip::matches(&id.id, &entry.id),
            Scheme::Digest => id.id == entry.id,
        })
    }

    /// The list as it will be stored: duplicates gone, `auth` replaced by who is asking, every entry checked.
    /// `PrepRequestProcessor.fixupACL`. One that takes more bytes than `longest` is none: each `auth` stands for as many
    /// entries as the asker has names, so that a short request may ask for gigabytes.
    pub fn fix_up(
        &self,
        acl: Option<&[Acl<'_>]>,
        ids: &[Identity],
        longest: usize,
    ) -> Result<AccessList, ErrorCode> {
        let acl = acl.unwrap_or_default();
        if acl.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
        if let [only] = acl
            && is_open(only)
        {
            return Ok(AccessList::Open);
        }
        let (mut fixed, mut filled_in) = (Vec::with_capacity(acl.len()), 0_usize);
        for entry in without_duplicates(acl)? {
            let scheme = entry.id.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
            if scheme == "auth" {
                let before = fixed.len();
                let known = ids.iter().filter(|id| self.scheme(&id.scheme) == Some(Scheme::Digest));
                fixed.extend(known.map(|id| AclEntry {
                    perms: entry.perms,
                    scheme: id.scheme.clone(),
                    id: id.id.clone(),
                }));
                if fixed.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
                let more = fixed.iter().skip(before).map(AclEntry::record_len);
                filled_in = more.fold(filled_in, usize::saturating_add);
                if filled_in > longest {
                    return Err(ErrorCode::MarshallingError);
                }
                continue;
            }
            let valid = match (scheme, self.scheme(scheme), entry.id.id.as_deref()) {
                ("world", _, Some(id)) => id == "anyone",
                ("world", _, None) | (_, Some(_), None) => return Err(ErrorCode::MarshallingError),
                (_, Some(Scheme::Ip), Some(id)) => ip::is_valid(id),
                (_, Some(Scheme::Digest), Some(id)) => digest::is_valid(id),
                (_, None, _) => false,
            };
            if !valid {
                return Err(ErrorCode::InvalidAcl);
            }
            fixed.push(AclEntry::from_record(entry));
        }
        Ok(fixed.into())
    }

    /// What `addauth` brings to a connection from `remote`, or nothing if the scheme turns it down.
    #[must_use]
    pub fn add_auth(&self, scheme: &str, auth: Option<&[u8]>, remote: &str) -> Option<Vec<Identity>> {
        match self.scheme(scheme)? {
            Scheme::Ip => Some(vec![Identity::new("ip", remote)]),
            Scheme::Digest => {
                let digested = digest::identify(self.settings.digest_algorithm, auth?);
                let mut ids = Vec::with_capacity(2);
                if self.settings.super_digest.as_deref().is_some_and(|s| digest::same(s, &digested)) {
                    ids.push(Identity::new("super", ""));
                }
                ids.push(Identity::new("digest", &digested));
                Some(ids)
            }
        }
    }

    /// What whoAmI tells of an identity: empty for schemes that nobody provides, such as `super`.
    #[must_use]
    pub fn shown_user<'a>(&self, id: &'a Identity) -> &'a str {
        if self.scheme(&id.scheme).is_some() { id.user() } else { "" }
    }

    /// Is a connection with these identities past the gate of enforced authentication?
    #[must_use]
    pub fn admits(&self, ids: &[Identity]) -> bool {
        match &self.settings.enforced_schemes {
            None => true,
            Some(schemes) => ids.iter().any(|id| schemes.iter().any(|s| **s == *id.scheme)),
        }
    }

    /// Must connections authenticate before anything else?
    #[must_use]
    pub fn is_enforcing(&self) -> bool {
        self.settings.enforced_schemes.is_some()
    }

    /// Is there a provider for this scheme?
    #[must_use]
    pub fn provides(&self, scheme: &str) -> bool {
        self.scheme(scheme).is_some()
    }
}

/// The list with each entry once. Comparing looks into the id of the later entry, scheme first, so there must be one
/// where the rest is the same (`removeDuplicates`, `ACL.equals`, `Id.equals`).
fn without_duplicates<'l, 'a>(acl: &'l [Acl<'a>]) -> Result<Vec<&'l Acl<'a>>, ErrorCode> {
    if let [only] = acl {
        return Ok(vec![only]);
    }
    // A request has room for many thousands: nobody waits while each is compared with each.
    let (mut perms, mut schemes, mut seen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut unique = Vec::with_capacity(acl.len());
    for entry in acl {
        let (scheme, id) = (entry.id.scheme.as_deref(), entry.id.id.as_deref());
        let to_compare = match scheme {
            None => perms.contains(&entry.perms),
            Some(_) => id.is_none() && schemes.contains(&(entry.perms, scheme)),
        };
        if to_compare {
            return Err(ErrorCode::MarshallingError);
        }
        if seen.insert((entry.perms, scheme, id)) {
            perms.insert(entry.perms);
            schemes.insert((entry.perms, scheme));
            unique.push(entry);
        }
    }
    Ok(unique)
}

/// Is it the one entry of the list that nearly all nodes have?
fn is_open(entry: &Acl<'_>) -> bool {
    let Id { scheme, id } = &entry.id;
    entry.perms == perms::ALL && scheme.as_deref() == Some("world") && id.as_deref() == Some("anyone")
}

/// An entry as somebody without ADMIN sees it: the hash of a digest is hidden.
#[must_use]
pub fn mask(entry: &AclEntry) -> AclEntry {
    let mut masked = entry.clone();
    if &*entry.scheme == "digest"
        && let Some((user, _)) = entry.id.split_once(':')
    {
        masked.id = format!("{user}:x").into();
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire<'a>(perms: i32, scheme: &'a str, id: &'a str) -> Acl<'a> {
        Acl { perms, id: Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
    }

    fn rules() -> Rules {
        let super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned());
        Rules::new(AuthSettings { super_digest, ..AuthSettings::default() })
    }

    #[test]
    fn who_may() {
        let r = rules();
        let bob = Identity::new("digest", "bob:h");
        let acl = [AclEntry { perms: perms::READ, scheme: "digest".into(), id: "bob:h".into() }];
        assert!(r.permits(&acl, perms::READ, std::slice::from_ref(&bob)));
        assert!(!r.permits(&acl, perms::WRITE, std::slice::from_ref(&bob)));
        assert!(!r.permits(&acl, perms::READ, &[]));
        assert!(r.permits(&acl, perms::WRITE, &[Identity::new("super", "")]));
        assert!(r.permits(&[], perms::WRITE, &[]), "an empty list allows");
        assert!(r.permits(&[AclEntry::open()], perms::ADMIN, &[]));
    }

    #[test]
    fn fixing_up() {
        let r = rules();
        let world = wire(31, "world", "anyone");
        assert_eq!(r.fix_up(Some(&[world.clone(), world.clone()]), &[], usize::MAX).map(|v| v.len()), Ok(1));
        assert!(matches!(
            r.fix_up(Some(std::slice::from_ref(&world)), &[], usize::MAX),
            Ok(AccessList::Open)
        ));
        for narrower in [wire(30, "world", "anyone"), wire(31, "ip", "127.0.0.1")] {
            let fixed = r.fix_up(Some(std::slice::from_ref(&narrower)), &[], usize::MAX).unwrap();
            assert_eq!(*fixed, [AclEntry::from_record(&narrower)]);
        }
        assert_eq!(r.fix_up(None, &[], usize::MAX), Err(ErrorCode::InvalidAcl));
        let bad =
            [wire(31, "world", "x"), wire(31, "super", "x"), wire(31, "sasl", "x"), wire(31, "digest", "u:")];
        for acl in bad {
            assert_eq!(
                r.fix_up(Some(std::slice::from_ref(&acl)), &[], usize::MAX),
                Err(ErrorCode::InvalidAcl),
                "{acl:?}"
            );
        }
        let auth = [wire(3, "auth", "ignored")];
        assert_eq!(
            r.fix_up(Some(&auth), &[Identity::new("ip", "127.0.0.1")], usize::MAX),
            Err(ErrorCode::InvalidAcl)
        );
        let fixed = r.fix_up(Some(&auth), &[Identity::new("digest", "bob:h")], usize::MAX).unwrap();
        assert_eq!((fixed[0].perms, &*fixed[0].id), (3, "bob:h"));
        let null = Acl { perms: 1, id: Id { scheme: Some("world".into()), id: None } };
        assert_eq!(r.fix_up(Some(&[null]), &[], usize::MAX), Err(ErrorCode::MarshallingError));
    }

    #[test]
    fn nobody_gets_more_for_auth_than_fits() {
        let r = rules();
        let many: Vec<_> = (0..1000).map(|perms| wire(perms, "auth", "")).collect();
        let ids: Vec<_> = (0..64).map(|n| Identity::new("digest", &format!("{n}:h"))).collect();
        assert_eq!(r.fix_up(Some(&many), &ids, 100_000), Err(ErrorCode::MarshallingError));
        assert_eq!(r.fix_up(Some(&many), &ids, 2_000_000).map(|list| list.len()), Ok(64_000));
    }

    /// Comparing an entry with those before it looks into its id (`ACL.equals`, `Id.equals`), before anything is
    /// checked.
    #[test]
    fn nulls_behind_other_entries() {
        let r = rules();
        let null = |perms, scheme: Option<&'static str>| Acl {
            perms,
            id: Id { scheme: scheme.map(Into::into), id: None },
        };
        let fixed = |acl: &[Acl<'_>]| {
            r.fix_up(Some(acl), &[Identity::new("digest", "bob:h")], usize::MAX).map(|list| list.len())
        };
        let world = wire(31, "world", "anyone");
        assert_eq!(fixed(&[null(31, None)]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixed(&[world.clone(), null(31, None)]), Err(ErrorCode::MarshallingError));
        assert_eq!(fixed(&[world.clone(), null(1, None)]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixed(&[null(31, None), world.clone()]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixed(&[wire(31, "no", "x"), null(31, Some("no"))]), Err(ErrorCode::MarshallingError));
        assert_eq!(fixed(&[wire(31, "no", "x"), null(31, Some("nor"))]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fixed(&[null(31, Some("auth")), world.clone()]), Ok(2));
        assert_eq!(
            fixed(&[null(31, Some("auth")), null(31, Some("auth"))]),
            Err(ErrorCode::MarshallingError)
        );
        assert_eq!(fixed(&[world.clone(), world, null(31, Some("auth"))]), Ok(2));
    }

    #[test]
    fn add_auth_and_super() {
        let r = rules();
        let ids = r.add_auth("digest", Some(b"super:test"), "127.0.0.1").unwrap();
        assert_eq!(ids.iter().map(|i| &*i.scheme).collect::<Vec<_>>(), ["super", "digest"]);
        let ids = r.add_auth("digest", Some(b"bob:bobsecret"), "127.0.0.1").unwrap();
        assert_eq!(&*ids[0].id, "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U=");
        assert!(r.add_auth("world", Some(b"x"), "127.0.0.1").is_none());
        assert!(r.add_auth("digest", None, "127.0.0.1").is_none());
        assert_eq!(format!("{:?}", ids[0]), "digest:bob", "no hash in a log");
    }

    #[test]
    fn masking() {
        let entry = AclEntry { perms: 1, scheme: "digest".into(), id: "bob:hash:more".into() };
        assert_eq!(&*mask(&entry).id, "bob:x");
        assert_eq!(mask(&AclEntry::open()), AclEntry::open());
    }
}
