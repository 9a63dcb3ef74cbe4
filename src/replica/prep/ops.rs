//! One operation: its checks in the reference's order (`pRequest2Txn`), its rows, its transaction body.

use super::pending::{Node, Pending, Spot};
use super::{Case, Fault, Prep};
use crate::auth::{AccessList, AclEntry};
use crate::state::TreeView;
use crate::state::quota::Verdict;
use crate::types::planted::{self, Bug};
use crate::types::{Millis, Owner, Zxid, path};
use crate::wire::multi::WriteOp;
use jute::codes::{MAX_TTL, perms};
use jute::records::data::{Acl, StatPersisted};
use jute::records::proto::{CheckVersionRequest, DeleteRequest, SetAclRequest, SetDataRequest};
use jute::{CreateMode, ErrorCode, OpCode, Text, writer};
use std::borrow::Cow;

impl WriteOp<'_> {
    /// The operation as the log names it.
    #[must_use]
    pub fn code(&self) -> OpCode {
        match self {
            Self::Create(op, _) => *op,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(_) => OpCode::SetData,
            Self::Check(_) => OpCode::Check,
        }
    }

    /// The path it is about.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(_, r) => r.path.as_deref(),
            Self::CreateTtl(r) => r.path.as_deref(),
            Self::Delete(r) => r.path.as_deref(),
            Self::SetData(r) => r.path.as_deref(),
            Self::Check(r) => r.path.as_deref(),
        }
    }
}

/// Where the membership stands.
const CONFIG_NODE: &str = "/zookeeper/config";

/// A create in any of its forms.
struct Create<'r> {
    op: OpCode,
    path: Option<&'r str>,
    data: Option<&'r [u8]>,
    acl: Option<&'r [Acl<'r>]>,
    flags: i32,
    /// -1 where the form has none.
    ttl: i64,
}

/// The new version, if the expected one fits. -1 expects anything; a counter that has come round skips -1,
/// which could not be expected any more.
fn next_version(current: i32, expected: i32) -> Result<i32, Fault> {
    if expected != -1 && expected != current {
        return Err(Fault::Refused(ErrorCode::BadVersion));
    }
    Ok(if current == -2 { 0 } else { current.wrapping_add(1) })
}

fn full_path<'p>(path: Option<&'p Text<'_>>) -> Result<&'p str, Fault> {
    path.map(|p| &**p)
        .filter(|path| path::validate(path).is_ok())
        .ok_or(Fault::Refused(ErrorCode::BadArguments))
}

/// Parent of a path that is to be deleted (`getParentPathAndValidate`): no full check.
fn parent_to_delete_from(path: &str) -> Result<&str, Fault> {
    match path::split(path) {
        Some((parent, _)) if !path.contains('\0') && !path::is_reserved(path) => Ok(parent),
        _ => Err(Fault::Refused(ErrorCode::BadArguments)),
    }
}

/// Bytes of a create beside path, data and access list: two lengths, the new cversion, a time to live.
const CREATE_FIXED: usize = 4 + 4 + 4 + 8;

fn acl_len(acl: &[AclEntry]) -> usize {
    acl.iter().map(AclEntry::record_len).sum::<usize>() + 4
}

fn write_acl(out: &mut Vec<u8>, acl: &[AclEntry]) {
    writer::count(out, Some(acl.len()));
    for entry in acl {
        jute::Record::write(&entry.record(), out);
    }
}

/// Takes a node out of the overlay's world: its parent has one child less.
pub(super) fn remove(pending: &mut Pending, zxid: Zxid, path: &str, tree: &impl TreeView) {
    if let Some((parent_path, _)) = path::split(path) {
        let spot = pending.spot(parent_path);
        if let Some(parent) = pending.node(spot, tree) {
            let mut after = parent.clone();
            after.num_children -= 1;
            after.stat.pzxid = zxid.0;
            pending.change(zxid, spot, Some(&parent), Some(after));
        }
    }
    let spot = pending.spot(path);
    let node = pending.node(spot, tree);
    pending.change(zxid, spot, node.as_ref(), None);
}

/// The reaper's delete: no session, no access list, no version.
pub(super) fn delete_container(
    pending: &mut Pending,
    zxid: Zxid,
    path: &str,
    tree: &impl TreeView,
) -> Result<(), ErrorCode> {
    parent_to_delete_from(path).map_err(|_| ErrorCode::BadArguments)?;
    let node = pending.node(pending.spot(path), tree).ok_or(ErrorCode::NoNode)?;
    if node.num_children > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    if node.owner.session().is_some() {
        return Err(ErrorCode::BadVersion);
    }
    remove(pending, zxid, path, tree);
    Ok(())
}

impl Prep {
    /// Validates one operation and appends its body.
    pub(super) fn op<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        op: &WriteOp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match op {
            WriteOp::Create(op, r) => {
                let (path, acl) = (r.path.as_deref(), r.acl.as_deref());
                self.create(case, &Create { op: *op, path, data: r.data, acl, flags: r.flags, ttl: -1 }, out)
            }
            WriteOp::CreateTtl(r) => {
                let (path, acl) = (r.path.as_deref(), r.acl.as_deref());
                let op = OpCode::CreateTtl;
                self.create(case, &Create { op, path, data: r.data, acl, flags: r.flags, ttl: r.ttl }, out)
            }
            WriteOp::Delete(r) => self.delete(case, r, out),
            WriteOp::SetData(r) => self.set_data(case, r, out),
            WriteOp::Check(r) => self.check(case, r, out),
        }
    }

    fn node<T: TreeView>(&self, case: &Case<'_, T>, spot: Spot<'_>) -> Result<Node, Fault> {
        self.pending.node(spot, case.tree).ok_or(Fault::Refused(ErrorCode::NoNode))
    }

    fn permit<T>(&self, case: &Case<'_, T>, node: &Node, perms: i32) -> Result<(), Fault> {
        let allowed = self.rules.permits(&node.acl, perms, case.ids);
        if allowed { Ok(()) } else { Err(Fault::Refused(ErrorCode::NoAuth)) }
    }

    /// A hard limit refuses; a soft one is only worth a line in somebody's log.
    fn check_quota<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        path: &str,
        bytes: i64,
        count: i64,
    ) -> Result<(), Fault> {
        if !self.settings.enforce_quota {
            return Ok(());
        }
        match case.tree.check_quota(path, bytes, count) {
            Verdict::Within => Ok(()),
            Verdict::Soft(overrun) => {
                self.overruns.push(overrun);
                Ok(())
            }
            Verdict::Hard(overrun) => {
                self.overruns.push(overrun);
                Err(Fault::Refused(ErrorCode::QuotaExceeded))
            }
        }
    }

    /// What the new node will be kept alive by. The operation decides; the flags only add to it.
    fn owner_to_be<T>(&self, case: &Case<'_, T>, create: &Create<'_>) -> Result<(CreateMode, Owner), Fault> {
        let refused = |code| Err(Fault::Refused(code));
        let Some(mode) = CreateMode::from_code(create.flags) else {
            return refused(ErrorCode::BadArguments);
        };
        if mode.is_ttl() && !self.settings.extended_types {
            return refused(ErrorCode::Unimplemented);
        }
        let ttl_fits = if mode.is_ttl() { (1..=MAX_TTL).contains(&create.ttl) } else { create.ttl < 0 };
        if !ttl_fits {
            return refused(ErrorCode::BadArguments);
        }
        case.check_session(mode.is_ephemeral())?;
        Ok((
            mode,
            match create.op {
                OpCode::CreateContainer => Owner::Container,
                OpCode::CreateTtl if mode.is_ttl() => Owner::Ttl(Millis(create.ttl)),
                OpCode::CreateTtl => return refused(ErrorCode::BadArguments),
                _ if mode.is_ephemeral() => Owner::Ephemeral(case.session),
                _ => Owner::Persistent,
            },
        ))
    }

    fn create<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        create: &Create<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (mode, owner) = self.owner_to_be(case, create)?;
        let asked = create.path.ok_or(Fault::Broken)?;
        let Some((parent_path, _)) = path::split(asked).filter(|_| !asked.contains('\0')) else {
            return Err(Fault::Refused(ErrorCode::BadArguments));
        };
        let acl = self.rules.fix_up(create.acl, case.ids, self.settings.longest_txn)?;
        let parent_spot = self.pending.spot(parent_path);
        let parent = self.node(case, parent_spot)?;
        self.permit(case, &parent, perms::CREATE)?;
        let path: Cow<'_, str> = if mode.is_sequential() {
            let reused = i32::from(planted::is(Bug::SequenceReuse));
            Cow::Owned(format!("{asked}{:010}", parent.stat.cversion.saturating_sub(reused)))
        } else {
            Cow::Borrowed(asked)
        };
        path::validate(&path).map_err(|_| Fault::Refused(ErrorCode::BadArguments))?;
        let spot = self.pending.spot(&path);
        if self.pending.node(spot, case.tree).is_some() {
            return Err(Fault::Refused(ErrorCode::NodeExists));
        }
        if parent.owner.session().is_some() {
            return Err(Fault::Refused(ErrorCode::NoChildrenForEphemerals));
        }
        let data_len = create.data.map_or(0, |d| i64::try_from(d.len()).unwrap_or(i64::MAX));
        self.check_quota(case, &path, data_len, 1)?;
        self.fits(
            out.len() + path.len() + create.data.map_or(0, <[u8]>::len) + acl_len(&acl) + CREATE_FIXED,
        )?;

        let cversion = parent.stat.cversion.wrapping_add(1);
        let mut after = parent.clone();
        after.num_children += 1;
        // Applying only ever raises the counter, so one that has come round stays where it was.
        after.stat.cversion = parent.stat.cversion.max(cversion);
        after.stat.pzxid = case.zxid.0;
        self.pending.change(case.zxid, parent_spot, Some(&parent), Some(after));

        writer::text(out, Some(&path));
        writer::buffer(out, create.data);
        write_acl(out, &acl);
        match create.op {
            OpCode::CreateContainer => writer::i32(out, cversion),
            OpCode::CreateTtl => {
                writer::i32(out, cversion);
                writer::i64(out, create.ttl);
            }
            _ => {
                out.push(u8::from(mode.is_ephemeral()));
                writer::i32(out, cversion);
            }
        }
        let node = self.newborn(case, &path, create.data, data_len, owner, acl);
        self.pending.change(case.zxid, spot, None, Some(node));
        Ok(())
    }

    fn newborn<T>(
        &self,
        case: &Case<'_, T>,
        path: &str,
        data: Option<&[u8]>,
        data_len: i64,
        owner: Owner,
        acl: AccessList,
    ) -> Node {
        let (zxid, time) = (case.zxid.0, case.now.wall);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner.pack(),
            ..StatPersisted::default()
        };
        Node::born(stat, owner, acl, data_len, self.pending.share(path, data))
    }

    fn delete<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        r: &DeleteRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        case.check_session(false)?;
        let path = r.path.as_deref().ok_or(Fault::Broken)?;
        let parent_path = parent_to_delete_from(path)?;
        let parent = self.node(case, self.pending.spot(parent_path))?;
        self.permit(case, &parent, perms::DELETE)?;
        let node = self.node(case, self.pending.spot(path))?;
        next_version(node.stat.version, r.version)?;
        if node.num_children > 0 {
            return Err(Fault::Refused(ErrorCode::NotEmpty));
        }
        remove(&mut self.pending, case.zxid, path, case.tree);
        writer::text(out, Some(path));
        Ok(())
    }

    fn set_data<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        r: &SetDataRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        case.check_session(false)?;
        let path = full_path(r.path.as_ref())?;
        let spot = self.pending.spot(path);
        let node = self.node(case, spot)?;
        self.permit(case, &node, perms::WRITE)?;
        let data_len = r.data.map_or(0, |d| i64::try_from(d.len()).unwrap_or(i64::MAX));
        self.check_quota(case, path, data_len - node.data_len, 0)?;
        let version = next_version(node.stat.version, r.version)?;
        let mut after = node.clone();
        after.stat.version = version;
        after.stat.mzxid = case.zxid.0;
        after.stat.mtime = case.now.wall;
        after.data_len = data_len;
        after.share = self.pending.share(path, r.data);
        self.pending.change(case.zxid, spot, Some(&node), Some(after));
        writer::text(out, Some(path));
        writer::buffer(out, r.data);
        writer::i32(out, version);
        Ok(())
    }

    /// The configuration's node gets the text of another membership; its version starts anew at -1, as in the
    /// reference.
    pub(super) fn set_config<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let spot = self.pending.spot(CONFIG_NODE);
        let node = self.node(case, spot)?;
        self.permit(case, &node, perms::WRITE)?;
        self.fits(out.len() + CONFIG_NODE.len() + text.len() + 12)?;
        let mut after = node.clone();
        after.stat.version = -1;
        after.stat.mzxid = case.zxid.0;
        after.stat.mtime = case.now.wall;
        after.data_len = i64::try_from(text.len()).unwrap_or(i64::MAX);
        after.share = self.pending.share(CONFIG_NODE, Some(text));
        self.pending.change(case.zxid, spot, Some(&node), Some(after));
        writer::text(out, Some(CONFIG_NODE));
        writer::buffer(out, Some(text));
        writer::i32(out, -1);
        Ok(())
    }

    pub(super) fn set_acl<T: TreeView>(
        &mut self,
        case: &Case<'_, T>,
        r: &SetAclRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        case.check_session(false)?;
        let path = full_path(r.path.as_ref())?;
        let acl = self.rules.fix_up(r.acl.as_deref(), case.ids, self.settings.longest_txn)?;
        let spot = self.pending.spot(path);
        let node = self.node(case, spot)?;
        self.permit(case, &node, perms::ADMIN)?;
        let aversion = next_version(node.stat.aversion, r.version)?;
        self.fits(out.len() + path.len() + acl_len(&acl) + 8)?;
        writer::text(out, Some(path));
        write_acl(out, &acl);
        writer::i32(out, aversion);
        let mut after = node.clone();
        after.stat.aversion = aversion;
        after.acl = acl;
        self.pending.change(case.zxid, spot, Some(&node), Some(after));
        Ok(())
    }

    fn check<T: TreeView>(
        &self,
        case: &Case<'_, T>,
        r: &CheckVersionRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        case.check_session(false)?;
        let path = full_path(r.path.as_ref())?;
        let node = self.node(case, self.pending.spot(path))?;
        self.permit(case, &node, perms::READ)?;
        let version = next_version(node.stat.version, r.version)?;
        writer::text(out, Some(path));
        writer::i32(out, version);
        Ok(())
    }
}
