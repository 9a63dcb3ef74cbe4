//! A member of an ensemble that is a server of the reference: its directory, its process.
//!
//! Invariant: the process never outlives the value.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Three ports of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) quorum: u16,
    pub(crate) election: u16,
    pub(crate) client: u16,
}

/// Three ports of the loopback address that nobody listens on now.
pub(crate) fn ports() -> io::Result<Ports> {
    let bound = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = Vec::new();
    for listener in &bound {
        match listener {
            Ok(listener) => ports.push(listener.local_addr()?.port()),
            Err(e) => return Err(e.kind().into()),
        }
    }
    match ports.as_slice() {
        [quorum, election, client] => Ok(Ports { quorum: *quorum, election: *election, client: *client }),
        _ => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// A running server of the reference.
#[derive(Debug)]
pub(crate) struct Java {
    process: Child,
    log: PathBuf,
}

impl Java {
    /// Starts member `id` of these.
    pub(crate) fn start(id: i64, members: &[(i64, Ports)], dir: &Path) -> io::Result<Self> {
        let home = dir.join(id.to_string());
        fs::create_dir_all(&home)?;
        fs::write(home.join("myid"), format!("{id}\n"))?;
        let mut config = format!("tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\n", home.display());
        for (member, ports) in members {
            config.push_str(&format!("server.{member}=127.0.0.1:{}:{}\n", ports.quorum, ports.election));
            if *member == id {
                config.push_str(&format!("clientPort={}\nclientPortAddress=127.0.0.1\n", ports.client));
            }
        }
        let file = home.join("zoo.cfg");
        fs::write(&file, config)?;
        let log = home.join("server.log");
        let out = fs::File::create(&log)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/reference");
        let process = Command::new(script)
            .arg("server")
            .arg(&file)
            .arg("-Dzookeeper.forceSnapshotSync=true")
            .env("REFERENCE_JVMFLAGS", "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
            .env("REFERENCE_LOG", "INFO")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        Ok(Self { process, log })
    }

    /// What it has written so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // The script becomes the server (exec), so this is its process.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
