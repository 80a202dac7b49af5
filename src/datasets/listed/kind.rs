//! A kind of dataset that is one folder of its owners, with no other key than `root`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Rows, Trim};
use crate::datasets::tree::{Folder, Packed, Tree};
use crate::datasets::{Dataset, DatasetError, DatasetKind, Environment, Listing, OpenDataset};
use crate::spec::{Fields, KindDoc};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in crate::datasets) struct ListedKind {
    /// What the kind says of itself; `root` is its one key.
    pub(in crate::datasets) doc: &'static KindDoc,
    /// The archives that the owner publishes.
    pub(in crate::datasets) packed: &'static [Packed],
    /// What the lists in a folder name.
    pub(in crate::datasets) rows: fn(&Folder<'_>) -> Result<Rows, DatasetError>,
}

impl ListedKind {
    /// The dataset in a folder.
    pub(in crate::datasets) fn at(&self, root: impl Into<PathBuf>) -> Listed {
        Listed {
            kind: *self,
            root: root.into(),
        }
    }
}

impl DatasetKind for ListedKind {
    fn doc(&self) -> &'static KindDoc {
        self.doc
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
        let root = fields.text("root")?;
        Some(Arc::new(self.at(root.value)))
    }
}

/// Such a dataset, as declared.
#[derive(Debug)]
pub(in crate::datasets) struct Listed {
    kind: ListedKind,
    root: PathBuf,
}

impl Listed {
    /// What the lists name.
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
        self.kind.doc.name
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
