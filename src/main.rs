//! The command line: arguments, configuration, tracing, exit code.

use clap::{Args, Parser, Subcommand};
use quoll::config::{self, Source, SystemProperties, settings};
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
    /// Least severe level that is logged: error, warn, info, debug, trace, or a filter such as quoll::net=debug
    /// [default: what the configuration says, or info].
    #[arg(long, value_name = "LEVEL", env = "QUOLL_LOG", global = true)]
    log_level: Option<String>,

    /// How log lines look [default: what the configuration says, or human].
    #[arg(long, value_name = "FORMAT", env = "QUOLL_LOG_FORMAT", global = true)]
    log_format: Option<LogFormat>,
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
    let loaded = config::load(&source(arguments), properties, &config::RealWorld);
    // A configuration that cannot be read says nothing of the log, and is told in it.
    if let Err(message) = start_log(log, loaded.as_ref().ok().map(|settings| &settings.log)) {
        eprintln!("{message}");
        return 2;
    }
    let settings = match loaded {
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

fn start_log(flags: &LogArgs, configured: Option<&settings::Log>) -> Result<(), String> {
    let level = flags.log_level.as_deref().or(configured.map(|log| log.level.as_str())).unwrap_or("info");
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .map_err(|e| format!("--log-level {level}: {e}; expected error, warn, info, debug or trace"))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stdout().is_terminal());
    let json = flags.log_format.map_or_else(
        || configured.is_some_and(|log| log.format == settings::LogFormat::Json),
        |format| format == LogFormat::Json,
    );
    if json {
        builder.json().init()
    } else {
        builder.with_target(false).init()
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
