//! The differences we know and want: rows of `deviations.toml` with a reason.
//!
//! Invariant: a row that explains nothing is a failure, as much as a difference without a row.

use serde::Deserialize;

use crate::duel::Difference;
use crate::event::What;

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    deviation: Vec<Row>,
}

/// One row.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// The suite whose check meets it.
    #[serde(default)]
    suite: String,
    /// Only in this directed sequence.
    test: Option<String>,
    /// Only for replies to this operation.
    op: Option<String>,
    /// Only when the left server answers with this error.
    left: Option<i32>,
    /// Only when the right server does.
    right: Option<i32>,
    /// Only when the step's description contains this.
    with: Option<String>,
    reason: String,
    #[serde(skip)]
    pub(crate) hits: u64,
}

impl Row {
    fn explains(&self, sequence: &str, d: &Difference) -> bool {
        let err = |e: &Option<crate::event::Event>| match e.as_ref().map(|e| e.what) {
            Some(What::Reply { err, .. }) => Some(err),
            _ => None,
        };
        self.test.as_ref().is_none_or(|t| t == sequence)
            && self.op.as_ref().is_none_or(|op| *op == d.op())
            && self.left.is_none_or(|e| err(&d.left) == Some(e))
            && self.right.is_none_or(|e| err(&d.right) == Some(e))
            && self.with.as_ref().is_none_or(|w| d.step.contains(w.as_str()))
    }
}

/// The rows for this suite.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    let rows: Vec<Row> = file.deviation.into_iter().filter(|r| r.suite == "differential").collect();
    for row in &rows {
        let bound = [row.test.is_some(), row.op.is_some(), row.with.is_some()];
        if !bound.contains(&true) {
            return Err(format!(
                "deviation {}: a row without test, op or with would explain everything",
                row.id
            ));
        }
        if row.reason.trim().is_empty() {
            return Err(format!("deviation {}: no reason", row.id));
        }
    }
    Ok(rows)
}

/// The row that explains the difference, with its hit counted.
pub(crate) fn explain<'a>(rows: &'a mut [Row], sequence: &str, d: &Difference) -> Option<&'a Row> {
    let row = rows.iter_mut().find(|r| r.explains(sequence, d))?;
    row.hits += 1;
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn difference(left: i32, right: i32) -> Difference {
        let reply = |err| Some(Event::plain(What::Reply { op: 21, err }, "r"));
        Difference { at: 0, step: "CreateTtl \"/a\"".into(), slot: 0, left: reply(left), right: reply(right) }
    }

    #[test]
    fn a_row_explains_what_it_names_and_no_more() {
        let text =
            "[[deviation]]\nid='x'\nsuite='differential'\nop='CreateTtl'\nleft=0\nright=-8\nreason='r'\n";
        let mut rows = parse(text).unwrap();
        assert!(explain(&mut rows, "s", &difference(0, -8)).is_some());
        assert!(explain(&mut rows, "s", &difference(0, -101)).is_none());
        assert_eq!(rows[0].hits, 1);
    }

    #[test]
    fn a_row_for_everything_is_refused() {
        assert!(parse("[[deviation]]\nid='x'\nsuite='differential'\nreason='r'\n").is_err());
        assert!(parse("[[deviation]]\nid='x'\nsuite='differential'\nop='Create'\nreason=' '\n").is_err());
    }
}
