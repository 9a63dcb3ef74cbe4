//! placeholder
/// placeholder
#[derive(Debug)]
pub struct Rules;
