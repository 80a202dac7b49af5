//! Extractions of the graph: one for each combination of swept keys, models, datasets and blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Builder;
use crate::graph::announced::AbsentNode;
use crate::graph::axes::{Axes, axis_value};
use crate::graph::imported::Beside;
use crate::graph::resolve::Names;
use crate::graph::{Experiment, ExtractionNode, extraction};
use crate::spec::sections::Sections;
use crate::spec::{Diagnostic, Fields, Table, Value};

/// The axis of a swept `class`.
const CLASS_AXIS: &str = "extraction_class";

impl Builder<'_> {
    pub(super) fn extractions(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        all_datasets: &Names,
        all_models: &Names,
    ) -> Names {
        let mut names = Names::new("extraction", sections);
        for node in &sections.extractions {
            names.declare(&node.name);
            let before = experiment.extractions.len();
            let tables = self.expand(experiment, node, "extraction", &extraction::DOC);
            let beside = Beside::of(&tables, &experiment.models);
            let of = (node, "extraction", &extraction::DOC);
            // A model without noise gives the same features at every timestep of a sweep.
            let mut seen = BTreeSet::new();
            'tables: for table in tables {
                let fields = self.node_fields(&table, "extraction", node);
                check_keys(&fields, all_models);
                let swept = self
                    .sweeps
                    .said("extraction", &table, &extraction::DOC.all_keys());
                let named = (
                    fields.located(&extraction::MODEL),
                    fields.located(&extraction::DATASET),
                );
                let model = named.0.as_ref();
                let model =
                    model.map(|name| all_models.find(&fields, extraction::MODEL.name, name));
                let dataset = named.1.as_ref();
                let dataset =
                    dataset.map(|name| all_datasets.find(&fields, extraction::DATASET.name, name));
                let (models, datasets) = (model.unwrap_or_default(), dataset.unwrap_or_default());
                if let (Some(model), Some(dataset)) = &named {
                    let absent = match all_models.absent(&model.value) {
                        // What needs two kinds waits for that of its model.
                        [] => all_datasets.absent(&dataset.value),
                        of_model => of_model,
                    };
                    if !self.has_room(experiment, of, absent.len(), &[]) {
                        break 'tables;
                    }
                    let mut axes = typed_axes(&table);
                    axes.insert("extraction".to_owned(), node.name.as_str().into());
                    axes.extend(swept.axes());
                    for &needed in absent {
                        let index = experiment.absent.put(AbsentNode {
                            section: "extraction",
                            name: node.name.clone(),
                            needs: experiment.absent.nodes[needed].needs,
                            reads: vec![
                                ("model", model.value.clone()),
                                ("dataset", dataset.value.clone()),
                            ],
                            axes: axes.clone(),
                        });
                        names.add_absent(&node.name, index);
                    }
                }
                if models.is_empty() || datasets.is_empty() {
                    extraction::check(&fields);
                }
                // Without a dataset nothing can be made of it, but what does not fit the model is still an error.
                let made_for_nothing = datasets.is_empty();
                for &model_index in &models {
                    let model = Arc::clone(&experiment.models[model_index].model);
                    let reader = experiment.image_reader(model_index);
                    let reader =
                        reader.map_or_else(|| Arc::clone(&model), |one| Arc::clone(&one.model));
                    for &dataset in if made_for_nothing {
                        &[0][..]
                    } else {
                        &datasets
                    } {
                        let place = extraction::Place {
                            dataset,
                            model: model_index,
                            beside,
                        };
                        let parsed =
                            extraction::parse(&fields, &node.name, place, (&*model, &*reader));
                        let beside = [
                            ("models".to_owned(), models.len()),
                            ("datasets".to_owned(), datasets.len()),
                            ("blocks".to_owned(), parsed.len()),
                        ];
                        if !self.has_room(experiment, of, parsed.len(), &beside) {
                            experiment.extractions.truncate(before);
                            break 'tables;
                        }
                        for mut extraction in parsed {
                            extraction.swept = swept.clone();
                            if extraction.class.is_none() {
                                // The key is for another model of the same table.
                                extraction.swept.0.retain(|(axis, _)| axis != CLASS_AXIS);
                            }
                            if !made_for_nothing && seen.insert(extraction.clone()) {
                                names.add(&node.name, experiment.extractions.len());
                                experiment.extractions.push(extraction);
                            }
                        }
                    }
                }
            }
        }
        self.check_batch_sizes(sections, &experiment.extractions);
        names
    }

    /// One pass has one batch size: extractions that share a pass may not ask for two.
    fn check_batch_sizes(&self, sections: &Sections, extractions: &[ExtractionNode]) {
        let mut by_name: BTreeMap<&str, BTreeSet<Option<u32>>> = BTreeMap::new();
        for extraction in extractions {
            let sizes = by_name.entry(&extraction.name).or_default();
            sizes.insert(extraction.batch_size);
        }
        for node in &sections.extractions {
            let Some(sizes) = by_name.get(node.name.as_str()) else {
                continue;
            };
            if sizes.len() > 1 {
                let span = node
                    .table
                    .get("batch_size")
                    .map_or(node.span, |entry| entry.node.span);
                self.report(
                    Diagnostic::new(
                        "graph::batch-size-sweep",
                        span,
                        format!("extraction `{}` sweeps over its batch size", node.name),
                        "more than one value",
                    )
                    .hint("features do not depend on the batch size: give one"),
                );
            }
        }
    }
}

/// Reports what is wrong with the keys of a table. Of an announced model nobody knows yet whether it has more than one block.
fn check_keys(fields: &Fields<'_>, models: &Names) {
    let mut keys = extraction::DOC.all_keys();
    let model = fields.raw(extraction::MODEL.name).map(|node| &node.value);
    let is_announced = matches!(model, Some(Value::Text(name)) if !models.absent(name).is_empty());
    if is_announced {
        keys.retain(|key| key.name() != extraction::BLOCK.name);
        fields.check_keys(&keys, &[extraction::BLOCK.name]);
    } else {
        fields.check_keys(&keys, &[]);
    }
}

/// The axes that the table of an extraction states itself, where nobody knows what its model makes of the others.
fn typed_axes(table: &Table) -> Axes {
    let axis = |key: &str| {
        let known = [
            "model",
            "dataset",
            "timestep",
            "block",
            "pool",
            "token",
            "precision",
            "view",
            "draw",
        ];
        match key {
            "seed" => Some("noise_seed".to_owned()),
            key => known.contains(&key).then(|| key.to_owned()),
        }
    };
    let entries = table.entries.iter();
    // `block = "all"` and `pool = "none"` name no value.
    let is_value = |value: &Value| match value {
        Value::Text(text) => text != "all" && text != "none",
        value => matches!(value, Value::Integer(_)),
    };
    entries
        .filter(|entry| is_value(&entry.node.value))
        .filter_map(|entry| Some((axis(&entry.key)?, axis_value(&entry.node.value))))
        .collect()
}
