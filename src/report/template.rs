//! Templates: the built-in one, or the user's own.
//!
//! Every string that a template prints is escaped for Markdown, so that a template is safe without doing anything. Markdown that was made here
//! (tables, captions) is marked as such and printed as it is. An undefined name is an error that names file and line.

use std::io::{self, Write};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::error::ReportError;
use super::markdown;
use super::number;
use super::trace;
use crate::limits;
use crate::text;

/// The name of the built-in template, which the user's own may extend or include.
pub const BUILT_IN: &str = "report.md.jinja";

const BUILT_IN_TEXT: &str = include_str!("../../templates/report.md.jinja");

/// A template that parses.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    name: String,
}

impl Template {
    /// Opens the user's template, or the built-in one.
    ///
    /// # Errors
    /// A file that cannot be read or does not parse.
    pub fn open(path: Option<&str>) -> Result<Self, ReportError> {
        match path {
            None => Self::parse(BUILT_IN, None),
            Some(path) => {
                let text =
                    limits::read_text(Path::new(path), limits::TEMPLATE).map_err(|source| {
                        ReportError::TemplateUnreadable {
                            file: path.to_owned(),
                            source,
                        }
                    })?;
                Self::parse(path, Some(text))
            }
        }
    }

    /// Parses a template from its text; the built-in one where there is none.
    fn parse(name: &str, text: Option<String>) -> Result<Self, ReportError> {
        let mut environment = environment().map_err(|error| describe(&error))?;
        environment
            .add_template(BUILT_IN, BUILT_IN_TEXT)
            .map_err(|error| describe(&error))?;
        if let Some(text) = text {
            environment
                .add_template_owned(name.to_owned(), text)
                .map_err(|error| describe(&error))?;
        }
        Ok(Self {
            environment,
            name: name.to_owned(),
        })
    }

    /// Fills the template in.
    ///
    /// # Errors
    /// An undefined name, or a filter that does not fit its value.
    pub fn fill(&self, context: Value) -> Result<String, ReportError> {
        let template = self
            .environment
            .get_template(&self.name)
            .map_err(|error| describe(&error))?;
        let mut written = Limited(Vec::new());
        template
            .render_captured_to(context, &mut written)
            .map_err(|error| describe(&error))?;
        Ok(tidy(&String::from_utf8_lossy(&written.0)))
    }
}

/// What a template has written, up to a limit.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > limits::REPORT {
            let most = text::bytes(limits::REPORT as u64);
            return Err(io::Error::other(format!("a report has at most {most}")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The environment with our escaping and filters.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    environment.set_fuel(Some(limits::TEMPLATE_STEPS));
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    environment.set_formatter(|output, _, value| {
        let text = value.to_string();
        let written = if value.is_safe() || value.kind() == ValueKind::Number {
            output.write_str(&text)
        } else {
            output.write_str(&markdown::escape(&text))
        };
        written.map_err(Error::from)
    });
    environment.add_filter("cell", |text: String| markup(markdown::escape(&text)));
    environment.add_filter("code", |text: String| markup(markdown::code(&text)));
    environment.add_filter("fenced", |text: String, language: Option<String>| {
        markup(markdown::fenced(&text, language.as_deref().unwrap_or("")))
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
            .map_or_else(|| "–".to_owned(), text::duration)
    });
    environment.add_filter("listed", |values: Vec<Value>| {
        let words: Vec<String> = values
            .iter()
            .map(|value| markdown::escape(&value.to_string()))
            .collect();
        markup(number::listed(&words))
    });
    environment.add_filter("listed_code", |values: Vec<Value>| {
        let words: Vec<String> = values
            .iter()
            .map(|value| markdown::code(&value.to_string()))
            .collect();
        markup(number::listed(&words))
    });
    Ok(environment)
}

/// Markdown that is printed as it is.
fn markup(text: String) -> Value {
    Value::from_safe_string(text)
}

/// At most one empty line in a row outside of code, one line end at the end: templates need not count their own.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut fence: Option<String> = None;
    let mut empty = true;
    for line in text.lines() {
        let line = line.trim_end();
        let ticks: String = line
            .chars()
            .take_while(|character| *character == '`')
            .collect();
        match &fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if ticks.len() >= open.len() && ticks.len() == line.len() => fence = None,
            _ => {}
        }
        if line.is_empty() && empty && fence.is_none() {
            continue;
        }
        empty = line.is_empty();
        tidied.push_str(line);
        tidied.push('\n');
    }
    let length = tidied.trim_end().len();
    tidied.truncate(length);
    tidied.push('\n');
    tidied
}

/// A template's error with its place and the text that it is about.
fn describe(error: &Error) -> ReportError {
    let of_template = error
        .range()
        .and_then(|range| error.template_source()?.get(range));
    let problem = match error.detail() {
        _ if error.kind() == ErrorKind::OutOfFuel => format!(
            "it takes more than {} steps",
            text::count(limits::TEMPLATE_STEPS)
        ),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let problem = match of_template.filter(|text| !text.contains('\n')) {
        Some(text) => format!("{problem} in `{text}`"),
        None => problem,
    };
    let hint = match error.kind() {
        ErrorKind::SyntaxError => {
            "templates are written in Jinja's language; see `docs/report-templates.md`"
        }
        ErrorKind::TemplateNotFound => {
            "a template may extend or include `report.md.jinja`, the built-in one, and nothing else"
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
            "the filters are listed in `docs/report-templates.md`"
        }
        ErrorKind::OutOfFuel => "its loops go over far more than there is; see `docs/limits.md`",
        _ => "the names that a template may use are listed in `docs/report-templates.md`",
    };
    ReportError::Template {
        file: error.name().unwrap_or(BUILT_IN).to_owned(),
        line: error.line().unwrap_or(1),
        problem,
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, context: Value) -> Result<String, String> {
        let template = Template::parse("mine.md.jinja", Some(text.to_owned()))
            .map_err(|error| error.to_string())?;
        template.fill(context).map_err(|error| error.to_string())
    }

    fn names(pairs: &[(&str, &str)]) -> Value {
        Value::from_pairs(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value))),
        )
    }

    #[test]
    fn printed_text_is_escaped_unless_it_is_markup() {
        let context = names(&[("name", "a|<script>\nb")]);
        assert_eq!(
            fill("{{ name }}", context.clone()).unwrap(),
            "a\\|&lt;script&gt; b\n"
        );
        assert_eq!(
            fill("{{ name | cell }}", context.clone()).unwrap(),
            "a\\|&lt;script&gt; b\n"
        );
        assert_eq!(
            fill("{{ name | code }}", context.clone()).unwrap(),
            "<code>a&#124;&#60;script&#62; b</code>\n"
        );
        assert_eq!(
            fill("{{ name | safe }}", context).unwrap(),
            "a|<script>\nb\n"
        );
    }

    #[test]
    fn numbers_have_filters() {
        assert_eq!(
            fill(
                "{{ 1234567 | thousands }} {{ 2 | counted('head') }} {{ 2048 | bytes }}",
                ().into()
            )
            .unwrap(),
            "1,234,567 2 heads 2.0 KiB\n"
        );
        assert_eq!(
            fill(
                "{{ [1, 2, 3] | listed }} {{ ['a'] | listed_code }}",
                ().into()
            )
            .unwrap(),
            "1, 2 and 3 `a`\n"
        );
    }

    #[test]
    fn undefined_names_and_slips_tell_file_and_line() {
        let text = fill("one\n{{ titel }}\n", names(&[("title", "x")])).unwrap_err();
        assert!(
            text.starts_with("mine.md.jinja:2: undefined value") && text.contains("titel"),
            "{text}"
        );
        let text = fill("{% for x in %}", ().into()).unwrap_err();
        assert!(text.starts_with("mine.md.jinja:1: syntax error"), "{text}");
        let text = fill("\n\n{{ 1 | nope }}", ().into()).unwrap_err();
        assert!(
            text.starts_with("mine.md.jinja:3: unknown filter"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Template::open(Some("no/such.md.jinja")).unwrap_err();
        assert!(error.to_string().contains("`no/such.md.jinja`"), "{error}");
    }

    #[test]
    fn empty_lines_are_tidied_outside_of_code() {
        assert_eq!(
            tidy("\n\na\n\n\n\nb  \n```sh\nx\n\n\ny\n```\n\n\n"),
            "a\n\nb\n```sh\nx\n\n\ny\n```\n"
        );
    }
}
