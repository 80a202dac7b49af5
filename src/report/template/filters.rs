//! The filters of templates: what they make is Markdown that is printed as it is, or a text for people.

use std::borrow::Cow;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::limits;
use crate::report::{markdown, number, trace};
use crate::text;

/// Adds them all to an environment.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("cell", |text: Cow<str>| markup(&text, markdown::escape));
    environment.add_filter("html", |text: Cow<str>| markup(&text, markdown::html));
    environment.add_filter("code", |text: Cow<str>| markup(&text, markdown::code));
    environment.add_filter("fenced", |text: Cow<str>, language: Option<Cow<str>>| {
        markup(&text, |text| {
            markdown::fenced(text, &language.unwrap_or_default())
        })
    });
    environment.add_filter("short", |text: String| trace::short(&text).to_owned());
    environment.add_filter("thousands", |count: u64| text::count(count));
    environment.add_filter("counted", |count: u64, noun: String| {
        text::plural(usize::try_from(count).unwrap_or(usize::MAX), &noun)
    });
    environment.add_filter("bytes", |count: u64| text::bytes(count));
    environment.add_filter("duration", |seconds: Option<f64>| {
        seconds
            .filter(|seconds| *seconds >= 0.0)
            .map_or_else(|| "not known".to_owned(), text::duration)
    });
    environment.add_filter("listed", |values: Vec<Value>| {
        listed(&values, markdown::escape)
    });
    environment.add_filter("listed_code", |values: Vec<Value>| {
        listed(&values, markdown::code)
    });
}

/// A text as Markdown that is printed as it is. Escaping what was escaped makes it longer each time.
fn markup(text: &str, escaped: impl FnOnce(&str) -> String) -> Result<Value, Error> {
    fits(text)?;
    let text = escaped(text);
    fits(&text)?;
    Ok(Value::from_safe_string(text))
}

/// Values with commas, as Markdown that is printed as it is.
fn listed(values: &[Value], escaped: impl Fn(&str) -> String) -> Result<Value, Error> {
    let (mut words, mut length) = (Vec::new(), 0);
    for value in values {
        let text = value.to_string();
        fits(&text)?;
        let word = escaped(&text);
        length += word.len();
        if length > limits::REPORT {
            return Err(too_long());
        }
        words.push(word);
    }
    Ok(Value::from_safe_string(number::listed(&words)))
}

/// Refuses a text that no report has room for, before it is made longer.
pub(super) fn fits(text: &str) -> Result<(), Error> {
    if text.len() > limits::REPORT {
        return Err(too_long());
    }
    Ok(())
}

fn too_long() -> Error {
    Error::new(ErrorKind::WriteFailure, "longer than a report")
}
