//! The lines of a comparison's two tables: what each contender reached and how it was picked, and how far apart two are.

use std::collections::BTreeSet;

use super::DECIMALS;
use super::candidates::{Candidates, Contender, error};
use super::versus::{DIFFERENCE, OPTIMISM, name};
use crate::axes::{CHOSEN, CHOSEN_FROM};
use crate::report::axes;
use crate::report::choices;
use crate::report::comparison::{Compared, Comparison, p_value};
use crate::report::markdown;
use crate::report::selection::{Cell, Selection, Spread, value_of};
use crate::report::tables::footnotes::Footnotes;
use crate::store::AxisValue;
use crate::text::{count, plural};

/// What the lines of both tables are made with.
pub(super) struct Shown<'s, 'a> {
    pub(super) selection: &'s Selection<'a>,
    pub(super) compared: Compared<'s>,
    pub(super) footnotes: Footnotes,
}

impl Shown<'_, '_> {
    /// A contender: what it reached, and where.
    pub(super) fn contender(
        &mut self,
        row: &Contender<'_>,
        candidates: &Candidates<'_>,
        described: &Spread,
    ) -> Vec<String> {
        let unpicked = || "nothing picked".to_owned();
        let mut label = markdown::escape(&row.value.to_string());
        if row.is_fixed {
            label.push_str(", fixed");
        }
        let Some((key, cell)) = row.best else {
            let reason = row.absent.unwrap_or("no such combination");
            let nothing = String::new;
            let mean = self.footnotes.absent(reason);
            return vec![label, mean, nothing(), nothing(), nothing()];
        };
        let unit = &self.selection.unit;
        let error = error(cell).map(|error| format!(" ± {}", unit.show(error, DECIMALS)));
        let error = error.unwrap_or_default();
        let mut mean = format!("{}{error}", unit.show(cell.mean, DECIMALS));
        // Runs that differ in an axis which this contender does not have, such as weights, are not missing.
        let over = &self.selection.question.over;
        let has_all = over
            .iter()
            .all(|axis| !axes::is_absent(&value_of(cell.rows[0], axis)));
        if has_all && cell.rows.len() < described.most {
            let found = plural(cell.rows.len(), "result");
            let why = format!("{found} instead of {}", described.most);
            mean.push_str(&self.footnotes.mark(&why));
        }
        let mut place = markdown::escape(&candidates.place(key));
        let (picked, gained) = match (row.is_fixed, row.searched) {
            (false, 0 | 1) if cell.rows[0].axes.contains_key(CHOSEN) => {
                let (places, among) = chosen(cell);
                place = markdown::escape(&places);
                (
                    format!("chosen from {among} on validation images"),
                    unpicked(),
                )
            }
            (true, _) => ("fixed beforehand".to_owned(), unpicked()),
            (false, 0 | 1) => ("the only one".to_owned(), unpicked()),
            (false, searched) => {
                let split = value_of(cell.rows[0], "split");
                let found = self.compared.find(OPTIMISM, &name(row), "");
                let gained = match self.known(found) {
                    Ok((_, estimate)) => signed(self.selection.unit.show(estimate, DECIMALS)),
                    Err(cell) => cell,
                };
                let how = format!(
                    "best of {} on the {split} images: optimistic",
                    count(searched)
                );
                (markdown::escape(&how), gained)
            }
        };
        let place = if place.is_empty() {
            "one place only".to_owned()
        } else {
            place
        };
        vec![label, mean, place, picked, gained]
    }

    /// A difference with its interval and tests.
    pub(super) fn difference(&mut self, subject: &str, against: &str) -> Vec<String> {
        let label = markdown::escape(&format!("{subject} − {against}"));
        let nothing = String::new;
        let untested = || "not tested".to_owned();
        let found = self.compared.find(DIFFERENCE, subject, against);
        let (one, estimate) = match self.known(found) {
            Ok(known) => known,
            Err(cell) => {
                return vec![label, cell, nothing(), nothing(), nothing(), nothing()];
            }
        };
        let unit = &self.selection.unit;
        let interval = one.interval.map(|bounds| {
            let [low, high] = bounds.map(|bound| unit.show(bound, DECIMALS));
            format!("[{low}, {high}]")
        });
        let discordant = one
            .discordant
            .zip(one.discordant_p)
            .map(|([first, second], p)| format!("{first}, {second} ({})", p_value(p)));
        vec![
            label,
            signed(unit.show(estimate, DECIMALS)),
            interval.unwrap_or_else(|| "no interval".to_owned()),
            one.p.map_or_else(untested, p_value),
            one.adjusted.map_or_else(untested, p_value),
            discordant.unwrap_or_else(|| "not counted".to_owned()),
        ]
    }

    /// A comparison with its estimate, or the cell that says why there is none.
    fn known<'c>(
        &mut self,
        found: Option<&'c Comparison>,
    ) -> Result<(&'c Comparison, f64), String> {
        let why = match found {
            Some(one) => match one.estimate {
                Some(estimate) => return Ok((one, estimate)),
                None => one.text.as_str(),
            },
            None => self.compared.why_none(),
        };
        Err(self.footnotes.absent(why))
    }
}

/// How the rows of a comparison came about.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// One of them is the best of several on the images that are shown.
    pub(super) best_of: bool,
}

impl How {
    pub(super) fn of(rows: &[Contender<'_>]) -> Self {
        Self {
            best_of: rows.iter().any(|row| !row.is_fixed && row.searched > 1),
        }
    }
}

/// Places of one contender that are all named.
const MOST_PLACES: usize = 2;

/// Where the runs of a cell stand that was chosen on validation images, and among how many candidates.
fn chosen(cell: &Cell<'_>) -> (String, String) {
    let places: BTreeSet<String> = cell.rows.iter().map(|row| choices::place(row)).collect();
    let among = cell.rows.iter().filter_map(|row| row.axes.get(CHOSEN_FROM));
    let among: BTreeSet<&AxisValue> = among.collect();
    let among: Vec<String> = among.into_iter().map(ToString::to_string).collect();
    let place = if places.len() > MOST_PLACES {
        format!("{} places, see below", places.len())
    } else {
        places.into_iter().collect::<Vec<_>>().join(" or ")
    };
    (place, among.join(" or "))
}

/// With a sign before what is above zero too.
fn signed(number: String) -> String {
    let is_zero = number.chars().all(|digit| digit == '0' || digit == '.');
    if is_zero || number.starts_with('-') {
        number
    } else {
        format!("+{number}")
    }
}
