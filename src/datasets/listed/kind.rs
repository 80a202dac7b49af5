//! A kind of dataset that is one folder of its owners, with no other key than `root`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Rows, Trim};
use crate::datasets::{Dataset, DatasetError, DatasetKind, Digester, Listing, OpenDataset};
use crate::spec::{Fields, KindDoc};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in crate::datasets) struct ListedKind {
    /// What the kind says of itself; `root` is its one key.
    pub(in crate::datasets) doc: &'static KindDoc,
    /// What the lists in a folder name.
    pub(in crate::datasets) rows: fn(&Path) -> Result<Rows, DatasetError>,
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

impl Dataset for Listed {
    fn kind(&self) -> &'static str {
        self.kind.doc.name
    }

    fn open(
        &self,
        base: &Path,
        _upstream: Option<Arc<OpenDataset>>,
        digester: &dyn Digester,
    ) -> Result<OpenDataset, DatasetError> {
        (self.kind.rows)(&base.join(&self.root))?.open(Trim::NONE, digester)
    }

    fn listed(&self, base: &Path) -> Option<Result<Listing, DatasetError>> {
        let rows = (self.kind.rows)(&base.join(&self.root));
        Some(rows.map(|rows| rows.listing()))
    }
}
