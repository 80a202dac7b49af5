//! A kind of dataset that is one folder of its owners, with no other key than `root`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Rows, Trim};
use crate::datasets::tree::{Folder, Packed, Tree};
use crate::datasets::{
    Dataset, DatasetError, Environment, Listing, OpenDataset, ROOT, train_and_test,
};
use crate::spec::Fields;

/// What such a kind knows of its folder.
#[derive(Debug, Clone, Copy)]
pub(in crate::datasets) struct ListedKind {
    /// The kind's name.
    pub(in crate::datasets) name: &'static str,
    /// The archives that the owner publishes.
    pub(in crate::datasets) packed: &'static [Packed],
    /// What the lists in a folder name.
    pub(in crate::datasets) rows: fn(&Folder<'_>) -> Result<Rows, DatasetError>,
}

impl ListedKind {
    /// A dataset of this kind in a folder, which need not exist yet.
    pub(in crate::datasets) fn at(&self, root: impl Into<PathBuf>) -> Listed {
        Listed {
            kind: *self,
            root: root.into(),
        }
    }

    /// Reads a node's table.
    pub(in crate::datasets) fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
        Some(Arc::new(self.at(fields.get(&ROOT)?)))
    }
}

/// Such a dataset, as declared.
#[derive(Debug)]
pub(in crate::datasets) struct Listed {
    kind: ListedKind,
    root: PathBuf,
}

impl Listed {
    /// The images with their classes and splits, as the lists have them.
    pub(in crate::datasets) fn rows(
        &self,
        environment: &Environment<'_>,
    ) -> Result<Rows, DatasetError> {
        let tree = Tree::open(&self.root, self.kind.packed, environment)?;
        (self.kind.rows)(&tree.root())
    }
}

impl Dataset for Listed {
    fn kind(&self) -> &'static str {
        self.kind.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        Some(train_and_test())
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        self.rows(environment)?
            .open(Trim::NONE, environment.digester)
    }

    fn listed(&self, environment: &Environment<'_>) -> Option<Result<Listing, DatasetError>> {
        Some(self.rows(environment).map(|rows| rows.listing()))
    }
}
