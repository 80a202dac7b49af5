//! The folders that are shown, and the files in them: reports, their figures and their data. Nothing else of the disk is.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::http::Response;
use super::url;
use crate::limits;

/// The media type of figures.
pub(super) const SVG: &str = "image/svg+xml";

/// The folder of reports, below the project.
const REPORTS: &str = "reports";
/// The folder of the pages that explain the tables of reports, and to which these link.
const EXPLAINED: &str = "docs/concepts";

/// A report that an experiment of the project writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The experiment file, as it is named on the command line.
    pub experiment: String,
    /// The title of the experiment.
    pub title: String,
    /// The Markdown file, from the project's folder, with `/`.
    pub report: String,
}

/// A folder whose reports are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// The beginning of the addresses of its files, without a slash at its end.
    pub(super) address: String,
    /// The folder, from the project's.
    name: String,
    /// The files of a folder that experiments write to; all reports where empty.
    only: Vec<String>,
    /// Whether its files are listed; others are only linked to.
    is_listed: bool,
}

/// A report on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its file, from the project's folder.
    pub(super) name: String,
    /// Its address.
    pub(super) address: String,
}

/// The folders that are shown.
#[derive(Debug)]
pub(super) struct Folders {
    base: PathBuf,
    all: Vec<Folder>,
}

impl Folders {
    /// The folder of reports, those that experiments write their reports to, and the one that explains their tables.
    pub(super) fn new(base: PathBuf, outputs: &[Output]) -> Self {
        let mut all = vec![Folder {
            address: format!("/{REPORTS}"),
            name: REPORTS.to_owned(),
            only: Vec::new(),
            is_listed: true,
        }];
        for output in outputs {
            let (name, file) = output
                .report
                .rsplit_once('/')
                .unwrap_or(("", &output.report));
            let within = name.strip_prefix(REPORTS);
            if within == Some("") {
                continue;
            }
            let address = match within {
                Some(rest) if rest.starts_with('/') => format!("/{REPORTS}{}", url::encoded(rest)),
                _ => format!("/folder/{}", all.len()),
            };
            match all.iter_mut().find(|folder| folder.name == name) {
                Some(folder) => folder.only.push(file.to_owned()),
                None => all.push(Folder {
                    address,
                    name: name.to_owned(),
                    only: vec![file.to_owned()],
                    is_listed: true,
                }),
            }
        }
        if all.iter().all(|folder| folder.name != EXPLAINED) {
            all.push(Folder {
                address: format!("/{EXPLAINED}"),
                name: EXPLAINED.to_owned(),
                only: Vec::new(),
                is_listed: false,
            });
        }
        Self { base, all }
    }

    /// The reports that are there, by folder and name.
    pub(super) fn reports(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for folder in self.all.iter().filter(|folder| folder.is_listed) {
            let there = fs::read_dir(self.base.join(&folder.name))
                .into_iter()
                .flatten();
            let names = there.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut names: Vec<String> = names
                .filter(|name| {
                    name.strip_suffix(".md")
                        .is_some_and(|stem| !stem.is_empty())
                })
                .filter(|name| folder.only.is_empty() || folder.only.contains(name))
                .collect();
            names.sort();
            found.extend(names.into_iter().filter_map(|file| {
                let address = format!("{}/{}", folder.address, url::encoded(&file));
                let (path, _) = url::parse(&address)?;
                let (_, name) = self.resolve(&path)?;
                Some(Found { name, address })
            }));
        }
        found
    }

    /// The address of what a link of a page leads to, where the page is `from`, a path from the project's folder; `None` for what is not
    /// shown.
    pub(super) fn address(&self, from: &str, link: &str) -> Option<String> {
        let (path, anchor) = link.split_at(link.find('#').unwrap_or(link.len()));
        let (path, _) = url::parse(&format!("/{path}"))?;
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        for part in path.split('/').skip(1) {
            match part {
                // Above the project there is nothing.
                ".." => drop(parts.pop()?),
                "." => {}
                part => parts.push(part),
            }
        }
        let name = parts.join("/");
        let within = self.all.iter().filter_map(|folder| {
            let rest = match folder.name.as_str() {
                "" => name.as_str(),
                folder => name.strip_prefix(folder)?.strip_prefix('/')?,
            };
            Some((folder, rest))
        });
        let (folder, rest) = within.min_by_key(|(_, rest)| rest.len())?;
        let address = format!("{}/{}", folder.address, url::encoded(rest));
        let (path, _) = url::parse(&address)?;
        self.resolve(&path)?;
        Some(format!("{address}{anchor}"))
    }

    /// The file (decoded) that stands beside a report or below its folder, and its name; `None` for what is not shown.
    pub(super) fn beside(&self, report: &str, file: &str) -> Option<(PathBuf, String)> {
        let address = self.address(report, &url::encoded(file))?;
        let (path, _) = url::parse(&address)?;
        self.resolve(&path)
    }

    /// The file behind an address (decoded), and its name from the project's folder; `None` for what is not shown: a name with `..`, a
    /// hidden one, a link that leads out of its folder, another kind of file, or none at all.
    pub(super) fn resolve(&self, address: &str) -> Option<(PathBuf, String)> {
        // The longest address first: a folder may be in another one.
        let mut folders: Vec<(&Folder, &str)> = self
            .all
            .iter()
            .filter_map(|folder| {
                let (known, _) = url::parse(&folder.address)?;
                let rest = address.strip_prefix(&known)?.strip_prefix('/')?;
                Some((folder, rest))
            })
            .collect();
        folders.sort_by_key(|(_, rest)| rest.len());
        let (folder, rest) = *folders.first()?;
        kind_of(rest)?;
        let is_plain = rest
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']))
            && Path::new(rest)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
        if !is_plain {
            return None;
        }
        // Of a folder that may hold anything besides, below it only figures.
        if folder.address.starts_with("/folder/") && rest.contains('/') && !is_figure(rest) {
            return None;
        }
        let root = fs::canonicalize(self.base.join(&folder.name)).ok()?;
        let path = fs::canonicalize(root.join(rest)).ok()?;
        let is_shown =
            path.starts_with(&root) && path.is_file() && kind_of(path.to_str()?).is_some();
        let name = format!("{}/{rest}", folder.name)
            .trim_start_matches('/')
            .to_owned();
        is_shown.then_some((path, name))
    }
}

/// The data beside a report: files of its folder whose names begin with its own.
pub(super) fn beside(report: &Path) -> Vec<String> {
    let (Some(folder), Some(stem)) = (report.parent(), report.file_stem()) else {
        return Vec::new();
    };
    let begin = format!("{}.", stem.to_string_lossy());
    let there = fs::read_dir(folder).into_iter().flatten();
    let names = there.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(&begin) && matches!(ending(name), "csv" | "json"))
        .collect();
    names.sort();
    names
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn is_figure(name: &str) -> bool {
    matches!(ending(name), "svg" | "png")
}

/// The media type of a file that is shown, by its ending; `None` for others. Data is shown as text, which browsers do not download.
fn kind_of(name: &str) -> Option<&'static str> {
    match ending(name) {
        "md" | "csv" => Some("text/plain; charset=utf-8"),
        "json" => Some("application/json"),
        "svg" => Some(SVG),
        "png" => Some("image/png"),
        _ => None,
    }
}

/// The bytes of a file as they are.
///
/// # Errors
/// A file that cannot be read, or is longer than [`limits::SERVED_FILE`].
pub(super) fn serve(path: &Path) -> io::Result<Response> {
    let mut body = Vec::new();
    File::open(path)?
        .take(limits::SERVED_FILE + 1)
        .read_to_end(&mut body)?;
    if body.len() as u64 > limits::SERVED_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Response {
        status: 200,
        kind: kind_of(&path.to_string_lossy()).unwrap_or("application/octet-stream"),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(report: &str) -> Output {
        Output {
            experiment: "experiments/a.toml".to_owned(),
            title: "A".to_owned(),
            report: report.to_owned(),
        }
    }

    #[test]
    fn only_files_of_the_shown_folders_are_found() {
        let base = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = base.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for name in [
            "secret.md",
            "reports/a.md",
            "reports/a.results.csv",
            "reports/.hidden.md",
            "reports/a.toml",
            "reports/deep/b.md",
            "out/c.md",
            "out/d.md",
            "out/deep/e.csv",
            "out/deep/e.svg",
            "reports/a.sh",
            "docs/concepts/heads.md",
            "docs/tour.md",
        ] {
            write(name);
        }
        std::os::unix::fs::symlink(
            base.path().join("secret.md"),
            base.path().join("reports/link.md"),
        )
        .unwrap();
        std::os::unix::fs::symlink("a.md", base.path().join("reports/inside.md")).unwrap();
        std::os::unix::fs::symlink("a.sh", base.path().join("reports/other.md")).unwrap();
        let outputs = [
            output("reports/a.md"),
            output("out/c.md"),
            output("reports/deep/b.md"),
        ];
        let folders = Folders::new(base.path().to_owned(), &outputs);
        let is_shown = |address: &str| folders.resolve(address).is_some();
        for address in [
            "/reports/a.md",
            "/reports/a.results.csv",
            "/reports/inside.md",
            "/reports/deep/b.md",
            "/folder/1/c.md",
            "/folder/1/deep/e.svg",
            "/docs/concepts/heads.md",
        ] {
            assert!(is_shown(address), "{address}");
        }
        for address in [
            "/reports/../secret.md",
            "/reports/deep/../../secret.md",
            "/reports/link.md",
            "/reports/other.md",
            "/reports/.hidden.md",
            "/reports/a.toml",
            "/reports//a.md",
            "/reports/./a.md",
            "/reports/deep",
            "/reports/",
            "/reports",
            "/secret.md",
            "/folder/9/c.md",
            "/folder/1/deep/e.csv",
            "/reports/a.md/",
            "/reports/a\0.md",
            "/docs/tour.md",
            "/docs/concepts/../tour.md",
        ] {
            assert!(!is_shown(address), "{address}");
        }
        for (from, link, address) in [
            (
                "reports/a.md",
                "../docs/concepts/heads.md#x",
                Some("/docs/concepts/heads.md#x"),
            ),
            ("reports/a.md", "../out/c.md", Some("/folder/1/c.md")),
            ("out/c.md", "../reports/a.md", Some("/reports/a.md")),
            (
                "reports/deep/b.md",
                "../a.results.csv",
                Some("/reports/a.results.csv"),
            ),
            ("docs/concepts/heads.md", "../tour.md", None),
            ("reports/a.md", "../secret.md", None),
            ("reports/a.md", "../../reports/a.md", None),
            ("reports/a.md", "../reports/link.md", None),
            ("reports/a.md", "..%2fdocs/tour.md", None),
        ] {
            let found = folders.address(from, link);
            assert_eq!(found.as_deref(), address, "{from}: {link}");
        }
        let names: Vec<String> = folders
            .reports()
            .into_iter()
            .map(|found| found.name)
            .collect();
        assert_eq!(
            names,
            [
                "reports/a.md",
                "reports/inside.md",
                "out/c.md",
                "reports/deep/b.md"
            ]
        );
        assert_eq!(beside(&base.path().join("reports/a.md")), ["a.results.csv"]);
    }
}
