//! Which datasets a command is about: those of a file, some of them by name, or one folder of a kind without any file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use crate::bug::Bug;
use crate::cli::Context;
use crate::cli::exit::Failure;
use crate::cli::experiment;
use crate::cli::meter::{Meter, Unit};
use crate::cli::overrides::Overrides;
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
            (Some(file), _, _) => experiment::read(file, &Overrides::default())?,
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

/// Work over so many images, counted from several threads: a bar on a terminal, a line now and then elsewhere.
pub(super) fn bar(title: &str, images: usize) -> Counting {
    let meter = Meter::new(Unit::Things("images"), 0, Some(images as u64), title, None);
    Counting {
        title: title.to_owned(),
        meter: Mutex::new(meter),
    }
}

/// See [`bar`].
pub(super) struct Counting {
    title: String,
    meter: Mutex<Meter>,
}

impl Counting {
    /// So many more were looked at.
    pub(super) fn inc(&self, step: u64) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) = meter.advance(step) {
            say!("  {}: {numbers}", self.title);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish_and_clear(&self) {
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.end();
    }
}
