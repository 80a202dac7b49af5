//! Comparisons as a CSV file beside the report, and back.
//!
//! One row a comparison, in the order of the report. Like the file of results it holds nothing of the run, and a report that is rendered
//! from both is the one that the run wrote, byte for byte. `csv.rs` has the format of cells.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Comparison;
use crate::report::csv::{Cell, digits, parsed, quoted, records};
use crate::report::error::ReportError;

/// The columns, in their order.
const COLUMNS: [&str; 16] = [
    "place",
    "about",
    "subject",
    "against",
    "estimate",
    "low",
    "high",
    "p",
    "p_holm",
    "only_subject",
    "only_against",
    "p_mcnemar",
    "samples",
    "runs",
    "verdict",
    "text",
];

/// The file's text.
pub fn write(comparisons: &[Comparison]) -> String {
    let mut file = COLUMNS.join(",") + "\n";
    for one in comparisons {
        let number = |number: Option<f64>| number.map_or_else(String::new, digits);
        let count = |count: Option<u64>| count.map_or_else(String::new, |count| count.to_string());
        let cells = [
            quoted(&one.place),
            quoted(&one.about),
            quoted(&one.subject),
            quoted(&one.against),
            number(one.estimate),
            number(one.interval.map(|[low, _]| low)),
            number(one.interval.map(|[_, high]| high)),
            number(one.p),
            number(one.adjusted),
            count(one.discordant.map(|[only, _]| only)),
            count(one.discordant.map(|[_, only]| only)),
            number(one.discordant_p),
            count(one.samples),
            count(one.runs),
            quoted(&one.verdict),
            quoted(&one.text),
        ];
        // Writing into a string cannot fail.
        let _ = writeln!(file, "{}", cells.join(","));
    }
    file
}

/// The comparisons of a file's text; `place` is the file as messages name it.
///
/// # Errors
/// A column that is missing, and a cell that is not what its column holds.
pub fn read(place: &str, text: &str) -> Result<Vec<Comparison>, ReportError> {
    let bad = |line: usize, problem: String| ReportError::ResultsFile {
        place: place.to_owned(),
        line,
        problem,
    };
    let mut lines = records(text.strip_prefix('\u{feff}').unwrap_or(text))
        .map_err(|line| {
            bad(
                line,
                "a quotation mark is opened and never closed".to_owned(),
            )
        })?
        .into_iter();
    let Some((_, heads)) = lines.next() else {
        return Err(bad(1, "the file is empty".to_owned()));
    };
    for column in COLUMNS {
        if !heads.iter().any(|head| head.text == column) {
            return Err(bad(1, format!("the column `{column}` is missing")));
        }
    }
    lines
        .map(|(line, cells)| {
            if cells.len() != heads.len() {
                let problem = format!("expected {} cells, found {}", heads.len(), cells.len());
                return Err(bad(line, problem));
            }
            let names = heads.iter().map(|head| head.text.as_str());
            comparison(&names.zip(&cells).collect()).map_err(|problem| bad(line, problem))
        })
        .collect()
}

/// One comparison from its cells by the names of their columns.
fn comparison(cells: &BTreeMap<&str, &Cell>) -> Result<Comparison, String> {
    let cell = |column: &str| cells.get(column).map_or("", |cell| cell.text.as_str());
    let number = |column: &str| parsed::<f64>(column, cell(column), "a number");
    let count = |column: &str| parsed::<u64>(column, cell(column), "a count");
    Ok(Comparison {
        place: cell("place").to_owned(),
        about: cell("about").to_owned(),
        subject: cell("subject").to_owned(),
        against: cell("against").to_owned(),
        estimate: number("estimate")?,
        interval: number("low")?
            .zip(number("high")?)
            .map(|(low, high)| [low, high]),
        p: number("p")?,
        adjusted: number("p_holm")?,
        discordant: count("only_subject")?
            .zip(count("only_against")?)
            .map(|(subject, against)| [subject, against]),
        discordant_p: number("p_mcnemar")?,
        samples: count("samples")?,
        runs: count("runs")?,
        verdict: cell("verdict").to_owned(),
        text: cell("text").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    fn example() -> Comparison {
        Comparison {
            place: "table 1".to_owned(),
            about: "difference".to_owned(),
            subject: "a, \"b\"".to_owned(),
            against: "c\nd".to_owned(),
            estimate: Some(1.0 / 3.0),
            interval: Some([-0.1, 5e-324]),
            p: Some(1.9e-301),
            adjusted: Some(1.0),
            discordant: Some([88, 26]),
            discordant_p: Some(5e-9),
            samples: Some(1000),
            runs: Some(3),
            verdict: "confirmed".to_owned(),
            text: " 7 ".to_owned(),
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let all = [example(), Comparison::default(), example()];
        assert_eq!(read("x.csv", &write(&all)).unwrap(), all);
        assert!(read("x.csv", &write(&[])).unwrap().is_empty());
    }

    #[test]
    fn faults_are_named_by_line() {
        let fault = |text: &str| read("x.csv", text).unwrap_err().explain().to_string();
        let text = write(&[Comparison {
            p: Some(0.25),
            ..Comparison::default()
        }]);
        let wrong = fault(&text.replace("0.25", "small"));
        assert!(
            wrong.starts_with("x.csv:2: `p` is `small`, expected a number"),
            "{wrong}"
        );
        let missing = fault(&text.replace("p_holm", "holm"));
        assert!(
            missing.starts_with("x.csv:1: the column `p_holm` is missing"),
            "{missing}"
        );
        assert!(fault("").contains("empty"));
        assert!(fault(&format!("{text}1,2\n")).starts_with("x.csv:3: expected 16 cells, found 2"));
    }
}
