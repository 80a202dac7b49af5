//! `include = ["parts/gd.toml"]`: which files an experiment file is read together with.
//!
//! Reading them is the caller's: [`Source::with_included`] asks for one after the other. What is wrong with an `include` is kept with the
//! part that has it, and reported with the other errors of the file by [`compose`](super::compose).

use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{Source, Span};
use super::tree::{self, Value};
use crate::limits;
use crate::message::Message;
use crate::text;

/// The key at the top of a file that lists the files to include.
pub const INCLUDE: &str = "include";

/// A file that was read because another one includes it.
#[derive(Debug, Clone)]
pub struct IncludedFile {
    /// As it was opened; what it includes is looked for from its folder.
    pub path: PathBuf,
    /// The same for every path that leads to the file.
    pub identity: PathBuf,
    /// The whole text.
    pub text: String,
}

/// Reads the file at a path.
pub type ReadFile<'a> = &'a mut dyn FnMut(&Path) -> Result<IncludedFile, Message>;

impl Source {
    /// The same source together with all that it includes; `path` and `identity` are those of the file itself.
    #[must_use]
    pub fn with_included(mut self, path: &Path, identity: &Path, read: ReadFile<'_>) -> Self {
        let first = File {
            path: path.to_owned(),
            identity: identity.to_owned(),
            included_at: None,
        };
        Loader {
            source: &mut self,
            files: vec![first],
            chain: vec![0],
            read,
        }
        .load(0);
        self
    }
}

/// What is known of a part that is a file.
struct File {
    path: PathBuf,
    identity: PathBuf,
    /// Where it is included; `None` for the experiment file.
    included_at: Option<Span>,
}

struct Loader<'a> {
    source: &'a mut Source,
    /// The files that were read, by the number of their part.
    files: Vec<File>,
    /// The file that is looked at, with those that include it, outermost first.
    chain: Vec<usize>,
    read: ReadFile<'a>,
}

impl Loader<'_> {
    /// Reads what a part includes, and what that does. There are at most [`limits::MOST_INCLUDED`] files, so that this is no deeper.
    fn load(&mut self, part: usize) {
        for (path, span) in included(self.source, part) {
            let file = self.file(part, &path, span);
            let found = file.map(|file| {
                let name = file.path.display().to_string();
                let number = self.source.append(&name, &file.text);
                self.files.push(File {
                    path: file.path,
                    identity: file.identity,
                    included_at: Some(span),
                });
                self.chain.push(number);
                self.load(number);
                self.chain.pop();
                number
            });
            self.source.parts[part].includes.push(found);
        }
    }

    /// Reads one file, unless it is there already.
    fn file(&mut self, part: usize, typed: &str, span: Span) -> Result<IncludedFile, Diagnostic> {
        let relative = Path::new(typed);
        let has_ending = relative
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        if !has_ending || relative.is_absolute() {
            let message =
                format!("`{INCLUDE}` names `{typed}`, which is not a relative path of a TOML file");
            return Err(
                Diagnostic::new("include::unreadable", span, message, "not such a path").hint(
                    "write the path of a file that ends in `.toml`, from the folder of this file",
                ),
            );
        }
        let folder = self.files[part].path.parent().unwrap_or(Path::new(""));
        let path = folder.join(relative);
        let file = (self.read)(&path).map_err(|error| {
            let message = format!(
                "cannot read the included file {}: {}",
                path.display(),
                error.text
            );
            Diagnostic::new("include::unreadable", span, message, "included here").hint(
                error.hint.unwrap_or_else(|| {
                    "the path starts from the folder of the file that includes it".to_owned()
                }),
            )
        })?;
        let known = self
            .files
            .iter()
            .position(|known| known.identity == file.identity);
        if let Some(known) = known {
            return Err(self.repeated(known, &file, span));
        }
        let bytes = (self.source.text.len() + file.text.len()) as u64;
        if self.files.len() > limits::MOST_INCLUDED || bytes > limits::EXPERIMENT_FILE {
            let message = format!(
                "the file includes more than {} files, or more than {} in all",
                limits::MOST_INCLUDED,
                text::bytes(limits::EXPERIMENT_FILE)
            );
            return Err(
                Diagnostic::new("include::unreadable", span, message, "one too many")
                    .hint("divide the experiment"),
            );
        }
        Ok(file)
    }

    /// The error of a file that was read before.
    fn repeated(&self, known: usize, file: &IncludedFile, span: Span) -> Diagnostic {
        let name = file.path.display();
        if let Some(place) = self.chain.iter().position(|&part| part == known) {
            let names = self.chain[place..].iter();
            let names: Vec<String> = names
                .map(|&part| self.source.parts[part].name.to_string())
                .collect();
            let way = names.join(" includes ");
            let message = format!("files include each other in a cycle: {way} includes {name}");
            return Diagnostic::new("include::cycle", span, message, "back to a file above")
                .hint("take one of these out of its `include`");
        }
        let first = self.files[known].included_at.unwrap_or_default();
        let message = format!(
            "{name} is included twice, first in {}",
            self.source.place_from(first, span)
        );
        Diagnostic::new("include::twice", span, message, "included before")
            .hint("include it once, in the file that includes both")
    }
}

/// The paths that a part includes, each with its place. What else stands there is reported when the part is read.
fn included(source: &Source, part: usize) -> Vec<(String, Span)> {
    let start = source.parts[part].span.start;
    let alone = source.alone(part);
    let mut root = tree::parse(&alone, &mut Diagnostics::new(alone.clone()));
    root.move_by(start);
    let Some(Value::List(items)) = root.take(INCLUDE).map(|entry| entry.node.value) else {
        return Vec::new();
    };
    let paths = items.iter().filter_map(|item| match &item.value {
        Value::Text(path) => Some((path.clone(), item.span)),
        _ => None,
    });
    paths.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The files that are read, and what is wrong with their includes.
    fn load(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let source = Source::new("main.toml", files["main.toml"]);
        let path = Path::new("main.toml");
        let source = source.with_included(path, path, &mut |path| {
            // As a file system sees it: `parts/../a.toml` is `a.toml`.
            let mut parts: Vec<&str> = Vec::new();
            for part in path.to_str().unwrap().split('/') {
                match part {
                    ".." => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            let identity = parts.join("/");
            let text = files.get(identity.as_str());
            let text = text.ok_or_else(|| Message::new("no such file"))?;
            Ok(IncludedFile {
                path: path.to_owned(),
                identity: identity.into(),
                text: (*text).to_owned(),
            })
        });
        let names = source.parts.iter().map(|part| part.name.to_string());
        let problems = source.parts.iter().flat_map(|part| &part.includes);
        let problems = problems.filter_map(|found| found.as_ref().err());
        let problems = problems.map(|found| {
            let place = source.place(found.span.start);
            format!("{place}: {}: {}", found.code, found.message)
        });
        (names.collect(), problems.collect())
    }

    #[test]
    fn paths_start_from_the_folder_of_the_file_that_has_them() {
        let (names, problems) = load(&[
            ("main.toml", "include = [\"parts/a.toml\", \"b.toml\"]\n"),
            ("parts/a.toml", "include = [\"c.toml\"]\n"),
            ("parts/c.toml", ""),
            ("b.toml", ""),
        ]);
        assert_eq!(
            names,
            ["main.toml", "parts/a.toml", "parts/c.toml", "b.toml"]
        );
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn cycles_repetitions_and_what_cannot_be_read_have_a_place() {
        let (_, problems) = load(&[
            (
                "main.toml",
                "include = [\n  \"parts/a.toml\",\n  \"c.toml\",\n  \"d.toml\",\n  \"e.txt\",\n]\n",
            ),
            (
                "parts/a.toml",
                "include = [\"../main.toml\", \"../c.toml\"]\n",
            ),
            ("c.toml", ""),
        ]);
        assert_eq!(
            problems,
            [
                "main.toml:3:3: include::twice: c.toml is included twice, first in parts/a.toml:1:28",
                "main.toml:4:3: include::unreadable: cannot read the included file d.toml: no such file",
                "main.toml:5:3: include::unreadable: `include` names `e.txt`, which is not a relative path of a TOML file",
                "parts/a.toml:1:12: include::cycle: files include each other in a cycle: main.toml includes parts/a.toml includes parts/../main.toml",
            ]
        );
    }

    #[test]
    fn no_more_files_are_read_than_the_limit() {
        let names: Vec<String> = (0..=limits::MOST_INCLUDED)
            .map(|number| format!("{number}.toml"))
            .collect();
        let list: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let main = format!("include = [{}]\n", list.join(", "));
        let mut files = vec![("main.toml", main.as_str())];
        files.extend(names.iter().map(|name| (name.as_str(), "")));
        let (read, problems) = load(&files);
        assert_eq!((read.len(), problems.len()), (limits::MOST_INCLUDED + 1, 1));
        assert!(problems[0].contains("more than"), "{problems:?}");
    }
}
