//! Configuration: texts, flags and environment in; checked settings out.
//!
//! The room reads what it is given and nothing else: it opens no port, creates no directory and starts nothing.
//! Unchecked text ends here; other rooms see [`settings::Settings`] only.
//!
//! Invariant: an existing `zoo.cfg` means here what it means to the reference, or is refused in the same cases.

pub mod build;
pub mod docs;
pub mod ensemble;
pub mod error;
pub mod keys;
pub mod number;
pub mod origin;
pub mod parse;
pub mod report;
pub mod settings;
pub mod toml;
pub mod world;

pub use build::{Source, load};
pub use ensemble::{Mode, Role};
pub use error::ConfigError;
pub use origin::{Origin, SystemProperties};
pub use settings::Settings;
pub use world::{RealWorld, World};
