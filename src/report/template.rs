//! Templates: the built-in one, or the user's own.
//!
//! Every string that a template prints is escaped for Markdown, so that a template is safe without doing anything. Markdown that was made here
//! (tables, captions) is marked as such and printed as it is. An undefined name is an error that names file and line.

mod filters;

use std::io::{self, Write};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::cells;
use super::error::ReportError;
use super::markdown;
use super::queries::Refused;
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
    /// Opens the user's template, a path from the folder `base`, or the built-in one.
    ///
    /// # Errors
    /// A file that is not a regular one below `base`, is larger than [`limits::TEMPLATE`], cannot be read, or does not parse.
    pub fn open(path: Option<&str>, base: &Path) -> Result<Self, ReportError> {
        match path {
            None => Self::parse(BUILT_IN, None),
            Some(path) => {
                let text = read(base, path).map_err(|source| ReportError::TemplateUnreadable {
                    file: path.to_owned(),
                    source,
                })?;
                let name = base.join(path).display().to_string();
                Self::parse(&name, Some(text))
            }
        }
    }

    /// Parses a template from its text; the built-in one where there is none.
    fn parse(name: &str, text: Option<String>) -> Result<Self, ReportError> {
        let mut environment = environment().map_err(|error| describe(&error, name))?;
        environment
            .add_template(BUILT_IN, BUILT_IN_TEXT)
            .map_err(|error| describe(&error, name))?;
        if let Some(text) = text {
            environment
                .add_template_owned(name.to_owned(), text)
                .map_err(|error| describe(&error, name))?;
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
            .map_err(|error| describe(&error, &self.name))?;
        let mut out = Bounded(Vec::new());
        template
            .render_captured_to(context, &mut out)
            .map_err(|error| describe(&error, &self.name))?;
        Ok(tidy(&String::from_utf8_lossy(&out.0)))
    }
}

/// What a template has printed, up to [`limits::REPORT`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > limits::REPORT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text of a template: of a regular file, which does not lie elsewhere by `..` or by a link either.
fn read(base: &Path, path: &str) -> io::Result<String> {
    let folder = base.canonicalize()?;
    let file = base.join(path).canonicalize()?;
    if !file.starts_with(&folder) {
        return Err(io::Error::other(format!(
            "it lies outside of {}",
            folder.display()
        )));
    }
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    limits::read_text(&file, limits::TEMPLATE)
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
        filters::fits(&text)?;
        let written = if value.is_safe() || value.kind() == ValueKind::Number {
            output.write_str(&text)
        } else {
            output.write_str(&markdown::escape(&text))
        };
        written.map_err(Error::from)
    });
    filters::add(&mut environment);
    cells::add(&mut environment);
    Ok(environment)
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

/// A template's error with its place and the text that it is about; `name` is that of the template, where the error has none.
fn describe(error: &Error, name: &str) -> ReportError {
    let of_template = error
        .range()
        .and_then(|range| error.template_source()?.get(range));
    let problem = match error.detail() {
        _ if error.kind() == ErrorKind::OutOfFuel => {
            format!(
                "the template takes more than {} steps, of which each makes at most 64 bytes of text",
                text::count(limits::TEMPLATE_STEPS)
            )
        }
        _ if error.kind() == ErrorKind::WriteFailure => format!(
            "the report is longer than {}",
            text::bytes(limits::REPORT as u64)
        ),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let problem = match of_template.filter(|text| !text.contains('\n')) {
        Some(text) => format!("{problem} in `{text}`"),
        None => problem,
    };
    let refused = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    let own = refused.and_then(|Refused(hint)| hint.clone());
    let hint = match error.kind() {
        ErrorKind::SyntaxError => {
            "templates are written in Jinja's language; see `docs/reference/report-templates.md`"
        }
        ErrorKind::TemplateNotFound => {
            "a template may extend or include `report.md.jinja`, the built-in one, and nothing else"
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
            "the filters are listed in `docs/reference/report-templates.md`"
        }
        ErrorKind::OutOfFuel | ErrorKind::WriteFailure => {
            "shorten the loops of the template; `docs/concepts/limits.md` states what it may take"
        }
        _ => "the names that a template may use are listed in `docs/reference/report-templates.md`",
    };
    ReportError::Template {
        file: error.name().unwrap_or(name).to_owned(),
        line: error.line().unwrap_or(1),
        problem,
        hint: own.unwrap_or_else(|| hint.to_owned()),
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
    fn text_that_doubles_without_being_printed_is_bounded() {
        let doubled = "{% set ns = namespace(text='ab') %}\
            {% for _ in range(60) %}{% set ns.text = ns.text ~ ns.text %}{% endfor %}";
        let error = fill(doubled, names(&[])).unwrap_err();
        assert!(error.contains("more than 16,000,000 steps"), "{error}");
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
        let error = Template::open(Some("no/such.md.jinja"), Path::new(".")).unwrap_err();
        assert!(error.to_string().contains("`no/such.md.jinja`"), "{error}");
    }

    #[test]
    fn only_a_small_regular_file_below_the_folder_is_a_template() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(base.join("own"), "own").unwrap();
        std::fs::write(base.join("large"), vec![b'x'; 1 + (1 << 20)]).unwrap();
        std::os::unix::fs::symlink("../secret", base.join("link")).unwrap();
        std::os::unix::fs::symlink("own", base.join("inside")).unwrap();
        let open = |path: &str| Template::open(Some(path), &base);
        let secret = folder.path().join("secret").display().to_string();
        for (path, says) in [
            ("../secret", "outside"),
            (&secret, "outside"),
            ("link", "outside"),
            ("/dev/zero", "outside"),
            (".", "not a regular file"),
            ("large", "more than 1.0 MiB"),
        ] {
            let error = open(path).unwrap_err().to_string();
            assert!(error.contains(says), "{path}: {error}");
        }
        for path in ["own", "inside", &base.join("own").display().to_string()] {
            open(path).unwrap();
        }
    }

    #[test]
    fn what_a_template_takes_is_bounded() {
        let loops =
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
        let text = fill(loops, ().into()).unwrap_err();
        assert!(text.contains("more than 16,000,000 steps"), "{text}");
        let long = "{% for a in range(100) %}{{ 'x' * 1000000 }}{% endfor %}";
        let text = fill(long, ().into()).unwrap_err();
        assert!(text.contains("longer than 64.0 MiB"), "{text}");
        for filter in ["cell", "code"] {
            let again = format!("{{{{ '\\\\&'{} }}}}", format!(" | {filter}").repeat(40));
            let text = fill(&again, ().into()).unwrap_err();
            assert!(text.contains("longer than 64.0 MiB"), "{filter}: {text}");
        }
    }

    #[test]
    fn empty_lines_are_tidied_outside_of_code() {
        assert_eq!(
            tidy("\n\na\n\n\n\nb  \n```sh\nx\n\n\ny\n```\n\n\n"),
            "a\n\nb\n```sh\nx\n\n\ny\n```\n"
        );
    }
}
