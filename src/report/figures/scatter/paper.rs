//! What the paper prints, as series of points.

use crate::papers::reference;
use crate::spec::{Custom, Fields, Key, Text};

/// The key of the paper's points.
pub(super) const PAPER: Key<Custom> = Key::custom("paper", "a list of tables")
    .list_by_nature()
    .optional("none")
    .doc("Points of the paper, a series each: `of`, a table of `data/paper/reference.toml` such as `table7`; `x` and `y`, the numbers of its rows, such as `params_m` and `accuracy`; and `name`, what the series is called.");

const OF: Key<Text> =
    Key::text("of", "a table of the paper").doc("The table that has the numbers.");
const X: Key<Text> = Key::text("x", "a word").doc("The number of a row that runs to the right.");
const Y: Key<Text> = Key::text("y", "a word").doc("The number of a row that runs up.");
const NAME: Key<Text> = Key::text("name", "a string").doc("What the series is called.");

/// One series.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) name: String,
    /// On the scale on which they are printed.
    pub(super) points: Vec<[f64; 2]>,
}

/// Reads the series; errors are recorded.
pub(super) fn parse(fields: &Fields<'_>) -> Vec<Printed> {
    let tables = fields.tables(PAPER.name);
    tables.iter().filter_map(series).collect()
}

fn series(fields: &Fields<'_>) -> Option<Printed> {
    fields.check_keys(&[&OF, &X, &Y, &NAME], &[]);
    let (of, name) = (fields.get(&OF), fields.get(&NAME));
    let (x, y) = (fields.get(&X), fields.get(&Y));
    let (of, name, x, y) = (of?, name?, x?, y?);
    match reference::pairs(&of, [&x, &y]) {
        Ok(points) => Some(Printed { name, points }),
        Err(error) => {
            let message = format!("{}: {}", fields.context(), error.problem);
            fields.invalid(OF.name, "spec::out-of-range", message, error.hint);
            None
        }
    }
}
