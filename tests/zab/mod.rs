//! A small ensemble in memory, and its language.

pub mod script;
mod server;
mod show;
mod world;
