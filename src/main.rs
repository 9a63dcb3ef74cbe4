//! The command line: arguments, configuration, tracing, exit code.

fn main() {}
