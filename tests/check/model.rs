//! The tree, written down once more: what a transaction must find and what it leaves.
//!
//! Simple and slow on purpose, and made without a look at the server's. Invariant: a transaction that could not
//! have been valid where it stands is a breach, not something to be tolerated.

use super::history::Stat;
use super::txn::{Change, Txn};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What happened to a path: 1 created, 2 deleted, 3 data changed, 4 children changed, as events say it.
pub type Touch = (i32, String);

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Its data.
    pub data: Vec<u8>,
    czxid: i64,
    /// Last written by.
    pub mzxid: i64,
    /// Last change of children.
    pub pzxid: i64,
    version: i32,
    /// Children ever made.
    made: i32,
    owner: i64,
    /// Names of its children.
    pub children: BTreeSet<String>,
}

impl Node {
    /// What clients see.
    pub fn stat(&self) -> Stat {
        let children = self.children.len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            version: self.version,
            cversion: self.made * 2 - children,
            owner: self.owner,
            length: self.data.len() as i32,
            children,
            pzxid: self.pzxid,
        }
    }
}

/// The state behind some transaction.
#[derive(Debug, Default)]
pub struct Model {
    nodes: HashMap<String, Node>,
    owned: BTreeMap<i64, BTreeSet<String>>,
    sessions: BTreeMap<i64, i32>,
    ended: BTreeSet<i64>,
}

fn split(path: &str) -> (&str, &str) {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    (if parent.is_empty() { "/" } else { parent }, name)
}

impl Model {
    /// The state of an empty history.
    pub fn new() -> Self {
        let mut model = Self::default();
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            model.nodes.insert(path.to_owned(), Node::default());
            if path != "/" {
                let (parent, name) = split(path);
                model.nodes.get_mut(parent).expect("made before").children.insert(name.to_owned());
            }
        }
        model
    }

    /// A node.
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Applies a transaction.
    ///
    /// # Errors
    /// Why it cannot stand here.
    pub fn apply(&mut self, txn: &Txn, touched: &mut Vec<Touch>) -> Result<(), String> {
        let refuse =
            |why: String| Err(format!("{why} (transaction 0x{:x} of session 0x{:x})", txn.zxid, txn.session));
        match &txn.change {
            Change::Open(timeout) => {
                if self.sessions.insert(txn.session, *timeout).is_some() || self.ended.contains(&txn.session)
                {
                    return refuse("E: a session begins twice".into());
                }
            }
            Change::Close(listed) => {
                let owned = self.owned.remove(&txn.session).unwrap_or_default();
                let listed: BTreeSet<&String> = listed.iter().collect();
                if listed != owned.iter().collect() {
                    return refuse(format!("E: a session ends with {listed:?} and owns {owned:?}"));
                }
                for path in owned.iter().rev() {
                    self.delete(txn.zxid, path, touched).or_else(refuse)?;
                }
                self.sessions.remove(&txn.session);
                self.ended.insert(txn.session);
            }
            Change::Error(_) => {}
            Change::Multi(parts) if parts.iter().any(|part| matches!(part, Change::Error(_))) => {}
            change => {
                if txn.session != 0 && !self.sessions.contains_key(&txn.session) {
                    return refuse("E: a session acts that is over or never was".into());
                }
                self.change(txn, change, touched).or_else(refuse)?;
            }
        }
        Ok(())
    }

    fn change(&mut self, txn: &Txn, change: &Change, touched: &mut Vec<Touch>) -> Result<(), String> {
        match change {
            Change::Create(path, data, ephemeral, counter) => {
                let owner = if *ephemeral { txn.session } else { 0 };
                self.create(txn.zxid, path, data, owner, *counter, touched)
            }
            Change::Delete(path) => {
                let owner = self.nodes.get(path).map_or(0, |n| n.owner);
                if let Some(owned) = self.owned.get_mut(&owner) {
                    owned.remove(path);
                }
                self.delete(txn.zxid, path, touched)
            }
            Change::Set(path, data, version) => {
                let node = self
                    .nodes
                    .get_mut(path)
                    .ok_or_else(|| format!("M: {path} is written and is not there"))?;
                if *version != node.version + 1 {
                    return Err(format!("M: {path} goes from version {} to {version}", node.version));
                }
                (node.version, node.mzxid) = (*version, txn.zxid);
                node.data.clone_from(data);
                touched.push((3, path.clone()));
                Ok(())
            }
            Change::Reconfig(_) => {
                touched.push((3, "/zookeeper/config".to_owned()));
                Ok(())
            }
            Change::SetAcl(path, _) | Change::Check(path) => self
                .nodes
                .get(path)
                .map(|_| ())
                .ok_or_else(|| format!("M: {path} is checked and is not there")),
            Change::Multi(parts) => parts.iter().try_for_each(|part| self.change(txn, part, touched)),
            Change::Open(_) | Change::Close(_) | Change::Error(_) => Err("M: no part of a multi".into()),
        }
    }

    fn create(
        &mut self,
        zxid: i64,
        path: &str,
        data: &[u8],
        owner: i64,
        counter: i32,
        touched: &mut Vec<Touch>,
    ) -> Result<(), String> {
        let (parent_path, name) = split(path);
        if self.nodes.contains_key(path) {
            return Err(format!("M: {path} is made and is there"));
        }
        let parent =
            self.nodes.get_mut(parent_path).ok_or_else(|| format!("M: {path} is made without a parent"))?;
        if parent.owner != 0 {
            return Err(format!("M: {path} is made below an ephemeral"));
        }
        // A sequential node is numbered by its parent's counter, which never goes back.
        let digits = name
            .len()
            .checked_sub(10)
            .and_then(|at| name.get(at..))
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        if let Some(number) = digits.and_then(|d| d.parse::<i32>().ok())
            && number != parent.made
        {
            return Err(format!("M: {path} is number {}, its name says otherwise", parent.made));
        }
        parent.made += 1;
        if counter != parent.made && counter != -1 {
            return Err(format!("M: {path} is creation {}, the transaction says {counter}", parent.made));
        }
        parent.pzxid = zxid;
        parent.children.insert(name.to_owned());
        touched.push((1, path.to_owned()));
        touched.push((4, parent_path.to_owned()));
        let node =
            Node { data: data.to_vec(), czxid: zxid, mzxid: zxid, pzxid: zxid, owner, ..Node::default() };
        self.nodes.insert(path.to_owned(), node);
        if owner != 0 {
            self.owned.entry(owner).or_default().insert(path.to_owned());
        }
        Ok(())
    }

    fn delete(&mut self, zxid: i64, path: &str, touched: &mut Vec<Touch>) -> Result<(), String> {
        match self.nodes.get(path) {
            None => return Err(format!("M: {path} is deleted and is not there")),
            Some(node) if !node.children.is_empty() => {
                return Err(format!("M: {path} is deleted with children"));
            }
            Some(_) => self.nodes.remove(path),
        };
        let (parent, name) = split(path);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.remove(name);
            parent.pzxid = zxid;
        }
        touched.push((2, path.to_owned()));
        touched.push((4, parent.to_owned()));
        Ok(())
    }
}
