//! What a table or figure asks for.

use std::collections::BTreeSet;

use super::Selection;
use super::value_of;
use crate::report::axes::{self, KnownAxes};
use crate::report::error::ReportError;
use crate::report::input::{MissingResult, ReportInput};
use crate::report::number::Unit;
use crate::spec::fields::Spanned;
use crate::spec::{
    Custom, Diagnostic, Fields, Key, List, Node, Span, Text, Value, Wanted, suggest,
};
use crate::store::{AxisValue, ResultRow};

/// The key of the metric, the same in every kind.
pub const METRIC_KEY: Key<Text> =
    Key::text("metric", "the name of a metric").doc("The metric whose values are shown.");
/// The key of the title, the same in every kind.
pub const TITLE_KEY: Key<Text> = Key::text("title", "a string")
    .optional("the metric's name")
    .doc("Stands above it.");
/// The key of the filters, the same in every kind.
pub const FILTER_KEY: Key<Custom> = Key::custom(
    "where",
    "a table of axis = value or axis = [values]",
)
.optional("{}")
.doc("Shows only results with these values, such as `{ split = \"test\", timestep = [90, 150] }`.");
/// The key of the axes to average over, the same in every kind.
pub const OVER_KEY: Key<List<Text>> = Key::list("over", Text("an axis"))
    .default(&["seed"])
    .doc("Averages over these axes. A result that differs in any other axis within one cell is refused, so that nothing is averaged by accident.");

/// A metric, filters, and the axes to average over.
#[derive(Debug, Clone)]
pub struct Question {
    /// The metric's name, and where the file has it.
    pub metric: Spanned<String>,
    /// The title; the metric's name unless the file gives one.
    pub title: String,
    /// The filters; a row has to pass all of them.
    pub filters: Vec<Filter>,
    /// Names of the axes to average over.
    pub over: Vec<String>,
}

/// The values that an axis may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The axis's name.
    pub axis: String,
    /// The values; at least one.
    pub values: Vec<AxisValue>,
}

impl Filter {
    fn passes(&self, row: &ResultRow) -> bool {
        self.admits(&value_of(row, &self.axis))
    }

    /// Whether a value of the axis is among those that it may have.
    pub fn admits(&self, value: &AxisValue) -> bool {
        self.values.iter().any(|wanted| axes::same(wanted, value))
    }

    fn may_pass(&self, missing: &MissingResult) -> bool {
        let text = missing.axes.get(&self.axis);
        text.is_none_or(|text| self.values.iter().any(|wanted| wanted.to_string() == *text))
    }

    fn phrase(&self) -> String {
        let values: Vec<String> = self.values.iter().map(ToString::to_string).collect();
        format!("{} = {}", self.axis, values.join(" or "))
    }
}

impl Question {
    /// Reads `metric`, `title`, `where` and `over`.
    pub fn parse(fields: &Fields<'_>, known: &KnownAxes) -> Option<Self> {
        let metric = fields.located(&METRIC_KEY);
        let title = fields.get(&TITLE_KEY);
        let filters = filters_at(fields, &FILTER_KEY, known);
        let over = axes_at(fields, &OVER_KEY, known);
        let (metric, over) = (metric?, over?);
        Some(Self {
            title: title.unwrap_or_else(|| metric.value.clone()),
            metric,
            filters,
            over,
        })
    }

    /// The rows that answer the question.
    ///
    /// # Errors
    /// A metric that no result has, and filters that leave nothing.
    pub fn put<'a>(
        &'a self,
        place: &str,
        input: &'a ReportInput,
    ) -> Result<Selection<'a>, ReportError> {
        let metric = &self.metric.value;
        let of_metric: Vec<&ResultRow> = input
            .results
            .iter()
            .filter(|row| row.metric == *metric)
            .collect();
        let missing: Vec<&MissingResult> = input
            .missing
            .iter()
            .filter(|missing| missing.metric == *metric)
            .collect();
        if of_metric.is_empty() && missing.is_empty() {
            return Err(self.unknown_metric(place, input));
        }
        for filter in &self.filters {
            self.check_values(place, filter, &of_metric, &missing)?;
        }
        let passes = |row: &&ResultRow| self.filters.iter().all(|filter| filter.passes(row));
        let rows: Vec<&ResultRow> = of_metric.iter().copied().filter(passes).collect();
        let may_pass =
            |missing: &&MissingResult| self.filters.iter().all(|filter| filter.may_pass(missing));
        let missing: Vec<&MissingResult> = missing.into_iter().filter(may_pass).collect();
        if rows.is_empty() && missing.is_empty() {
            return Err(self.no_rows(place, &of_metric));
        }
        let first = rows.first();
        Ok(Selection {
            place: place.to_owned(),
            question: self,
            unit: first.map_or(Unit::Percent, |row| Unit::of(&row.unit)),
            better: first.map(|row| row.better),
            rows,
            missing,
        })
    }

    /// Whether some result has each of the values that a filter names, or may have it when it is there: of a list of which one value
    /// exists nobody would see that the other does not.
    fn check_values(
        &self,
        place: &str,
        filter: &Filter,
        rows: &[&ResultRow],
        missing: &[&MissingResult],
    ) -> Result<(), ReportError> {
        let is_there = |wanted: &AxisValue| {
            let has = |row: &&ResultRow| axes::same(wanted, &value_of(row, &filter.axis));
            let may_have = |missing: &&MissingResult| {
                let text = missing.axes.get(&filter.axis);
                text.is_none_or(|text| *text == wanted.to_string())
            };
            rows.iter().any(has) || missing.iter().any(may_have)
        };
        match filter.values.iter().find(|wanted| !is_there(wanted)) {
            None => Ok(()),
            Some(value) => Err(ReportError::NoValue {
                place: place.to_owned(),
                metric: self.metric.value.clone(),
                axis: filter.axis.clone(),
                value: typed(value),
                hint: hint_of_value(&filter.axis, value, rows),
            }),
        }
    }

    fn unknown_metric(&self, place: &str, input: &ReportInput) -> ReportError {
        let mut metrics: Vec<&str> = input
            .results
            .iter()
            .map(|row| row.metric.as_str())
            .collect();
        metrics.sort_unstable();
        metrics.dedup();
        ReportError::UnknownMetric {
            place: place.to_owned(),
            metric: self.metric.value.clone(),
            hint: suggest::hint(&self.metric.value, metrics)
                .unwrap_or_else(|| "there are no results yet: run the experiment first".to_owned()),
        }
    }

    fn no_rows(&self, place: &str, rows: &[&ResultRow]) -> ReportError {
        let filters: Vec<String> = self.filters.iter().map(Filter::phrase).collect();
        let there: Vec<String> = self
            .filters
            .iter()
            .map(|filter| {
                let mut values: Vec<AxisValue> =
                    rows.iter().map(|row| value_of(row, &filter.axis)).collect();
                values.sort();
                values.dedup();
                let texts: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("`{}` is one of {}", filter.axis, texts.join(", "))
            })
            .collect();
        ReportError::NoRows {
            place: place.to_owned(),
            metric: self.metric.value.clone(),
            filters: filters.join(", "),
            hint: format!("in the results, {}", there.join("; ")),
        }
    }
}

/// A value as it would be typed.
fn typed(value: &AxisValue) -> String {
    match value {
        AxisValue::Text(text) => format!("{text:?}"),
        number => number.to_string(),
    }
}

/// What may be meant by a value that no result has on an axis.
fn hint_of_value(axis: &str, value: &AxisValue, rows: &[&ResultRow]) -> String {
    let there: BTreeSet<AxisValue> = rows.iter().map(|row| value_of(row, axis)).collect();
    let alike = there
        .iter()
        .find(|other| other.to_string() == value.to_string());
    if let Some(other) = alike {
        return format!("write `{axis} = {}`: the results have that", typed(other));
    }
    let has = |name: &&&str| {
        rows.iter()
            .any(|row| axes::same(value, &value_of(row, name)))
    };
    let listed: Vec<String> = there
        .iter()
        .map(|value| format!("`{}`", typed(value)))
        .collect();
    let listed = match listed.as_slice() {
        [one] => format!("in the results, `{axis}` is {one}"),
        [first @ .., _] if first.len() >= MOST_LISTED => format!(
            "in the results, `{axis}` is one of {}, … ({} in all)",
            first[..MOST_LISTED].join(", "),
            listed.len()
        ),
        _ => format!("in the results, `{axis}` is one of {}", listed.join(", ")),
    };
    let names = axes::of(rows.iter().copied());
    match names.iter().find(has) {
        Some(other) => format!("did you mean `{other} = {}`? {listed}", typed(value)),
        None => listed,
    }
}

/// So many values of an axis are listed in a hint.
const MOST_LISTED: usize = 24;

/// Reads the name of one axis.
pub fn axis_at(fields: &Fields<'_>, key: &Key<Text>, known: &KnownAxes) -> Option<String> {
    let located = fields.located(key)?;
    check_axis(fields, &located.value, located.span, known).then_some(located.value)
}

/// Reads a list of axes, each once; a single one counts as a list of one.
pub fn axes_at(
    fields: &Fields<'_>,
    key: &Key<List<Text>>,
    known: &KnownAxes,
) -> Option<Vec<String>> {
    let located = fields.items(key)?;
    let mut names: Vec<String> = Vec::new();
    let mut sound = true;
    for axis in &located {
        sound &= check_axis(fields, &axis.value, axis.span, known);
        if names.contains(&axis.value) {
            fields.report(Diagnostic::new(
                "report::axis-twice",
                axis.span,
                format!(
                    "`{}` of {} names `{}` twice",
                    key.name,
                    fields.context(),
                    axis.value
                ),
                "named before",
            ));
            sound = false;
        }
        names.push(axis.value.clone());
    }
    sound.then_some(names)
}

fn check_axis(fields: &Fields<'_>, name: &str, span: Span, known: &KnownAxes) -> bool {
    let is_known = known.contains(name);
    if !is_known {
        fields.report(
            Diagnostic::new(
                "report::unknown-axis",
                span,
                format!("unknown axis `{name}`"),
                "not an axis of these results",
            )
            .maybe_hint(known.hint(name)),
        );
    }
    is_known
}

/// Reads one value of an axis.
pub fn value_at(fields: &Fields<'_>, key: &Key<Custom>) -> Option<AxisValue> {
    axis_value(fields, key.name, fields.get(key)?, "a string or a number")
}

/// Reads a table of `axis = value` or `axis = [values]`. Errors are recorded, and the other filters are still read.
pub fn filters_at(fields: &Fields<'_>, key: &Key<Custom>, known: &KnownAxes) -> Vec<Filter> {
    let Some(table) = fields.table(key.name) else {
        return Vec::new();
    };
    let mut filters = Vec::new();
    for entry in table.entries() {
        if !check_axis(fields, &entry.key, entry.key_span, known) {
            continue;
        }
        let items = match &entry.node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        if items.is_empty() {
            table.invalid(
                &entry.key,
                "spec::out-of-range",
                format!("no value of `{}` would pass", entry.key),
                None,
            );
        }
        let values: Vec<AxisValue> = items
            .iter()
            .filter_map(|item| {
                axis_value(
                    &table,
                    &entry.key,
                    item,
                    "a string, a number or a list of them",
                )
            })
            .collect();
        filters.push(Filter {
            axis: entry.key.clone(),
            values,
        });
    }
    filters
}

fn axis_value(table: &Fields<'_>, key: &str, node: &Node, wanted: &str) -> Option<AxisValue> {
    match &node.value {
        Value::Integer(integer) => Some(AxisValue::Integer(*integer)),
        Value::Number(number) => Some(AxisValue::Number(*number)),
        Value::Text(text) => Some(AxisValue::Text(text.clone())),
        other => {
            table.wrong_type_at(node.span, key, (Wanted::Other, wanted), other);
            None
        }
    }
}
