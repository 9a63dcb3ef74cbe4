//! The role as a whole: inputs go in, effects come out.
