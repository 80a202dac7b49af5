//! The right spelling of a value or key that is wrong, for hints.

use super::key::AnyKey;
use super::kind::KindDoc;
use super::source::Span;
use super::suggest;
use super::tree::Value;

/// The type that a value has to have, as far as a hint depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An integer.
    Integer,
    /// A number, with or without a fraction.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A string.
    Text,
    /// A table.
    Table,
    /// A list of tables.
    Tables,
    /// Several of these.
    Other,
}

/// Where a value of the wrong type stands.
pub(super) struct Place<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// The value as it was typed.
    pub(super) typed: &'a str,
    /// The other entries of its table as they were typed, where that table is swept over as a whole.
    pub(super) beside: &'a [String],
    /// The key of that table.
    pub(super) under: Option<&'a str>,
}

/// The most items of a list that a hint repeats.
const MOST_ITEMS: usize = 4;

/// What to type instead of a value of the wrong type; `typed_at` gives the text at a place. `None` where that cannot be told.
pub(super) fn right_type(
    place: &Place<'_>,
    wanted: Wanted,
    found: &Value,
    typed_at: &dyn Fn(Span) -> String,
) -> Option<String> {
    let Place { key, typed, .. } = place;
    match (wanted, found) {
        (Wanted::Tables, Value::Table(_)) if typed.starts_with('[') => {
            Some(format!("write `[{typed}]`: there may be several"))
        }
        (Wanted::Tables, Value::Table(_)) => Some(format!("write a list: `{key} = [{typed}]`")),
        (Wanted::Table, _) => Some(format!("a table is written `{key} = {{ KEY = VALUE }}`")),
        (Wanted::Tables | Wanted::Other, _) => None,
        (_, Value::List(items)) => {
            let items: Vec<String> = items.iter().map(|item| typed_at(item.span)).collect();
            place.instead_of_list(&items)
        }
        (Wanted::Text, Value::Integer(_) | Value::Number(_)) => Some(format!(
            "put it into quotation marks: `{key} = \"{typed}\"`"
        )),
        (Wanted::Text, _) | (_, Value::Table(_) | Value::Date(_)) => None,
        (Wanted::Integer, Value::Number(number)) => whole(*number)
            .map(|whole| format!("write `{key} = {whole}`, without a point or an exponent")),
        (Wanted::Boolean, Value::Integer(number @ (0 | 1))) => {
            Some(format!("write `{key} = {}`", *number == 1))
        }
        (_, Value::Text(text)) => place.instead_of_text(wanted, text.trim()),
        _ => None,
    }
}

impl Place<'_> {
    /// What to type instead of a list where one value is wanted.
    fn instead_of_list(&self, items: &[String]) -> Option<String> {
        let first = items.first()?;
        let Some(under) = self.under else {
            return Some(format!(
                "`{}` takes one value here, such as `{} = {first}`",
                self.key, self.key
            ));
        };
        let table = |item: &String| {
            let own = format!("{} = {item}", self.key);
            let entries: Vec<&str> = self
                .beside
                .iter()
                .map(String::as_str)
                .chain([own.as_str()])
                .collect();
            format!("{{ {} }}", entries.join(", "))
        };
        let mut tables: Vec<String> = items.iter().take(MOST_ITEMS).map(table).collect();
        if items.len() > MOST_ITEMS {
            tables.push("…".to_owned());
        }
        Some(format!(
            "to sweep over it, list the tables: `{under} = [{}]`",
            tables.join(", ")
        ))
    }

    /// What to type instead of a string where a number or a boolean is wanted.
    fn instead_of_text(&self, wanted: Wanted, text: &str) -> Option<String> {
        let key = self.key;
        if let Some(value) = as_wanted(wanted, text) {
            return Some(format!("take the quotation marks off: `{key} = {value}`"));
        }
        let items: Option<Vec<String>> = text
            .trim_matches(['[', ']', '(', ')'])
            .split([',', ' ', ';'])
            .filter(|item| !item.is_empty())
            .map(|item| as_wanted(wanted, item))
            .collect();
        let items = items.filter(|items| items.len() > 1)?;
        if self.under.is_some() {
            return self.instead_of_list(&items);
        }
        Some(format!("write a list: `{key} = [{}]`", items.join(", ")))
    }
}

/// The text as a value of a type, as it would be typed.
fn as_wanted(wanted: Wanted, text: &str) -> Option<String> {
    match wanted {
        Wanted::Integer => {
            let number = text.parse::<i64>().ok();
            number
                .or_else(|| whole(text.parse().ok()?))
                .map(|number| number.to_string())
        }
        Wanted::Number => {
            let is_number = text.parse::<f64>().is_ok_and(f64::is_finite)
                && text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
            is_number.then(|| text.to_owned())
        }
        Wanted::Boolean => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("true".to_owned()),
            "false" | "no" | "off" | "0" => Some("false".to_owned()),
            _ => None,
        },
        Wanted::Text | Wanted::Table | Wanted::Tables | Wanted::Other => None,
    }
}

/// A number as an integer; `None` where it has a fraction, or is too large for a float to tell it from its neighbors.
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 9e15;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it has no fraction and is below 2^53"
    )]
    is_whole.then_some(number as i64)
}

/// Where a key belongs that a table does not have, but a table below one of its keys does; `typed` is its value.
pub(super) fn key_within(word: &str, known: &[&dyn AnyKey], typed: &str) -> Option<String> {
    let found = known.iter().filter_map(|key| {
        let keys = key.inner()?.all_keys();
        let meant = suggest::nearest(word, keys.iter().map(|inner| inner.name()))?;
        // A table that is there by itself is likelier meant than one that has to be asked for.
        Some((
            key.describe()
                .default
                .is_some_and(|default| !default.starts_with('{')),
            key.name(),
            meant,
        ))
    });
    let (_, outer, meant) = found.min_by_key(|(is_asked_for, ..)| *is_asked_for)?;
    let value = if typed.len() <= 40 && !typed.starts_with('[') {
        typed
    } else {
        "…"
    };
    Some(format!(
        "it belongs into `{outer}`: `{outer} = {{ {meant} = {value} }}`"
    ))
}

/// What to type instead of something that is not the table of `key`, whose keys are those of `doc`.
pub(super) fn table_of(key: &str, doc: &KindDoc, found: &Value, typed: &str) -> String {
    let keys = doc.all_keys();
    let of_name = |name: &str| keys.iter().find(|inner| inner.name() == name);
    if let Value::Text(text) = found
        && of_name("kind").is_some()
    {
        return format!("write `{key} = {{ kind = {:?} }}`", text.to_lowercase());
    }
    if let (Value::Number(_) | Value::Integer(_), Some(rate)) = (found, of_name("lr")) {
        return format!("write `{key} = {{ {} = {typed} }}`", rate.name());
    }
    let names: Vec<String> = keys
        .iter()
        .map(|inner| format!("`{}`", inner.name()))
        .collect();
    format!(
        "write `{key} = {{ … }}` with some of the keys {}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(wanted: Wanted, typed: &str, found: &Value, under: Option<&str>) -> Option<String> {
        let beside = ["kind = \"adam\"".to_owned()];
        let place = Place {
            key: "lr",
            typed,
            beside: if under.is_some() { &beside } else { &[] },
            under,
        };
        right_type(&place, wanted, found, &|_| String::new())
    }

    #[test]
    fn values_in_quotation_marks_are_taken_out_of_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let advice = advised(Wanted::Number, "\"1e-3\"", &text("1e-3"), None);
        assert_eq!(advice.unwrap(), "take the quotation marks off: `lr = 1e-3`");
        let advice = advised(Wanted::Integer, "\"0,1,2\"", &text("0,1,2"), None);
        assert_eq!(advice.unwrap(), "write a list: `lr = [0, 1, 2]`");
        let advice = advised(
            Wanted::Number,
            "\"1e-2, 1e-3\"",
            &text("1e-2, 1e-3"),
            Some("optimizer"),
        );
        assert_eq!(
            advice.unwrap(),
            "to sweep over it, list the tables: `optimizer = [{ kind = \"adam\", lr = 1e-2 }, { kind = \"adam\", lr = 1e-3 }]`"
        );
        assert_eq!(
            advised(Wanted::Integer, "\"many\"", &text("many"), None),
            None
        );
        assert_eq!(advised(Wanted::Number, "\"inf\"", &text("inf"), None), None);
    }

    #[test]
    fn whole_numbers_are_integers() {
        let advice = advised(Wanted::Integer, "2.0", &Value::Number(2.0), None);
        assert!(advice.unwrap().starts_with("write `lr = 2`"));
        assert_eq!(
            advised(Wanted::Integer, "2.5", &Value::Number(2.5), None),
            None
        );
        assert_eq!(
            advised(Wanted::Integer, "1e300", &Value::Number(1e300), None),
            None
        );
    }
}
