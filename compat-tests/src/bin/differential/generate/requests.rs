//! The requests of a random sequence: which operation, on which path, with which arguments.
//!
//! It decides nothing about connections. Invariant: what it asks for is mostly possible, and seldom certain.

use jute::OpCode;

use super::{Generator, Node};
use crate::garbage;
use crate::request::{self as r, Acls, NULL, Paths, Req, Str, open};

/// Milliseconds nobody will see pass.
const LONG_TTL: i64 = 86_400_000;

/// Whether this names a node in which the server keeps the usage of a quota.
fn is_usage(path: &Str) -> bool {
    path.0.as_ref().is_some_and(|p| p.ends_with(b"/zookeeper_stats"))
}

impl Generator {
    pub(super) fn request(&mut self, slot: usize) -> Req {
        let req = self.sound_request(slot);
        if self.rng.one_in(30) && !req.text.contains("zookeeper_stats") {
            return garbage::damage(&mut self.rng, req);
        }
        if self.rng.one_in(60) {
            let xid = *self.rng.pick(&[0, -4, -8, -100, i32::MIN, i32::MAX]);
            return req.xid(xid);
        }
        req
    }

    fn sound_request(&mut self, slot: usize) -> Req {
        let watch = self.rng.one_in(2);
        let weights = [
            100, 60, 30, 30, 80, 60, 60, 90, 30, 40, 30, 40, 10, 20, 10, 10, 15, 15, 30, 20, 20, 80, 30, 4, 5,
        ];
        match self.rng.weighted(&weights) {
            0 => self.create(slot, OpCode::Create),
            1 => self.create(slot, OpCode::Create2),
            2 => self.create(slot, OpCode::CreateContainer),
            3 => self.create(slot, OpCode::CreateTtl),
            4 => self.delete(),
            5 => r::exists(self.path_to_watch(watch), watch),
            6 => r::get(self.path_to_watch(watch), watch),
            7 => self.set(),
            8 => r::get_acl(self.path()),
            9 => self.set_acl(),
            10 => r::children(self.path_to_watch(watch), watch),
            11 => r::children2(self.path_to_watch(watch), watch),
            12 => r::of_path(OpCode::GetAllChildrenNumber, self.path()),
            13 => r::of_path(OpCode::GetEphemerals, self.path()),
            14 => r::of_path(OpCode::Sync, self.path()),
            15 => r::ping(),
            16 | 17 => self.watches_again(),
            18 => {
                let mode = *self.rng.pick(&[0, 0, 1, 1, 1, 2, -1]);
                r::add_watch(self.path_to_watch(true), mode)
            }
            19 => r::check_watches(self.watched_path(), self.watcher_type()),
            20 => r::remove_watches(self.watched_path(), self.watcher_type()),
            21 => self.multi(slot),
            22 => self.multi_read(),
            23 => r::reconfig(Str::from("server.9=127.0.0.1:1:2;3"), NULL, NULL, -1),
            _ => r::bare(OpCode::WhoAmI),
        }
    }

    fn watcher_type(&mut self) -> i32 {
        *self.rng.pick(&[1, 2, 3, 3, 4, 5, 0, 6])
    }

    /// A path that probably exists, could exist, or never will.
    fn path(&mut self) -> Str {
        match self.rng.weighted(&[64, 20, 4, 2, 2, 5]) {
            0 => Str::from(self.existing()),
            1 => Str::from(self.child()),
            2 => Str::from(format!("{}/a/n{:010}", self.root, self.rng.below(12))),
            3 => Str::from(*self.rng.pick(&["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", ""])),
            4 => Str::from(format!("/zookeeper/quota{}/zookeeper_stats", self.root)),
            _ => garbage::bad_path(&mut self.rng, &self.root),
        }
    }

    /// A path that is remembered if it is watched.
    fn path_to_watch(&mut self, watch: bool) -> Str {
        let path = self.path();
        if watch {
            self.watched.push_back(path.clone());
            if self.watched.len() > 8 {
                self.watched.pop_front();
            }
        }
        path
    }

    fn watched_path(&mut self) -> Str {
        let at = self.rng.below(12);
        self.watched.get(at).cloned().unwrap_or_else(|| self.path())
    }

    fn existing(&mut self) -> String {
        let paths = self.node_paths();
        if paths.is_empty() { self.root.clone() } else { self.rng.pick(&paths).clone() }
    }

    fn child(&mut self) -> String {
        let parent = self.existing();
        let name = *self.rng.pick(&["a", "b", "c", "d", "e"]);
        if parent.split('/').count() > 6 {
            format!("{}/{name}", self.root)
        } else {
            format!("{parent}/{name}")
        }
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.rng.below(10) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![0xfe; self.rng.below(3000)]),
            n => Some(vec![b'a' + u8::try_from(n).unwrap_or(0); self.rng.below(24)]),
        }
    }

    fn acls(&mut self) -> Acls {
        match self.rng.below(16) {
            0 => r::only(31, "auth", ""),
            1 => r::only(31, "digest", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U="),
            2 => r::only(1, "world", "anyone"),
            3 => Some(vec![
                r::acl(i32::try_from(self.rng.below(32)).unwrap_or(0), "world", "anyone"),
                r::acl(31, "digest", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U="),
            ]),
            4 => garbage::odd_acl(&mut self.rng),
            _ => open(),
        }
    }

    fn create(&mut self, slot: usize, op: OpCode) -> Req {
        let path = if self.rng.one_in(14) { self.path() } else { Str::from(self.child()) };
        let data = self.data();
        let data = data.as_deref();
        let acls = self.acls();
        if op == OpCode::CreateTtl {
            let flags = *self.rng.pick(&[5, 5, 5, 6, 6, 0, 2]);
            let ttls = [LONG_TTL, LONG_TTL, LONG_TTL, 0xff_ffff_ffff, 0x100_0000_0000, 0, -1, i64::MIN];
            let ttl = if flags < 5 { LONG_TTL } else { *self.rng.pick(&ttls) };
            if flags >= 5 && (1..=0xff_ffff_ffff).contains(&ttl) {
                self.grow(&path, flags == 6, None);
            }
            return r::create_ttl(path, data, &acls, flags, ttl);
        }
        let flags = match *self.rng.pick(&[0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, -1]) {
            // The reference refuses such a container children until the write has reached its tree: by the clock.
            flags @ (1 | 3) if op == OpCode::CreateContainer => flags - 1,
            flags => flags,
        };
        if (0..5).contains(&flags) {
            self.grow(&path, matches!(flags, 2 | 3), matches!(flags, 1 | 3).then_some(slot));
        }
        let path = if matches!(flags, 2 | 3) && self.rng.one_in(2) {
            Str::from(format!("{}/a/n", self.root))
        } else {
            path
        };
        r::create_as(op, path, data, &acls, flags)
    }

    /// Notes a node that is probably there now.
    fn grow(&mut self, path: &Str, numbered: bool, owner: Option<usize>) {
        let Some(path) = path.0.as_ref().and_then(|p| String::from_utf8(p.clone()).ok()) else { return };
        let Some((parent, _)) = path.rsplit_once('/') else { return };
        let Some(up) = self.tree.get_mut(parent).filter(|n| n.owner.is_none()) else { return };
        let name = if numbered { format!("{path}{:010}", up.creations) } else { path };
        up.creations += 1;
        self.tree.entry(name).or_insert(Node { owner, ..Node::default() });
    }

    fn version(&mut self, known: i32) -> i32 {
        *self.rng.pick(&[-1, -1, -1, known, known, known, known + 1, known - 1, -2, 0, i32::MAX])
    }

    fn delete(&mut self) -> Req {
        let path = self.path();
        let text = path.0.as_ref().map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default();
        let known = self.tree.get(&text).map_or(0, |n| n.version);
        let version = self.version(known);
        let below = format!("{text}/");
        if (version == -1 || version == known) && !self.tree.keys().any(|k| k.starts_with(&below)) {
            self.tree.remove(&text);
        }
        r::delete(path, version)
    }

    fn set(&mut self) -> Req {
        let path = self.path();
        let data = self.data();
        // The reference ends when the next write below meets usage that it cannot read.
        let data = if is_usage(&path) { Some(b"count=1,bytes=1".to_vec()) } else { data };
        let text = path.0.as_ref().map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default();
        let known = self.tree.get(&text).map_or(0, |n| n.version);
        let version = self.version(known);
        if let Some(node) = self.tree.get_mut(&text).filter(|_| version == -1 || version == known) {
            node.version += 1;
        }
        r::set(path, data.as_deref(), version)
    }

    fn set_acl(&mut self) -> Req {
        // The roots stay open, or the rest of the sequence would be refusals.
        let path = match self.path() {
            p if p == Str::from("/") || p == Str::from("") || p == Str::from(&self.root) => {
                Str::from(format!("{}/b", self.root))
            }
            p => p,
        };
        let text = path.0.as_ref().map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default();
        let known = self.tree.get(&text).map_or(0, |n| n.aversion);
        let version = self.version(known);
        let acls = self.acls();
        if let Some(node) = self.tree.get_mut(&text).filter(|_| version == -1 || version == known) {
            node.aversion += 1;
        }
        r::set_acl(path, &acls, version)
    }

    fn some_paths(&mut self) -> Paths {
        if self.rng.one_in(40) {
            return None;
        }
        let n = self.rng.below(4);
        Some((0..n).map(|_| self.path()).filter(|p| p.0.is_some() || n == 3).collect())
    }

    pub(super) fn watches_again(&mut self) -> Req {
        let delta = *self.rng.pick(&[0, 0, -1, -2, -5, -20, -100_000, 1, 1000]);
        let (op, n) = if self.rng.one_in(2) { (OpCode::SetWatches, 3) } else { (OpCode::SetWatches2, 5) };
        let lists: Vec<Paths> = (0..n).map(|_| self.some_paths()).collect();
        r::set_watches(op, delta, &lists)
    }

    fn multi(&mut self, slot: usize) -> Req {
        let before = self.tree.clone();
        let n = self.rng.below(6);
        let mut subs: Vec<Req> = (0..n).map(|_| self.sub(slot)).collect();
        match self.rng.below(40) {
            0 => return r::unfinished(OpCode::Multi, &subs),
            1 => subs.push(r::set_acl(format!("{}/b", self.root), &open(), -1)),
            2 => subs.push(r::get(self.path(), false)),
            3 => subs.push(r::multi(&[])),
            4 => subs.push(r::of_path(OpCode::DeleteContainer, self.root.clone())),
            5 => subs.push(r::raw(77, vec![0; 12], "")),
            _ => {}
        }
        if self.rng.one_in(3) {
            self.tree = before;
        }
        r::multi(&subs)
    }

    fn sub(&mut self, slot: usize) -> Req {
        // Most are made to work, or long ones would hardly ever.
        if !self.rng.one_in(5) {
            return self.hopeful_sub(slot);
        }
        match self.rng.weighted(&[30, 20, 8, 12, 20, 30, 25]) {
            0 => self.create(slot, OpCode::Create),
            1 => self.create(slot, OpCode::Create2),
            2 => self.create(slot, OpCode::CreateContainer),
            3 => self.create(slot, OpCode::CreateTtl),
            4 => self.delete(),
            5 => self.set(),
            _ => {
                let path = self.existing();
                let known = self.tree.get(&path).map_or(0, |n| n.version);
                let version = self.version(known);
                r::check(path, version)
            }
        }
    }

    fn hopeful_sub(&mut self, slot: usize) -> Req {
        let path = self.existing();
        match self.rng.below(5) {
            0 => r::check(path, -1),
            1 => {
                let known = self.tree.get(&path).map_or(0, |n| n.version);
                let version = *self.rng.pick(&[-1, -1, known]);
                if let Some(node) = self.tree.get_mut(&path) {
                    node.version += 1;
                }
                r::set(path, self.data().as_deref(), version)
            }
            2 => {
                let name = format!("{}/m{}", self.root, self.rng.below(1000));
                self.grow(&Str::from(&name), false, None);
                let op = *self.rng.pick(&[OpCode::Create, OpCode::Create2, OpCode::CreateContainer]);
                r::create_as(op, name, self.data().as_deref(), &open(), 0)
            }
            3 => {
                let flags = *self.rng.pick(&[2, 3]);
                self.grow(&Str::from(format!("{}/n", self.root)), true, (flags == 3).then_some(slot));
                r::create(format!("{}/n", self.root), flags)
            }
            _ => {
                let below = format!("{path}/");
                if path == self.root || self.tree.keys().any(|k| k.starts_with(&below)) {
                    return r::check(path, -1);
                }
                self.tree.remove(&path);
                r::delete(path, -1)
            }
        }
    }

    fn multi_read(&mut self) -> Req {
        let n = self.rng.below(5);
        let mut subs = Vec::new();
        for _ in 0..n {
            let watch = self.rng.one_in(2);
            let path = self.path();
            subs.push(if self.rng.one_in(2) { r::get(path, watch) } else { r::children(path, watch) });
        }
        match self.rng.below(20) {
            0 => subs.push(r::delete(self.child(), -1)),
            1 => subs.push(r::exists(self.existing(), false)),
            2 => return r::unfinished(OpCode::MultiRead, &subs),
            _ => {}
        }
        r::multi_read(&subs)
    }

    pub(super) fn login(&mut self) -> Req {
        match self.rng.below(8) {
            0 => r::auth_super(),
            1 => r::auth("digest", Some(b"alice:pw")).xid(-4),
            2 => r::auth("digest", Some(b"nobody")),
            3 => r::auth("ip", Some(b"10.0.0.1")),
            4 => r::sasl(*self.rng.pick(&[None, Some(&b""[..]), Some(&b"token"[..])])),
            _ => r::auth("digest", Some(b"bob:bobsecret")),
        }
    }

    /// Limits and usage of some node.
    pub(super) fn quota(&mut self, slot: usize) {
        let target = if self.rng.one_in(2) { self.root.clone() } else { format!("{}/a", self.root) };
        let place = format!("/zookeeper/quota{target}");
        let limits = *self.rng.pick(&[
            &b"count=5,bytes=100"[..],
            b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=2",
            b"",
            b"count=,bytes=;;,count=7",
            b"nonsense",
        ]);
        let (l, s) = (format!("{place}/zookeeper_limits"), format!("{place}/zookeeper_stats"));
        let reqs = match self.rng.below(4) {
            0 | 1 => vec![
                r::create(format!("/zookeeper/quota{}", self.root), 0),
                r::create(&place, 0),
                r::create_as(OpCode::Create, &l, Some(limits), &open(), 0),
                r::create_as(OpCode::Create, &s, Some(b"count=0,bytes=0"), &open(), 0),
                r::get(&s, true),
            ],
            2 => vec![r::get(&s, false), r::get(&l, false), r::set(&l, Some(limits), -1), r::get(&s, false)],
            _ => vec![r::delete(&l, -1), r::get(&s, false), r::delete(&s, -1)],
        };
        self.send(slot, reqs);
    }
}
