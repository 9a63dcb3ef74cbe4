//! The tools' place on the command line: `quoll snapshot | log | data | purge | backup | restore`.

use super::failure::Failure;
use super::output::Out;
use super::{backup, data, log, purge, snapshot};
use crate::store::format::log::DEFAULT_LIMIT;
use clap::{Args, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// A tool.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Look into snapshot files.
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Look into transaction logs, and cut what a crash or a bad disk left behind.
    Log {
        /// What to do.
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Look at the whole data directory of a server.
    Data {
        /// What to do.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Remove snapshots and logs that are no longer needed; a running server is not disturbed.
    Purge(PurgeArgs),
    /// Copy the database of a running or stopped server, and prove that the copy can be recovered from.
    Backup(BackupArgs),
    /// Put a backup in place of a stopped server's database, which is kept aside.
    Restore(RestoreArgs),
}

/// What all tools share.
#[derive(Debug, Args)]
pub struct Common {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Longest record, string or buffer to accept; for servers with a raised jute.maxbuffer.
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_LIMIT, hide_default_value = true)]
    pub max_buffer: usize,
}

/// The directories of a server.
#[derive(Debug, Args)]
pub struct Directories {
    /// The dataDir of the server.
    #[arg(value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Its dataLogDir, where that is another one.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
}

/// `quoll snapshot`
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Print every node with its stat, and every session.
    Dump {
        /// A snapshot.
        file: PathBuf,
        /// Print the data too, in base64.
        #[arg(long)]
        data: bool,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
    /// Check every checksum, and that the nodes make a tree.
    Verify {
        /// Snapshots.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
    /// Tell in which persistent nodes two snapshots differ.
    Compare {
        /// The older snapshot.
        left: PathBuf,
        /// The newer snapshot.
        right: PathBuf,
        /// Compare subtrees instead, and show those whose data differ by more than this.
        #[arg(long, value_name = "N")]
        bytes: Option<u64>,
        /// Compare subtrees instead, and show those whose numbers of nodes differ by more than this.
        #[arg(long, value_name = "N")]
        nodes: Option<u64>,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
    /// Sum up nodes and data per subtree.
    Summary {
        /// A snapshot.
        file: PathBuf,
        /// Where to start.
        #[arg(default_value = "/")]
        path: String,
        /// Levels below PATH to show; 0 shows all.
        #[arg(long, value_name = "N", default_value_t = 1)]
        depth: usize,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
}

/// `quoll log`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print every transaction on a line of its own.
    Dump {
        /// Transaction logs.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
    /// Check every record, and tell how each file ends.
    Verify {
        /// Transaction logs.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
    /// Keep what is sound, in a new file beside it or in place.
    Repair(RepairArgs),
}

/// `quoll log repair`
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// A transaction log.
    pub file: PathBuf,

    /// Where to write what is sound (default: `repaired.NAME` beside it, a name that no server reads).
    #[arg(long, value_name = "FILE", conflicts_with = "truncate")]
    pub output: Option<PathBuf>,

    /// Cut the file itself; the whole of it is kept as `before-repair-TIME.NAME` beside it.
    #[arg(long)]
    pub truncate: bool,

    /// With --truncate: cut damage too, and lose the transactions from there on.
    #[arg(long, requires = "truncate")]
    pub accept_loss: bool,

    #[expect(missing_docs, reason = "the shared options")]
    #[command(flatten)]
    pub common: Common,
}

/// `quoll data`
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Check everything: each file, that none is missing, and whether a server would start, and where.
    Verify {
        #[expect(missing_docs, reason = "the directories")]
        #[command(flatten)]
        directories: Directories,
        #[expect(missing_docs, reason = "the shared options")]
        #[command(flatten)]
        common: Common,
    },
}

/// `quoll purge`
#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[expect(missing_docs, reason = "the directories")]
    #[command(flatten)]
    pub directories: Directories,

    /// Snapshots to keep, at least 3.
    #[arg(short = 'n', long = "keep", value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(3..))]
    pub keep: u32,

    /// Only tell what would go.
    #[arg(long)]
    pub dry_run: bool,

    #[expect(missing_docs, reason = "the shared options")]
    #[command(flatten)]
    pub common: Common,
}

/// `quoll backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The dataDir of the server.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Its dataLogDir, where that is another one.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,

    /// A new directory, or with the ending .tar.gz or .tgz one compressed file.
    pub target: PathBuf,

    #[expect(missing_docs, reason = "the shared options")]
    #[command(flatten)]
    pub common: Common,
}

/// `quoll restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `quoll backup` wrote.
    pub backup: PathBuf,

    /// The dataDir of the server.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Its dataLogDir, where that is another one.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,

    #[expect(missing_docs, reason = "the shared options")]
    #[command(flatten)]
    pub common: Common,
}

impl Tool {
    const fn common(&self) -> &Common {
        match self {
            Self::Snapshot {
                command:
                    SnapshotCommand::Dump { common, .. }
                    | SnapshotCommand::Verify { common, .. }
                    | SnapshotCommand::Compare { common, .. }
                    | SnapshotCommand::Summary { common, .. },
            }
            | Self::Log { command: LogCommand::Dump { common, .. } | LogCommand::Verify { common, .. } }
            | Self::Log { command: LogCommand::Repair(RepairArgs { common, .. }) }
            | Self::Data { command: DataCommand::Verify { common, .. } }
            | Self::Purge(PurgeArgs { common, .. })
            | Self::Backup(BackupArgs { common, .. })
            | Self::Restore(RestoreArgs { common, .. }) => common,
        }
    }

    fn perform(&self, out: &mut Out<'_>) -> Result<u8, Failure> {
        let limit = self.common().max_buffer;
        match self {
            Self::Snapshot { command } => match command {
                SnapshotCommand::Dump { file, data, .. } => snapshot::dump(out, file, *data, limit),
                SnapshotCommand::Verify { files, .. } => snapshot::verify(out, files, limit),
                SnapshotCommand::Compare { left, right, bytes, nodes, .. } => {
                    snapshot::compare(out, left, right, *bytes, *nodes, limit)
                }
                SnapshotCommand::Summary { file, path, depth, .. } => {
                    snapshot::summary(out, file, path, *depth, limit)
                }
            },
            Self::Log { command } => match command {
                LogCommand::Dump { files, .. } => log::dump(out, files, limit),
                LogCommand::Verify { files, .. } => log::verify(out, files, limit),
                LogCommand::Repair(args) => log::repair(out, args, limit),
            },
            Self::Data { command: DataCommand::Verify { directories, .. } } => {
                data::verify(out, &directories.data_dir, directories.log_dir.as_deref(), limit)
            }
            Self::Purge(args) => purge::purge(out, args, limit),
            Self::Backup(args) => backup::backup(out, args, limit),
            Self::Restore(args) => backup::restore(out, args, limit),
        }
    }
}

/// Runs a tool on standard output; returns the exit code.
#[must_use]
pub fn run(tool: &Tool) -> u8 {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let json = tool.common().json;
    let mut out = Out::new(&mut stdout, json);
    let outcome = tool.perform(&mut out).and_then(|code| out.flush().map(|()| code));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            if let Some(message) = failure.message() {
                let told = out.value(&serde_json::json!({ "error": message, "exit_code": failure.code() }));
                let _ = told.and_then(|()| out.flush());
                let _ = writeln!(io::stderr(), "quoll: {message}");
            }
            failure.code()
        }
    }
}
