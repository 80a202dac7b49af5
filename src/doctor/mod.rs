//! Whether this machine and this build are fit to work: what `repro doctor` finds and prints.
//!
//! [`facts`] looks at the machine and decides nothing; [`judge`] decides and looks at nothing, so that every verdict
//! can be tested anywhere; [`texts`](crate::machine::texts) reads what Linux writes under `/proc`. This file holds what they share, and how
//! it is printed. Nothing here is needed to run an experiment.

pub mod facts;
mod folders;
pub mod judge;

use std::io::{self, Write};

use serde::Serialize;

/// How a [`Check`] came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be, or not needed.
    Ok,
    /// Everything works, but slower or with less than the machine could give.
    Warning,
    /// Runs will fail.
    Problem,
}

/// One finding: a fact, and what to do about it if something should be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub topic: &'static str,
    /// How it came out.
    pub mark: Mark,
    /// The finding, as a fragment without its topic.
    pub fact: String,
    /// What to do; there is one just when `mark` is not [`Mark::Ok`].
    pub remedy: Option<String>,
}

impl Check {
    /// A finding with nothing to do about it.
    pub fn ok(topic: &'static str, fact: impl Into<String>) -> Self {
        Self {
            topic,
            mark: Mark::Ok,
            fact: fact.into(),
            remedy: None,
        }
    }

    /// A finding with which everything still works.
    pub fn warning(
        topic: &'static str,
        fact: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            topic,
            mark: Mark::Warning,
            fact: fact.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// A finding that runs will fail on.
    pub fn problem(
        topic: &'static str,
        fact: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            topic,
            mark: Mark::Problem,
            fact: fact.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Mark {
    /// A sign and a word, since neither color nor sign alone should carry the meaning.
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "✓ ok",
            Self::Warning => "! warning",
            Self::Problem => "✗ problem",
        }
    }
}

/// Whether none of the checks is a problem; warnings pass.
pub fn is_healthy(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.mark != Mark::Problem)
}

/// Writes the checks for people: a line each, a remedy below its fact, and a sum at the end.
///
/// # Errors
/// Only those of writing to `out`.
pub fn write_text(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    let topic_width = checks
        .iter()
        .map(|check| check.topic.chars().count())
        .max()
        .unwrap_or(0);
    for check in checks {
        let Check {
            topic,
            mark,
            fact,
            remedy,
        } = check;
        writeln!(out, "{:<9}  {topic:<topic_width$}  {fact}", mark.label())?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:<9}  {:<topic_width$}  → {remedy}", "", "")?;
        }
    }
    let count = |mark| checks.iter().filter(|check| check.mark == mark).count();
    writeln!(
        out,
        "\n{}, {}",
        counted(count(Mark::Problem), "problem"),
        counted(count(Mark::Warning), "warning")
    )
}

/// Writes `{"ok": …, "checks": [{"topic", "mark", "fact", "remedy"}, …]}` for programs.
///
/// # Errors
/// Only those of writing to `out`.
pub fn write_json(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        ok: bool,
        checks: &'a [Check],
    }
    serde_json::to_writer_pretty(
        &mut *out,
        &Document {
            ok: is_healthy(checks),
            checks,
        },
    )?;
    writeln!(out)
}

/// `no problems`, `1 problem`, `2 problems`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("program", "repro 1.2.3"),
            Check::warning("free disk", "1.0 GB", "free some"),
            Check::problem("cache", "/x cannot be written to", "choose another"),
        ]
    }

    #[test]
    fn text_has_a_mark_a_word_and_a_remedy() {
        let mut out = Vec::new();
        write_text(&mut out, &checks()).unwrap();
        let expected = "\
✓ ok       program    repro 1.2.3
! warning  free disk  1.0 GB
                      → free some
✗ problem  cache      /x cannot be written to
                      → choose another

1 problem, 1 warning
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_says_the_same_and_ends_its_line() {
        let mut out = Vec::new();
        write_json(&mut out, &checks()).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["ok"], false);
        assert_eq!(document["checks"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(document["checks"][1]["mark"], "warning");
        assert_eq!(document["checks"][2]["remedy"], "choose another");
        assert_eq!(out.last(), Some(&b'\n'));
    }

    #[test]
    fn warnings_alone_are_healthy() {
        assert!(!is_healthy(&checks()));
        assert!(is_healthy(&checks()[..2]));
    }
}
