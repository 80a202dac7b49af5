//! Names: from what was typed to the nodes that are meant.

use std::collections::HashMap;

use crate::spec::fields::Spanned;
use crate::spec::{Diagnostic, Fields, suggest};

/// The nodes of one section by name. A swept node has several instances.
#[derive(Debug, Default)]
pub(super) struct Names {
    section: &'static str,
    /// Names in the order of the file, each with its instances.
    entries: Vec<(String, Vec<usize>)>,
    places: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new(section: &'static str) -> Self {
        Self {
            section,
            ..Self::default()
        }
    }

    /// Declares a name, even one whose node turned out wrong: a reference to it is not a second error.
    pub(super) fn declare(&mut self, name: &str) {
        self.instances(name);
    }

    pub(super) fn add(&mut self, name: &str, index: usize) {
        self.instances(name).push(index);
    }

    fn instances(&mut self, name: &str) -> &mut Vec<usize> {
        let place = if let Some(place) = self.places.get(name) {
            *place
        } else {
            let place = self.entries.len();
            self.places.insert(name.to_owned(), place);
            self.entries.push((name.to_owned(), Vec::new()));
            place
        };
        &mut self.entries[place].1
    }

    /// How many instances a name has; none where it is not there.
    pub(super) fn count(&self, name: &str) -> usize {
        let place = self.places.get(name);
        place.map_or(0, |place| self.entries[*place].1.len())
    }

    /// The instances of a name that a key refers to; reports a name that is not there.
    pub(super) fn find(
        &self,
        fields: &Fields<'_>,
        key: &str,
        name: &Spanned<String>,
    ) -> Vec<usize> {
        if let Some(place) = self.places.get(&name.value) {
            return self.entries[*place].1.clone();
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
