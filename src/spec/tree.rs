//! TOML as a tree of values that remember where they stand.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{Source, Span};
use super::syntax;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What was typed, by TOML type.
    pub value: Value,
    /// The bytes of the file that hold it.
    pub span: Span,
}

impl Node {
    fn move_by(&mut self, bytes: usize) {
        self.span = self.span.moved(bytes);
        match &mut self.value {
            Value::List(items) => {
                for item in Arc::make_mut(items) {
                    item.move_by(bytes);
                }
            }
            Value::Table(table) => table.move_by(bytes),
            Value::Text(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Boolean(_)
            | Value::Date(_) => {}
        }
    }
}

/// A TOML value. Dates are kept as text: no key takes one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Number(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or time, as it was typed.
    Date(String),
    /// A list. Tables are cloned for each value of a sweep, and their lists are not.
    List(Arc<Vec<Node>>),
    /// A table.
    Table(Table),
}

impl Value {
    /// Puts a folder in the place of `~` in every text that begins with `~/`.
    pub(super) fn expand_home(&mut self, home: &str) {
        match self {
            Self::Text(text) => {
                if let Some(rest) = text.strip_prefix("~/") {
                    *text = format!("{}/{rest}", home.trim_end_matches('/'));
                }
            }
            Self::List(items) => {
                for item in Arc::make_mut(items) {
                    item.value.expand_home(home);
                }
            }
            Self::Table(table) => {
                for entry in &mut table.entries {
                    entry.node.value.expand_home(home);
                }
            }
            Self::Integer(_) | Self::Number(_) | Self::Boolean(_) | Self::Date(_) => {}
        }
    }

    /// The type in words, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a floating-point number",
            Self::Boolean(_) => "a boolean",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table with its entries in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
}

/// What was typed and not where: equal values have equal texts. Keys are sorted.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Integer(integer) => write!(formatter, "{integer}"),
            Self::Number(number) => write!(formatter, "{number:?}"),
            Self::Boolean(boolean) => write!(formatter, "{boolean}"),
            Self::Date(date) => formatter.write_str(date),
            Self::List(items) => {
                formatter.write_str("[")?;
                for item in items.iter() {
                    write!(formatter, "{},", item.value)?;
                }
                formatter.write_str("]")
            }
            Self::Table(table) => table.fmt(formatter),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| &entry.key);
        formatter.write_str("{")?;
        for entry in entries {
            write!(formatter, "{:?}={},", entry.key, entry.node.value)?;
        }
        formatter.write_str("}")
    }
}

/// One `key = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, without quotes.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value, and where it stands.
    pub node: Node,
}

impl Table {
    /// The entry of a key; `None` where the key is absent.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The same table with one value replaced, or added at the end.
    #[must_use]
    pub fn with(&self, key: &str, key_span: Span, node: Node) -> Self {
        let mut table = self.clone();
        match table.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.node = node,
            None => table.entries.push(Entry {
                key: key.to_owned(),
                key_span,
                node,
            }),
        }
        table
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(place))
    }

    /// Moves all places so many bytes further on.
    pub(super) fn move_by(&mut self, bytes: usize) {
        for entry in &mut self.entries {
            entry.key_span = entry.key_span.moved(bytes);
            entry.node.move_by(bytes);
        }
    }

    /// The same table without a key.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        Self {
            entries: self
                .entries
                .iter()
                .filter(|entry| entry.key != key)
                .cloned()
                .collect(),
        }
    }
}

/// Parses a file. What does not parse is reported, and the rest is still read.
pub fn parse(source: &Source, diagnostics: &mut Diagnostics) -> Table {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let conversion = Conversion {
        repeated: syntax::report(source, &errors, diagnostics),
        lines: syntax::Lines::of(&source.text),
    };
    conversion.table(table.get_ref(), diagnostics)
}

/// What has to be known while values are converted.
struct Conversion<'a> {
    /// The repetitions of tables, whose keys the parser adds to the first.
    repeated: Vec<Range<usize>>,
    lines: syntax::Lines<'a>,
}

impl Conversion<'_> {
    /// Whether a key stands in a repetition of its table.
    fn is_repeated(&self, place: usize) -> bool {
        let next = self.repeated.partition_point(|table| table.start <= place);
        let table = next.checked_sub(1).and_then(|own| self.repeated.get(own));
        table.is_some_and(|table| table.contains(&place)) && !self.lines.is_in_header(place)
    }

    fn table(&self, table: &DeTable<'_>, diagnostics: &mut Diagnostics) -> Table {
        let mut entries: Vec<Entry> = table
            .iter()
            .filter(|(key, _)| !self.is_repeated(key.span().start))
            .filter_map(|(key, value)| {
                Some(Entry {
                    key: key.get_ref().to_string(),
                    key_span: key.span().into(),
                    node: self.value(value, diagnostics)?,
                })
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span);
        Table { entries }
    }

    /// Converts one value; numbers that no 64-bit type holds are reported and left out.
    fn value(&self, value: &Spanned<DeValue<'_>>, diagnostics: &mut Diagnostics) -> Option<Node> {
        let span = Span::from(value.span());
        // The parser puts an empty number where it has reported that there is none.
        let is_reported = match value.get_ref() {
            DeValue::Integer(integer) => integer.as_str().is_empty(),
            DeValue::Float(float) => float.as_str().is_empty(),
            DeValue::Table(_) | DeValue::Array(_) => false,
            _ => span.start == span.end,
        };
        if is_reported {
            return None;
        }
        let converted = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let Ok(integer) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
                    let message =
                        format!("integer `{}` does not fit into 64 bits", integer.as_str());
                    let hint = format!("the largest integer is {}", i64::MAX);
                    let diagnostic = Diagnostic::new("toml::syntax", span, message, "too large");
                    diagnostics.push(diagnostic.hint(hint));
                    let table = self.lines.table_at(span.start);
                    diagnostics.follow_ups.break_off(table.into());
                    return None;
                };
                Value::Integer(integer)
            }
            DeValue::Float(float) => {
                let Ok(number) = float.as_str().parse() else {
                    let message = format!("`{}` is not a number", float.as_str());
                    diagnostics.push(Diagnostic::new("toml::syntax", span, message, "here"));
                    return None;
                };
                Value::Number(number)
            }
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Datetime(datetime) => Value::Date(datetime.to_string()),
            DeValue::Array(array) => {
                let items = array.iter();
                let items = items.filter_map(|item| self.value(item, diagnostics));
                Value::List(Arc::new(items.collect()))
            }
            DeValue::Table(table) => Value::Table(self.table(table, diagnostics)),
        };
        Some(Node {
            value: converted,
            span,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_table_depends_on_what_was_typed_and_not_on_where() {
        let text = |typed: &str| {
            let source = Source::new("a.toml".to_owned(), typed.to_owned());
            parse(&source, &mut Diagnostics::new(source.clone())).to_string()
        };
        let one = text("root = \"a\"\nlimit = { test = 1, train = [2, 0.5] }\n");
        assert_eq!(one, r#"{"limit"={"test"=1,"train"=[2,0.5,],},"root"="a",}"#);
        let two = text("# other places\n\nlimit = { train = [2, 0.5], test = 1 }\nroot = 'a'\n");
        assert_eq!(one, two);
        assert_ne!(
            one,
            text("limit = { train = [2, 0.5], test = 1 }\nroot = 'b'\n")
        );
    }
}
