//! The files of the configuration while members change: the membership as proposed, as agreed, and the main file that
//! points at it (`QuorumPeerConfig.writeDynamicConfig`, `editStaticConfig`).
//!
//! Each file is written beside its place and renamed, so a reader finds the old or the new one. A failure is said
//! and nothing more: the ensemble tells its members again. Invariants: only with `reconfigEnabled` is anything written;
//! a proposed membership is on disk before the transaction that proposes it can be acknowledged, because after a restart
//! quorums have to be quorums of it, too.

use crate::config::ensemble::{self, Membership};
use crate::config::{Settings, parse, toml};
use crate::replica::ConfigEffect;
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// Where changes are put down, and picked up by a task that may wait for the disk.
#[derive(Debug)]
pub(super) struct ConfigDesk {
    files: Option<ConfigFiles>,
    /// What is to be written next; a newer one takes the place of an older one.
    agreed: Mutex<Option<Arc<Membership>>>,
    bell: Notify,
}

impl ConfigDesk {
    /// Where these settings came from. Without `reconfigEnabled`, or without a file, there is nothing to write.
    pub(super) fn new(settings: &Settings) -> Self {
        let files = settings.quorum.reconfig_enabled.then(|| ConfigFiles::of(settings)).flatten();
        Self { files, agreed: Mutex::default(), bell: Notify::new() }
    }

    /// Writes what is proposed, and puts down what is agreed. It waits for the disk: the transaction comes right behind,
    /// and there are few of these.
    pub(super) fn put(&self, effect: ConfigEffect) {
        match effect {
            ConfigEffect::Propose(membership) => {
                if let Some(files) = &self.files
                    && let Err(error) = files.propose(&membership)
                {
                    tracing::error!(
                        "Cannot write {}: {error}; look at its disk before this member is started again, or it forgets \
                         what is proposed",
                        files.next().display()
                    );
                }
            }
            ConfigEffect::Commit(membership) => {
                *self.agreed.lock() = Some(membership);
                self.bell.notify_one();
            }
        }
    }

    /// Waits for a change and writes it; the membership that is in force now, if it changed.
    pub(super) async fn next(&self) -> Option<Arc<Membership>> {
        self.bell.notified().await;
        let committed = self.agreed.lock().take();
        if let (Some(files), Some(agreed)) = (self.files.clone(), committed.clone()) {
            let write = move || files.commit(&agreed);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
                tracing::error!("Cannot write the configuration: {error}");
            }
        }
        committed
    }

    /// Keeps the main file as it was written by hand, before anything in it is changed.
    pub(super) fn back_up(&self, settings: &Settings) {
        let Some(files) = self.files.as_ref().filter(|_| settings.quorum.dynamic_file.is_none()) else {
            return;
        };
        let copy = beside(&files.main, ".bak");
        if let Err(error) = replace(&copy, settings.initial_text()) {
            tracing::error!("Cannot write {}: {error}", copy.display());
        }
    }
}

/// The files.
#[derive(Debug, Clone)]
struct ConfigFiles {
    /// The main file.
    main: PathBuf,
    server: i64,
    /// Held while files change: a newer proposal must not be taken for the one that is over.
    changing: Arc<Mutex<()>>,
}

fn beside(main: &Path, suffix: &str) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Durably, and never half.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path, ".tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let home = path.parent().filter(|home| !home.as_os_str().is_empty());
    fs::File::open(home.unwrap_or(Path::new(".")))?.sync_all()
}

impl ConfigFiles {
    fn of(settings: &Settings) -> Option<Self> {
        let main = PathBuf::from(settings.source());
        main.is_file().then(|| Self {
            main,
            server: settings.quorum.my_id.unwrap_or(0),
            changing: Arc::default(),
        })
    }

    fn next(&self) -> PathBuf {
        beside(&self.main, ".dynamic.next")
    }

    fn propose(&self, membership: &Membership) -> io::Result<()> {
        let _changing = self.changing.lock();
        replace(&self.next(), membership.text().as_bytes())
    }

    fn commit(&self, committed: &Membership) -> io::Result<()> {
        if committed.version <= 0 {
            return Ok(());
        }
        let _changing = self.changing.lock();
        let next = self.next();
        let dynamic = beside(&self.main, &format!(".dynamic.{:x}", committed.version));
        replace(&dynamic, committed.dynamic_file().as_bytes())?;
        let pending = fs::read(&next).ok().and_then(|text| Membership::from_text(&text, true).ok());
        let is_over = pending.is_none_or(|pending| pending.version <= committed.version);
        if toml::is_named(&self.main) {
            // Until somebody lets it name the new file, the next start finds these members as proposed ones.
            if is_over {
                replace(&next, committed.text().as_bytes())?;
            }
            tracing::warn!(
                "{} is not rewritten: let ensemble.dynamic_file in it name {}",
                self.main.display(),
                dynamic.display()
            );
            return Ok(());
        }
        let text = fs::read(&self.main)?;
        let owns_client = committed.members.get(&self.server).is_some_and(|m| m.client.is_some());
        let dynamic = std::path::absolute(&dynamic)?;
        let rewritten = main_file(&text, &dynamic, owns_client)
            .map_err(|error| io::Error::other(format!("{}: {error}", self.main.display())))?;
        replace(&self.main, rewritten.as_bytes())?;
        if is_over {
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The main file as it is from now on: its keys without members and without comments, and where the members are.
fn main_file(text: &[u8], dynamic: &Path, owns_client: bool) -> Result<String, parse::ParseError> {
    let mut out = String::new();
    for entry in parse::last_wins(text)? {
        let key = entry.key.as_str();
        let goes = ensemble::is_membership_key(key)
            || matches!(key, "peerType" | "dynamicConfigFile")
            || (owns_client && key.starts_with("clientPort"));
        if !goes {
            _ = writeln!(out, "{key}={}", entry.value.replace('\\', "\\\\"));
        }
    }
    _ = writeln!(out, "dynamicConfigFile={}", dynamic.display().to_string().replace('\\', "\\\\"));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = "# by hand\ntickTime=2000\ndataDir=/d\nclientPort=2181\ninitLimit=5\n\
                        server.1=a:1:2;2181\nserver.2=b:1:2;2181\npeerType=participant\ngroup.1=1:2\n";

    #[test]
    fn the_main_file_keeps_everything_but_members() {
        let text = main_file(MAIN.as_bytes(), Path::new("/c/zoo.cfg.dynamic.100000000"), true).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.pop(), Some("dynamicConfigFile=/c/zoo.cfg.dynamic.100000000"));
        lines.sort_unstable();
        assert_eq!(lines, ["dataDir=/d", "initLimit=5", "tickTime=2000"]);
        assert!(main_file(MAIN.as_bytes(), Path::new("/x"), false).unwrap().contains("clientPort=2181"));
    }

    /// The transaction that proposes it comes right behind.
    #[test]
    fn what_is_proposed_is_on_disk_at_once() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().join("zoo.cfg");
        let files = ConfigFiles { main: main.clone(), server: 1, changing: Arc::default() };
        let desk = ConfigDesk { files: Some(files), agreed: Mutex::default(), bell: Notify::new() };
        let text = "server.1=a:1:2:participant;0.0.0.0:2181\nversion=200000003";
        let membership = Arc::new(Membership::from_text(text.as_bytes(), false).unwrap());
        desk.put(ConfigEffect::Propose(membership));
        assert_eq!(fs::read_to_string(beside(&main, ".dynamic.next")).unwrap(), text);
    }

    /// It is never rewritten, and must not forget who the members are.
    #[test]
    fn beside_a_toml_file_the_agreed_members_are_found_as_proposed_ones() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("myid"), "1").unwrap();
        let main = home.path().join("quoll.toml");
        let text = format!(
            "[paths]\ndata_dir = {:?}\n[ensemble]\ninit_limit_ticks = 5\nsync_limit_ticks = 2\n[ensemble.servers]\n\
             1 = \"127.0.0.1:1:2;2181\"\n2 = \"127.0.0.1:3:4;2182\"\n3 = \"127.0.0.1:5:6;2183\"\n",
            home.path()
        );
        fs::write(&main, &text).unwrap();
        let files = ConfigFiles { main: main.clone(), server: 1, changing: Arc::default() };
        let grown = "server.1=127.0.0.1:1:2:participant;0.0.0.0:2181\nversion=200000003";
        files.commit(&Membership::from_text(grown.as_bytes(), false).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&main).unwrap(), text);
        let load = || {
            let source = crate::config::Source::File(main.clone());
            let defaults = crate::config::SystemProperties::default();
            crate::config::load(&source, defaults, &crate::config::RealWorld).unwrap().quorum
        };
        let found = load();
        assert_eq!((found.membership.version, found.membership.members.len()), (0, 3));
        assert_eq!(found.proposed.unwrap().version, 0x2_0000_0003);
        let named = beside(&main, ".dynamic.200000003");
        fs::write(
            &main,
            format!("[paths]\ndata_dir = {:?}\n[ensemble]\ndynamic_file = {named:?}\n", home.path()),
        )
        .unwrap();
        let found = load();
        assert_eq!(
            (found.membership.version, found.proposed),
            (0x2_0000_0003, None),
            "it names the file now"
        );
    }

    #[test]
    fn what_is_proposed_waits_until_it_or_something_newer_is_agreed() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().join("zoo.cfg");
        fs::write(&main, MAIN).unwrap();
        let files = ConfigFiles { main: main.clone(), server: 1, changing: Arc::default() };
        let membership = |version: &str| {
            let text = format!("server.1=a:1:2:participant;0.0.0.0:2181\nversion={version}");
            Membership::from_text(text.as_bytes(), false).unwrap()
        };
        let next = beside(&main, ".dynamic.next");
        files.propose(&membership("200000003")).unwrap();
        assert!(fs::read_to_string(&next).unwrap().ends_with("version=200000003"));
        files.commit(&membership("100000000")).unwrap();
        assert!(next.exists(), "still proposed");
        files.commit(&membership("200000003")).unwrap();
        assert!(!next.exists());
        let dynamic = beside(&main, ".dynamic.200000003");
        assert_eq!(fs::read_to_string(&dynamic).unwrap(), "server.1=a:1:2:participant;0.0.0.0:2181");
        let settings = crate::config::load(
            &crate::config::Source::File(main.clone()),
            crate::config::SystemProperties::default(),
            &crate::config::RealWorld,
        );
        assert_eq!(settings.unwrap().quorum.membership.version, 0x2_0000_0003, "and it reads back");
        files.commit(&membership("0")).unwrap();
        assert!(!beside(&main, ".dynamic.0").exists(), "never agreed");
    }
}
