//! Table kind `components`: whose the spread of scores is.
//!
//! Scores of single images differ because images do, and because training seeds, weights, noise draws or subsets do: each axis of `over` that
//! varies. A line for each of them says how large its part is, and how much of the uncertainty of the mean it leaves with as many values
//! as there are. So a reader sees what more images, more seeds or more draws would buy. `statistics/components.rs` has the method.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::footnotes::Footnotes;
use super::{Body, RenderedTable, Table, TableCell, TableKind};
use crate::report::axes::{self, KnownAxes};
use crate::report::comparison::runs::{NO_SCORES, Scored};
use crate::report::comparison::{Compared, Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::report::number::Unit;
use crate::report::query;
use crate::report::selection::{
    FILTER_KEY, METRIC_KEY, OVER_KEY, Question, Spread, TITLE_KEY, axis_at,
};
use crate::spec::{Fields, Key, Kind, KindDoc, Text};
use crate::statistics::components::components;
use crate::store::AxisValue;
use crate::text::count;

const ROWS: Key<Text> = Key::text("rows", "an axis")
    .optional("one group of rows")
    .doc("The axis whose values each get components of their own, such as `model`.");

/// `kind = "components"`.
pub const KIND: TableKind = Kind::new(
    KindDoc {
        name: "components",
        summary: "Whose the spread is: how much of it is of images, and how much of each axis in `over`, such as training seeds, weights and draws of the noise.",
        keys: &[&METRIC_KEY, &TITLE_KEY, &ROWS, &FILTER_KEY, &OVER_KEY],
        shared: &[],
    },
    parse,
);

/// Decimals of a printed deviation or error.
const DECIMALS: usize = 2;

/// What the components are kept as; their estimates are variances, in the square of the metric's unit.
const COMPONENT: &str = "component";

/// The component of the samples.
const IMAGES: &str = "images";

/// What is left: a seed fits one image better than another.
const RESIDUAL: &str = "residual";

fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Arc<dyn Table>> {
    let question = Question::parse(fields, known);
    let rows = axis_at(fields, &ROWS, known);
    let question = question?;
    if let Some(rows) = rows.as_ref().filter(|rows| question.over.contains(rows)) {
        let message = format!(
            "{} cannot have rows of `{rows}` and average over it",
            fields.context()
        );
        fields.invalid(ROWS.name, "report::axis-twice", message, None);
    }
    fields
        .is_sound()
        .then(|| Arc::new(Components { question, rows }) as Arc<dyn Table>)
}

#[derive(Debug)]
struct Components {
    question: Question,
    rows: Option<String>,
}

impl Table for Components {
    fn question(&self) -> &Question {
        &self.question
    }

    fn ranks(&self) -> bool {
        false
    }

    fn compare(
        &self,
        input: &ReportInput,
        outcomes: &dyn Outcomes,
    ) -> Result<Vec<Comparison>, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread();
        let mut all = Vec::new();
        for (key, cell) in selection.cells(&spread)? {
            let subject = axes::phrases(&spread, &key);
            let found = match Scored::of(&cell, &self.question.over, outcomes)? {
                Some(scored) => parts(&scored, &self.question.over),
                None => Err(NO_SCORES.to_owned()),
            };
            all.extend(
                found
                    .unwrap_or_else(|text| {
                        vec![Comparison {
                            text,
                            ..Comparison::default()
                        }]
                    })
                    .into_iter()
                    .map(|part| Comparison {
                        about: COMPONENT.to_owned(),
                        subject: subject.clone(),
                        ..part
                    }),
            );
        }
        Ok(all)
    }

    fn render(
        &self,
        input: &ReportInput,
        compared: Compared<'_>,
    ) -> Result<RenderedTable, ReportError> {
        let selection = self.question.put(&self.place(), input)?;
        let spread = self.spread();
        let cells = selection.cells(&spread)?;
        let described = Spread::of(&selection, &cells);
        let mut footnotes = Footnotes::default();
        let mut lines = Vec::new();
        for (key, cell) in &cells {
            let subject = axes::phrases(&spread, key);
            let parts: Vec<&Comparison> = compared
                .all(COMPONENT)
                .filter(|part| part.subject == subject)
                .collect();
            let label = key.first().map(ToString::to_string).unwrap_or_default();
            let rows = rows(&label, &parts, &selection.unit, |why| {
                footnotes.absent(why.unwrap_or(compared.why_none()))
            });
            let rows = rows.into_iter();
            lines.extend(rows.map(|line| TableCell::line(line, input, &cell.rows)));
        }
        let points = match selection.unit {
            Unit::Percent => ", points",
            Unit::Plain(_) => "",
        };
        let mut heads = vec![
            "component".to_owned(),
            "values".to_owned(),
            format!("standard deviation{points}"),
            "share of the variance of a score".to_owned(),
            format!("standard error that it leaves{points}"),
        ];
        let mut numeric = vec![false, true, true, true, true];
        if let Some(axis) = &self.rows {
            heads.insert(0, markdown::escape(&axes::label(axis)));
            numeric.insert(0, false);
        } else {
            for line in &mut lines {
                line.remove(0);
            }
        }
        let mut notes = footnotes.lines();
        notes.extend(selection.absent());
        Ok(RenderedTable {
            title: self.question.title.clone(),
            caption: selection.caption(&described.mean),
            body: Body::of(heads, numeric, lines),
            notes,
            fixed: selection.fixed(&spread),
            sql: query::of_selection(&selection),
        })
    }
}

impl Components {
    /// What messages call it.
    fn place(&self) -> String {
        format!("table `{}`", self.question.title)
    }

    fn spread(&self) -> Vec<String> {
        self.rows.iter().cloned().collect()
    }
}

/// The components of a cell: images, each axis that varies, and the residual. An error is why there are none, as a fragment.
fn parts(scored: &Scored, over: &[String]) -> Result<Vec<Comparison>, String> {
    let samples = scored.ids.len();
    let mut values = Vec::with_capacity(samples * scored.runs.len());
    let mut of_images = Vec::with_capacity(values.capacity());
    for (_, scores) in &scored.runs {
        values.extend_from_slice(scores);
        of_images.extend(0..samples);
    }
    let mut names = vec![IMAGES];
    let mut factors = vec![of_images];
    let mut sizes = vec![samples];
    for (axis, name) in over.iter().enumerate() {
        let mut levels: BTreeMap<&AxisValue, usize> = BTreeMap::new();
        let mut of_axis = Vec::with_capacity(values.len());
        for (key, _) in &scored.runs {
            let next = levels.len();
            let level = *levels.entry(&key[axis]).or_insert(next);
            of_axis.extend(std::iter::repeat_n(level, samples));
        }
        if levels.len() > 1 {
            names.push(name);
            sizes.push(levels.len());
            factors.push(of_axis);
        }
    }
    if factors.len() == 1 {
        return Err("there is one run only, and nothing to compare images with".to_owned());
    }
    let levels: Vec<&[usize]> = factors.iter().map(Vec::as_slice).collect();
    let Some(found) = components(&values, &levels) else {
        return Err("two of the axes always change together, or there are too few runs".to_owned());
    };
    let part = |(name, (variance, size)): (&str, (f64, usize))| Comparison {
        against: name.to_owned(),
        estimate: Some(variance),
        samples: Some(samples as u64),
        runs: Some(size as u64),
        ..Comparison::default()
    };
    let of_factors = found.factors.iter().copied().zip(sizes);
    let all = names.into_iter().zip(of_factors);
    let rest = (RESIDUAL, (found.residual, values.len()));
    Ok(all.chain(std::iter::once(rest)).map(part).collect())
}

/// The lines of one cell; `absent` gives the cell for a reason, or for there being no comparison.
fn rows(
    label: &str,
    parts: &[&Comparison],
    unit: &Unit,
    mut absent: impl FnMut(Option<&str>) -> String,
) -> Vec<Vec<String>> {
    let known: Option<Vec<(&Comparison, f64)>> = parts
        .iter()
        .map(|part| Some((*part, part.estimate?.max(0.0))))
        .collect();
    let label = markdown::escape(label);
    let Some(known) = known.filter(|known| !known.is_empty()) else {
        let why = parts.first().map(|part| part.text.as_str());
        let nothing = String::new;
        return vec![vec![
            label,
            absent(why),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
        ]];
    };
    let total: f64 = known.iter().map(|(_, variance)| variance).sum();
    let line = |(part, variance): (&Comparison, f64)| {
        let size = part.runs.unwrap_or(1);
        let share = if total > 0.0 { variance / total } else { 0.0 };
        let error = (variance / size as f64).sqrt();
        vec![
            label.clone(),
            markdown::escape(&axes::label(&part.against)),
            count(crate::numbers::to_usize(size)),
            unit.show(variance.sqrt(), DECIMALS),
            format!("{} %", Unit::Percent.show(share, 1)),
            unit.show(error, DECIMALS + 1),
        ]
    };
    known.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{FirstOnes, input, parsed, row, with};

    fn table(text: &str) -> Arc<dyn Table> {
        let (table, mistakes) =
            parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        table.unwrap()
    }

    const TABLE: &str = "kind = \"components\"\nmetric = \"top1\"\n";

    #[test]
    fn images_seeds_and_the_rest_by_hand() {
        // Of 1,000 images 400 are right in seed 0 and 600 in seed 1.
        let rows = input(vec![row(0, 0.4), row(1, 0.6)]);
        let table = table(TABLE);
        let compared = table.compare(&rows, &FirstOnes).unwrap();
        let found: Vec<(&str, f64)> = compared
            .iter()
            .map(|part| (part.against.as_str(), part.estimate.unwrap()))
            .collect();
        // Mean squares: images 2 · 200.0 / 999 (800 of them are 0.5 from the mean), seeds 1000 · 2 · 0.01, the rest 1000 · 0.08 / 999.
        let (images, seeds, rest) = (400.0 / 999.0, 20.0, 80.0 / 999.0);
        let by_hand = [
            ("images", (images - rest) / 2.0),
            ("seed", (seeds - rest) / 1000.0),
            ("residual", rest),
        ];
        for ((name, value), (wanted, by_hand)) in found.iter().zip(by_hand) {
            assert_eq!(*name, wanted);
            assert!((value - by_hand).abs() < 1e-12, "{name}: {value} {by_hand}");
        }
        let rendered = table
            .render(&rows, Compared::at(Some(&compared), ""))
            .unwrap();
        assert!(
            rendered
                .body
                .markdown()
                .contains("| images | 1,000 | 40.02 |")
                && rendered.body.markdown().contains("| seed | 2 | 14.11 |")
                && rendered
                    .body
                    .markdown()
                    .contains("| residual | 2,000 | 28.30 |"),
            "{}",
            rendered.body.markdown()
        );
    }

    #[test]
    fn rows_have_components_of_their_own_and_say_why_there_are_none() {
        let other = |seed, value| with(row(seed, value), [("model", "once".into())]);
        let rows = input(vec![row(0, 0.4), row(1, 0.6), other(0, 0.5)]);
        let table = table(&format!("{TABLE}rows = \"model\"\n"));
        let compared = table.compare(&rows, &FirstOnes).unwrap();
        let rendered = table
            .render(&rows, Compared::at(Some(&compared), ""))
            .unwrap();
        assert!(
            rendered
                .body
                .markdown()
                .contains("| once | no value<sup>1</sup> |  |")
                && rendered.body.markdown().contains("| tiny | seed | 2 |"),
            "{}",
            rendered.body.markdown()
        );
        assert!(rendered.notes[0].contains("one run only"));
        let unknown = table.render(&rows, Compared::at(None, "")).unwrap();
        assert!(unknown.notes[0].contains("that file is not there"));
    }

    #[test]
    fn rows_cannot_be_averaged_over() {
        let text = format!("{TABLE}rows = \"seed\"\n");
        let (table, mistakes) = parsed(&text, |fields| {
            KIND.read_with(fields, &KnownAxes::default())
        });
        assert!(table.is_none());
        assert!(
            mistakes[0].starts_with("report::axis-twice"),
            "{mistakes:?}"
        );
    }
}
