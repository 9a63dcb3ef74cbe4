//! The command line: arguments, configuration, tracing, exit code.

use clap::{Args, Parser, Subcommand};
use quoll::config::{self, Source, SystemProperties};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A wire-compatible Apache ZooKeeper server.
#[derive(Debug, Parser)]
#[command(name = "quoll", version = quoll::report::version::OWN, about, disable_help_subcommand = true)]
struct Cli {
    /// Set a system property, as the reference's -Dkey=value does (repeatable).
    #[arg(short = 'D', value_name = "KEY=VALUE", global = true)]
    define: Vec<String>,

    #[command(flatten)]
    log: LogArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct LogArgs {
    /// Least severe level that is logged: error, warn, info, debug, trace, or a filter such as quoll::net=debug.
    #[arg(long, value_name = "LEVEL", env = "QUOLL_LOG", default_value = "info", global = true)]
    log_level: String,

    /// How log lines look.
    #[arg(long, value_name = "FORMAT", env = "QUOLL_LOG_FORMAT", default_value = "human", global = true)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server (the default): with FILE a zoo.cfg or quoll.toml, without one on port 2181 with ./data.
    Server {
        /// FILE, or PORT DATADIR [TICKTIME] [MAXCNXNS].
        #[arg(value_name = "FILE | PORT DATADIR", num_args = 0..=4)]
        arguments: Vec<String>,
    },
    /// Look at configurations.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Measure how fast a ZooKeeper server is, whichever it is.
    Bench(Box<quoll::bench::Options>),
    #[command(flatten)]
    Tool(quoll::tools::Tool),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a file and print the effective settings with where each comes from.
    Check {
        /// A zoo.cfg or quoll.toml.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut properties = SystemProperties::from_environment(|name| std::env::var(name).ok());
    for definition in &cli.define {
        properties.define(definition);
    }
    ExitCode::from(match cli.command.unwrap_or(Command::Server { arguments: Vec::new() }) {
        Command::Server { arguments } => server(arguments, properties, &cli.log),
        Command::Config { command: ConfigCommand::Check { file, json } } => check(file, json, properties),
        Command::Bench(options) => quoll::bench::run(*options),
        Command::Tool(tool) => quoll::tools::run(&tool),
    })
}

fn source(mut arguments: Vec<String>) -> Source {
    match arguments.len() {
        0 => Source::Embedded,
        1 => Source::File(PathBuf::from(arguments.remove(0))),
        _ => Source::Arguments(arguments),
    }
}

fn server(arguments: Vec<String>, properties: SystemProperties, log: &LogArgs) -> u8 {
    if let Err(message) = start_log(log) {
        eprintln!("{message}");
        return 2;
    }
    let settings = match config::load(&source(arguments), properties, &config::RealWorld) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!("{error}");
            eprintln!("Invalid config, exiting abnormally");
            return error.exit_code();
        }
    };
    stop_with_any_part();
    match quoll::server::run(&settings) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            error.exit_code()
        }
    }
}

/// A task that has panicked leaves a server that looks alive and is not: the others must see that it is gone.
fn stop_with_any_part() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        tracing::error!("A part of the server has failed; stopping: {panic}");
        quoll::server::shutdown::abort();
    }));
}

fn check(file: PathBuf, json: bool, properties: SystemProperties) -> u8 {
    match config::load(&Source::File(file), properties, &config::RealWorld) {
        Ok(settings) if json => println!("{}", config::report::json(&settings)),
        Ok(settings) => print!("{}", config::report::text(&settings)),
        Err(error) => {
            eprintln!("{error}");
            return error.exit_code();
        }
    }
    0
}

fn start_log(log: &LogArgs) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.log_level).map_err(|e| {
        format!("--log-level {}: {e}; expected error, warn, info, debug or trace", log.log_level)
    })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stdout().is_terminal());
    match log.log_format {
        LogFormat::Human => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    /// Row 31 of docs/RELIABILITY.md. The process that fails is this very test, once more.
    #[test]
    fn a_panic_in_any_thread_or_task_ends_the_process() {
        const ASKED: &str = "QUOLL_TEST_FAILING_PART";
        match std::env::var(ASKED).ok().as_deref() {
            Some("thread") => {
                stop_with_any_part();
                let _ = std::thread::spawn(|| panic!("on purpose")).join();
            }
            Some(_) => {
                stop_with_any_part();
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
                let _ = runtime.block_on(runtime.spawn(async { panic!("on purpose") }));
            }
            None => {
                for part in ["thread", "task"] {
                    let status = std::process::Command::new(std::env::current_exe().unwrap())
                        .args(["--exact", "tests::a_panic_in_any_thread_or_task_ends_the_process"])
                        .env(ASKED, part)
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .status()
                        .unwrap();
                    assert_eq!(status.signal(), Some(6), "a {part} that panics: {status}");
                }
            }
        }
    }
}
