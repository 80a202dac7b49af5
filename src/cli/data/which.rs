//! Which datasets a command is about: those of a file, some of them by name, or one folder of a kind without any file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::bug::Bug;
use crate::cli::Context;
use crate::cli::exit::Failure;
use crate::cli::experiment;
use crate::datasets::{DatasetError, Environment, OpenDataset};
use crate::graph::{self, DatasetNode};
use crate::imaging::Preprocess;
use crate::inputs::Reading;
use crate::message::Message;
use crate::papers::table_5::{self, PaperRow};
use crate::spec::{Source, suggest};
use crate::store::Store;

/// The arguments that say which datasets.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// An experiment file, or any with [dataset.*] tables.
    #[arg(
        value_name = "FILE",
        required_unless_present = "kind",
        conflicts_with_all = ["kind", "root"]
    )]
    file: Option<PathBuf>,
    /// Datasets of the file; all of them if not given.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A kind, instead of a file; `repro list kinds` shows which there are.
    #[arg(long, value_name = "KIND", requires = "root")]
    kind: Option<String>,
    /// The root of a dataset of that kind.
    #[arg(long, value_name = "FOLDER", requires = "kind")]
    root: Option<String>,
}

/// The datasets of a file, or the one that the arguments declare.
pub(super) struct Chosen {
    /// All datasets of the file: a chosen one may be made from another.
    pub(super) nodes: Vec<DatasetNode>,
    /// How the file shows the images of each to networks, and the sides of the squares in pixels.
    pub(super) shown: Vec<Vec<(Preprocess, usize)>>,
    /// The chosen ones, as indices into `nodes`.
    pub(super) indices: Vec<usize>,
}

impl Which {
    /// Reads the file, or the arguments as if they were one.
    pub(super) fn choose(&self) -> Result<Chosen, Failure> {
        let source = match (&self.file, &self.kind, &self.root) {
            (Some(file), _, _) => experiment::read(file)?,
            (None, kind, root) => {
                let quoted = |text: &Option<String>| {
                    toml::Value::String(text.clone().unwrap_or_default()).to_string()
                };
                let text = format!(
                    "[dataset.data]\nkind = {}\nroot = {}\n",
                    quoted(kind),
                    quoted(root)
                );
                Source::new("the arguments".to_owned(), text)
            }
        };
        let found = graph::build_datasets(&source).map_err(|diagnostics| Failure::Diagnostics {
            rendered: experiment::rendered(&diagnostics),
            summary: experiment::summary(&diagnostics),
        })?;
        let (nodes, shown): (Vec<DatasetNode>, Vec<_>) = found.into_iter().unzip();
        if nodes.is_empty() {
            let name = &source.name;
            return Err(Failure::Usage(
                Message::new(format!("{name} has no dataset"))
                    .hint("name a file with a `[dataset.*]` table"),
            ));
        }
        let known: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        if let Some(name) = self
            .names
            .iter()
            .find(|name| !known.contains(name.as_str()))
        {
            let all: Vec<_> = known.iter().copied().collect();
            let hint = suggest::hint(name, known.iter().copied())
                .unwrap_or_else(|| format!("its datasets are {}", all.join(", ")));
            return Err(Failure::Usage(
                Message::new(format!("{} has no dataset `{name}`", source.name)).hint(hint),
            ));
        }
        let is_chosen =
            |node: &DatasetNode| self.names.is_empty() || self.names.contains(&node.name);
        let chosen = (0..nodes.len()).filter(|index| is_chosen(&nodes[*index]));
        Ok(Chosen {
            indices: chosen.collect(),
            nodes,
            shown,
        })
    }
}

impl Chosen {
    /// Opens one of the datasets, and those that it is made from.
    pub(super) fn open(
        &self,
        environment: &Environment<'_>,
        index: usize,
    ) -> Result<Arc<OpenDataset>, DatasetError> {
        let node = self.nodes.get(index).ok_or_else(|| {
            DatasetError::Selection("a dataset is made from one that is not there".into())
        })?;
        let upstream = node.upstream.map(|index| self.open(environment, index));
        let open = node.dataset.open(environment, upstream.transpose()?);
        open.map(Arc::new)
    }
}

/// What the datasets are opened with. What is remembered is written where the cache can be.
pub(super) fn reading(context: &Context) -> Result<Reading<'_>, Failure> {
    let store = Store::open_read_only(&context.cache)?;
    Ok(Reading::new(&context.base, &store, &|message| {
        say!("{message}");
    }))
}

/// Table 5 of the paper.
pub(super) fn table_5() -> Result<Vec<PaperRow>, Failure> {
    table_5::table_5().map_err(|error| {
        Bug::new(format!(
            "data/table-5.toml, built into the program: {error}"
        ))
        .into()
    })
}

/// A bar on stderr over so many images; where that is no terminal, nothing is shown.
pub(super) fn bar(title: &str, images: usize) -> ProgressBar {
    let bar = ProgressBar::new(images as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} images, {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    bar
}
