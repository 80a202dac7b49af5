//! Names: from what was typed to the nodes that are meant.

use crate::spec::fields::Spanned;
use crate::spec::{Diagnostic, Fields, suggest};

/// The nodes of one section by name. A swept node has several instances.
#[derive(Debug, Default)]
pub(super) struct Names {
    section: &'static str,
    entries: Vec<(String, Vec<usize>)>,
}

impl Names {
    pub(super) fn new(section: &'static str) -> Self {
        Self {
            section,
            entries: Vec::new(),
        }
    }

    /// Declares a name, even one whose node turned out wrong: a reference to it is not a second error.
    pub(super) fn declare(&mut self, name: &str) {
        if !self.entries.iter().any(|(known, _)| known == name) {
            self.entries.push((name.to_owned(), Vec::new()));
        }
    }

    pub(super) fn add(&mut self, name: &str, index: usize) {
        self.declare(name);
        if let Some((_, indices)) = self.entries.iter_mut().find(|(known, _)| known == name) {
            indices.push(index);
        }
    }

    /// The instances of a name that a key refers to; reports a name that is not there.
    pub(super) fn find(
        &self,
        fields: &Fields<'_>,
        key: &str,
        name: &Spanned<String>,
    ) -> Vec<usize> {
        if let Some((_, indices)) = self.entries.iter().find(|(known, _)| *known == name.value) {
            return indices.clone();
        }
        let known = self.entries.iter().map(|(name, _)| name.as_str());
        let hint = suggest::hint(&name.value, known)
            .unwrap_or_else(|| format!("add `[{}.{}]`", self.section, name.value));
        fields.report(
            Diagnostic::new(
                "graph::missing-node",
                name.span,
                format!(
                    "`{key}` of {} names the {} `{}`, which does not exist",
                    fields.context(),
                    self.section,
                    name.value
                ),
                "no such node",
            )
            .hint(hint),
        );
        Vec::new()
    }
}
