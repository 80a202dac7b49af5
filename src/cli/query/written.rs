//! How an answer is written: as a table, CSV, JSON, Markdown or Parquet, on stdout or into a file.
//!
//! What is data (CSV, JSON, Parquet) holds texts as they are, on a terminal aside; what is for people shows what a terminal would obey.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serializer as _;
use serde::ser::SerializeSeq;
use serde_json::Value;

use super::{Arguments, Format};
use crate::atomic_file::AtomicFile;
use crate::cli::exit::Failure;
use crate::cli::{printed, say, table};
use crate::message::Message;
use crate::store::{Answer, Cell};
use crate::text::plural;
use crate::visible::visible;

/// Where an answer goes, and as what.
pub(super) struct Target<'a> {
    format: Format,
    file: Option<&'a Path>,
    force: bool,
    all: bool,
}

impl<'a> Target<'a> {
    /// Reads the arguments, before anything is asked.
    ///
    /// # Errors
    /// A file that is there, or whose ending says no format.
    pub(super) fn new(arguments: &'a Arguments) -> Result<Self, Failure> {
        let file = arguments.output.as_deref();
        let format = match (arguments.format, arguments.json, file) {
            (Some(format), _, _) => format,
            (None, true, _) => Format::Json,
            (None, false, Some(file)) => by_ending(file)?,
            (None, false, None) => Format::Table,
        };
        let target = Self {
            format,
            file,
            force: arguments.force,
            all: arguments.all,
        };
        target.look()?;
        Ok(target)
    }

    /// Refuses a place that cannot be written to.
    fn look(&self) -> Result<(), Failure> {
        let Some(file) = self.file else {
            if self.format == Format::Parquet && io::stdout().is_terminal() {
                return Err(Failure::Usage(
                    Message::new("a Parquet file is not for a terminal")
                        .hint("name a file by `--output answer.parquet`"),
                ));
            }
            return Ok(());
        };
        let shown = file.display();
        match fs::metadata(file) {
            Ok(there) if there.is_dir() => Err(Failure::Usage(
                Message::new(format!("{shown} is a folder")).hint("name a file in it"),
            )),
            Ok(there) if there.is_file() && !self.force => Err(Failure::Usage(
                Message::new(format!("{shown} exists")).hint("`--force` replaces it"),
            )),
            _ => Ok(()),
        }
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// A place that cannot be written to; what the answer cannot be written as.
    pub(super) fn write(&self, answer: &Answer) -> Result<(), Failure> {
        let rows = answer.rows();
        let Some(file) = self.file else {
            return self.print(answer);
        };
        self.put(file, &mut |out| match self.format {
            Format::Csv => csv(out, answer),
            Format::Json => json(out, answer),
            Format::Parquet => Ok(out.write_all(&answer.to_parquet()?)?),
            Format::Markdown => {
                let text = markdown(answer)?;
                Ok(writeln!(out, "{}", visible(&text))?)
            }
            Format::Table => {
                let text = table::full(&answer.columns(), &cells(answer)?);
                Ok(writeln!(out, "{}", visible(&text))?)
            }
        })?;
        say::always(&format!("{}: {}", file.display(), plural(rows, "row")));
        Ok(())
    }

    fn print(&self, answer: &Answer) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let text = table::render_some(&answer.columns(), &cells(answer)?, self.all);
                writeln!(printed::stdout(false), "{text}")?;
            }
            Format::Markdown => writeln!(printed::unfolded(), "{}", markdown(answer)?)?,
            Format::Json => json(&mut printed::stdout(true), answer)?,
            Format::Csv if io::stdout().is_terminal() => csv(&mut printed::unfolded(), answer)?,
            Format::Csv => csv(&mut io::stdout().lock(), answer)?,
            Format::Parquet => io::stdout().lock().write_all(&answer.to_parquet()?)?,
        }
        Ok(())
    }

    /// Writes a file that appears whole; what is there and is not a file, such as a pipe, is written to as it is.
    fn put(
        &self,
        file: &Path,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::Input(format!("cannot write {}: {error}", file.display()).into())
        };
        if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            let mut out = File::options().write(true).open(file).map_err(failed)?;
            write(&mut out)?;
            return out.flush().map_err(failed);
        }
        let mut out = AtomicFile::create(file).map_err(failed)?;
        write(&mut out)?;
        if self.force {
            return out.commit().map_err(failed);
        }
        match out.commit_if_absent() {
            Ok(true) => Ok(()),
            // Somebody has made it meanwhile.
            Ok(false) => self.look(),
            Err(error) => Err(failed(error)),
        }
    }

    /// Prints a list about the cache.
    ///
    /// # Errors
    /// A format that lists do not have.
    pub(super) fn list(&self, heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let text = table::render_some(heads, rows, self.all);
                writeln!(printed::stdout(false), "{text}")?;
            }
            Format::Markdown => writeln!(printed::unfolded(), "{}", table::full(heads, rows))?,
            Format::Json => {
                let object = |row: &Vec<String>| {
                    let cells = heads.iter().zip(row);
                    let cells = cells.map(|(head, cell)| ((*head).to_owned(), as_json(cell)));
                    Value::Object(cells.collect())
                };
                let objects: Vec<Value> = rows.iter().map(object).collect();
                let mut out = printed::stdout(true);
                serde_json::to_writer_pretty(&mut out, &objects).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Format::Csv | Format::Parquet => {
                return Err(Failure::Usage(
                    Message::new("tables are listed as a table, Markdown or JSON")
                        .hint("leave out `--format`, or ask for `--format json`"),
                ));
            }
        }
        Ok(())
    }
}

/// A cell of a list: a number where it is one, and null where it is empty.
fn as_json(cell: &str) -> Value {
    match cell.replace(',', "").parse::<u64>() {
        Ok(number) => number.into(),
        Err(_) if cell.is_empty() => Value::Null,
        Err(_) => cell.into(),
    }
}

/// The format that the ending of a file says.
fn by_ending(file: &Path) -> Result<Format, Failure> {
    let ending = file.extension().unwrap_or_default().to_string_lossy();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(Format::Csv),
        "json" => Ok(Format::Json),
        "md" | "markdown" => Ok(Format::Markdown),
        "parquet" => Ok(Format::Parquet),
        "txt" => Ok(Format::Table),
        _ => Err(Failure::Usage(
            Message::new(format!(
                "the ending of {} does not say a format",
                file.display()
            ))
            .hint("end it in .csv, .json, .md, .parquet or .txt, or name the format by `--format`"),
        )),
    }
}

/// All cells as people read them.
fn cells(answer: &Answer) -> Result<Vec<Vec<String>>, Failure> {
    let row = |row| {
        let cells = answer.row(row)?;
        Ok(cells.iter().map(ToString::to_string).collect())
    };
    (0..answer.rows()).map(row).collect()
}

fn markdown(answer: &Answer) -> Result<String, Failure> {
    let escaped = |text: &String| {
        let words: Vec<&str> = text.lines().collect();
        words.join(" ").replace('|', "\\|")
    };
    let heads: Vec<String> = answer.columns().iter().map(escaped).collect();
    let rows = cells(answer)?.into_iter();
    let rows: Vec<Vec<String>> = rows.map(|row| row.iter().map(escaped).collect()).collect();
    Ok(table::full(&heads, &rows))
}

fn json(out: &mut dyn Write, answer: &Answer) -> Result<(), Failure> {
    let columns = answer.columns();
    let mut serializer = serde_json::Serializer::pretty(&mut *out);
    let mut list = serializer
        .serialize_seq(Some(answer.rows()))
        .map_err(io::Error::from)?;
    for row in 0..answer.rows() {
        let cells = answer.row(row)?;
        let cells = columns.iter().zip(&cells);
        let object: serde_json::Map<String, Value> = cells
            .map(|(column, cell)| Ok((column.clone(), serde_json::to_value(cell)?)))
            .collect::<serde_json::Result<_>>()
            .map_err(io::Error::from)?;
        list.serialize_element(&object).map_err(io::Error::from)?;
    }
    list.end().map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// RFC 4180 with line feeds. An empty cell is null; a text is in quotation marks where it would read as a number or as null.
fn csv(out: &mut dyn Write, answer: &Answer) -> Result<(), Failure> {
    let columns = answer.columns();
    let heads: Vec<Cow<'_, str>> = columns.iter().map(|name| quoted(name)).collect();
    writeln!(out, "{}", heads.join(","))?;
    for row in 0..answer.rows() {
        let cells = answer.row(row)?;
        let cells: Vec<String> = cells.iter().map(in_csv).collect::<Result<_, _>>()?;
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

fn in_csv(cell: &Cell) -> Result<String, Failure> {
    Ok(match cell {
        Cell::Null => String::new(),
        Cell::Text(text) => quoted(text).into_owned(),
        // The digits that read back to the same bits.
        Cell::Number(number) => format!("{number:?}"),
        Cell::Vector(_) => {
            let values = serde_json::to_string(cell).map_err(io::Error::from)?;
            quoted(&values).into_owned()
        }
        other => other.to_string(),
    })
}

fn quoted(text: &str) -> Cow<'_, str> {
    let needs_quotes = |character: char| matches!(character, ',' | '"' | '\n' | '\r');
    let is_plain = !text.is_empty()
        && !text.contains(needs_quotes)
        && text.trim() == text
        && text.parse::<f64>().is_err();
    if is_plain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_csv_read_back_as_what_they_were() {
        for (cell, expected) in [
            (Cell::Null, ""),
            (Cell::Boolean(true), "true"),
            (Cell::Integer(7), "7"),
            (Cell::Number(0.1), "0.1"),
            (Cell::Number(1e300), "1e300"),
            (Cell::Text(String::new()), "\"\""),
            (Cell::Text("1e3".to_owned()), "\"1e3\""),
            (Cell::Text("a, \"b\"".to_owned()), "\"a, \"\"b\"\"\""),
            (Cell::Text("red\u{1b}[31m".to_owned()), "red\u{1b}[31m"),
            (
                Cell::Vector(vec![Cell::Integer(1), Cell::Null]),
                "\"[1,null]\"",
            ),
        ] {
            assert_eq!(in_csv(&cell).unwrap(), expected);
        }
    }

    #[test]
    fn endings_say_formats() {
        for (file, format) in [
            ("a.csv", Format::Csv),
            ("b/c.JSON", Format::Json),
            ("d.md", Format::Markdown),
            ("e.parquet", Format::Parquet),
        ] {
            assert_eq!(by_ending(Path::new(file)).unwrap(), format);
        }
        for file in ["a", "b.xlsx", ".csv"] {
            assert!(by_ending(Path::new(file)).is_err(), "{file}");
        }
    }
}
