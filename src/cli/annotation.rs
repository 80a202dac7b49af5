//! Errors and warnings as GitHub's workflow commands, which put them beside the lines of a pull request.
//!
//! # Reference
//! "Workflow commands for GitHub Actions": `::error file={name},line={line},col={column},title={title}::{message}`, with `%`, carriage
//! return and line feed escaped in messages, and `:` and `,` as well in properties.

use crate::message::Message;
use crate::spec::{DiagnosticRecord, Severity};

/// One error or warning of a file, as a line.
pub(super) fn of(record: &DiagnosticRecord<'_>) -> String {
    let command = match record.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Paths are compared with those of the repository, which have no `./` before them.
    let file = record.file.strip_prefix("./").unwrap_or(record.file);
    let mut message = record.message.to_owned();
    if let Some(hint) = record.hint {
        message.push_str("\nhint: ");
        message.push_str(hint);
    }
    format!(
        "::{command} file={},line={},col={},title={}::{}",
        property(file),
        record.line,
        record.column,
        property(record.code),
        data(&message)
    )
}

/// An error that has no place in a file, as a line.
pub(super) fn of_message(message: &Message) -> String {
    format!("::error::{}", data(&message.to_string()))
}

/// Text behind a command. What ends a line would end the command, and the next line could be another one.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Text within the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn record<'a>(file: &'a str, message: &'a str, hint: Option<&'a str>) -> DiagnosticRecord<'a> {
        DiagnosticRecord {
            file,
            line: 3,
            column: 7,
            severity: Severity::Error,
            code: "spec::unknown-key",
            message,
            text: Cow::Borrowed("x"),
            hint,
        }
    }

    #[test]
    fn a_line_has_the_place_the_code_and_the_hint() {
        let record = record("./a/b.toml", "unknown key `x`", Some("did you mean `y`?"));
        assert_eq!(
            of(&record),
            "::error file=a/b.toml,line=3,col=7,title=spec%3A%3Aunknown-key::unknown key `x`%0Ahint: did you mean `y`?"
        );
        let warning = DiagnosticRecord {
            severity: Severity::Warning,
            ..record
        };
        assert!(of(&warning).starts_with("::warning file=a/b.toml,"));
    }

    #[test]
    fn no_text_ends_the_command_or_a_property() {
        let message = "100 % of\r\n::error::it: a, b";
        let line = of(&record("a,b:c\n%0A.toml", message, None));
        assert_eq!(
            line,
            "::error file=a%2Cb%3Ac%0A%250A.toml,line=3,col=7,title=spec%3A%3Aunknown-key::100 %25 of%0D%0A::error::it: a, b"
        );
        assert_eq!(line.lines().count(), 1);
        let message = Message::new("cannot read 5%\nof x").hint("try");
        assert_eq!(
            of_message(&message),
            "::error::cannot read 5%25%0Aof x%0A  hint: try"
        );
    }
}
