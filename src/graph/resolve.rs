//! Names: from what was typed to the nodes that are meant.

use std::collections::HashMap;

use crate::models;
use crate::spec::fields::Spanned;
use crate::spec::sections::is_name_character;
use crate::spec::{Diagnostic, Fields, Sections, suggest};

/// The nodes of one section by name. A swept node has several instances.
#[derive(Debug, Default)]
pub(super) struct Names {
    section: &'static str,
    /// Names in the order of the file, each with its instances.
    entries: Vec<(String, Vec<usize>)>,
    places: HashMap<String, usize>,
    /// Nodes that are absent, as indices into those of the experiment.
    absent: HashMap<String, Vec<usize>>,
    /// The names of the other sections, each with its section.
    elsewhere: Vec<(&'static str, String)>,
}

impl Names {
    /// No names yet of a section; those of the others are known from the file.
    pub(super) fn new(section: &'static str, sections: &Sections) -> Self {
        let named = sections.named().into_iter();
        let elsewhere = named.filter(|(other, _)| *other != section);
        Self {
            section,
            elsewhere: elsewhere
                .map(|(other, name)| (other, name.to_owned()))
                .collect(),
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

    /// Adds a node that stays out of the plan.
    pub(super) fn add_absent(&mut self, name: &str, index: usize) {
        self.absent.entry(name.to_owned()).or_default().push(index);
    }

    /// The instances of a name; none where it is not there, which is no error here.
    pub(super) fn there(&self, name: &str) -> &[usize] {
        let place = self.places.get(name);
        place.map_or(&[], |place| self.entries[*place].1.as_slice())
    }

    /// The nodes of a name that stay out of the plan.
    pub(super) fn absent(&self, name: &str) -> &[usize] {
        self.absent.get(name).map_or(&[], Vec::as_slice)
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

    /// How many instances a name has, with those that are absent; none where the name is not there.
    pub(super) fn count(&self, name: &str) -> usize {
        self.there(name).len() + self.absent(name).len()
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
        if fields.may_hide(self.section, &name.value) {
            return Vec::new();
        }
        let hint = self.hint(&name.value);
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

    /// What may be meant by a name that is not there.
    fn hint(&self, name: &str) -> String {
        let section = self.section;
        let known = || self.entries.iter().map(|(name, _)| name.as_str());
        let listed = || match known().map(|name| format!("`{name}`")).collect::<Vec<_>>() {
            none if none.is_empty() => format!("add `[{section}.NAME]`"),
            some => format!("of section `{section}` there is {}", some.join(", ")),
        };
        if let Some((_, bare)) = name
            .split_once('.')
            .filter(|(before, _)| *before == section)
        {
            return format!("write the name alone: `{bare}`");
        }
        if let Some((other, _)) = self.elsewhere.iter().find(|(_, other)| other == name) {
            let article = if other.starts_with('e') { "an" } else { "a" };
            return format!("`{name}` is {article} {other}; {}", listed());
        }
        if section == "model" && models::preset(name).is_some() {
            return format!(
                "`{name}` is a preset: write `[model.NAME]` with `preset = \"{name}\"`, and that name here"
            );
        }
        if name.contains(['/', '\\']) || name.starts_with('~') {
            return format!(
                "a path is written in the `[{section}.NAME]` that is named here; {}",
                listed()
            );
        }
        suggest::hint(name, known()).unwrap_or_else(|| {
            // A name that cannot be one would be the next error.
            if name.chars().all(is_name_character) {
                format!("add `[{section}.{name}]`")
            } else {
                format!("add `[{section}.NAME]`")
            }
        })
    }
}
