//! From sections to a checked graph.

mod datasets;
mod extractions;
mod heads;
mod joins;
mod latents;
mod metrics;
mod models;
mod report;

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::axes::Sweeps;
use super::{Absences, DatasetNode, Experiment, ModelNode, warnings};
use crate::imaging::Preprocess;
use crate::limits::MOST_NODES;
use crate::report::ReportConfig;
use crate::report::axes::KnownAxes;
use crate::spec::sections::{self, EXPERIMENT, RawNode, Sections, is_name_character};
use crate::spec::{
    Diagnostic, Diagnostics, Fields, Kind, KindDoc, Source, Table, kind, suggest, sweep,
};

/// Reads and checks an experiment.
///
/// # Errors
/// Every error of the file, each with its place.
pub fn build(source: &Source) -> Result<Experiment, Diagnostics> {
    let (experiment, diagnostics) = read(source);
    if diagnostics.is_empty() {
        Ok(experiment)
    } else {
        Err(diagnostics)
    }
}

/// Reads and checks the models of a file, which need not be an experiment.
///
/// # Errors
/// Every error of the file, but that it has no section `[experiment]`.
pub fn build_models(source: &Source) -> Result<Vec<ModelNode>, Diagnostics> {
    read_part(source).map(|experiment| experiment.models)
}

/// A dataset with the ways in which a file shows its images to networks: how they become squares, and of which side in pixels.
pub type ShownDataset = (DatasetNode, Vec<(Preprocess, usize)>);

/// Reads and checks the datasets of a file, which need not be an experiment.
///
/// # Errors
/// Every error of the file, but that it has no section `[experiment]`.
pub fn build_datasets(source: &Source) -> Result<Vec<ShownDataset>, Diagnostics> {
    let experiment = read_part(source)?;
    let mut shown: Vec<BTreeSet<(Preprocess, usize)>> =
        vec![BTreeSet::new(); experiment.datasets.len()];
    for one in &experiment.extractions {
        let Some(node) = experiment.image_reader(one.model) else {
            continue;
        };
        let model = &node.model;
        if model.imported().is_some() {
            continue;
        }
        let side = model.input().side as usize;
        if let Some(ways) = shown.get_mut(one.dataset) {
            ways.insert((one.preprocess.clone(), side));
            ways.insert((one.test_preprocess.clone(), side));
        }
    }
    let ways = shown.into_iter().map(|ways| ways.into_iter().collect());
    Ok(experiment.datasets.into_iter().zip(ways).collect())
}

fn read_part(source: &Source) -> Result<Experiment, Diagnostics> {
    let (experiment, diagnostics) = read(source);
    let diagnostics = diagnostics.without("spec::missing-section");
    if diagnostics.is_empty() {
        Ok(experiment)
    } else {
        Err(diagnostics)
    }
}

fn read(source: &Source) -> (Experiment, Diagnostics) {
    let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
    let sections = Sections::read(source, &diagnostics);
    let builder = Builder {
        diagnostics: &diagnostics,
        sweeps: Sweeps::of(&sections),
    };
    let mut experiment = builder.experiment(&sections);
    if diagnostics.borrow().is_empty() {
        warnings::find(&sections, &mut experiment);
    }
    (experiment, diagnostics.into_inner().folded())
}

/// All nodes that an experiment has so far.
fn nodes_of(experiment: &Experiment) -> usize {
    [
        experiment.datasets.len(),
        experiment.pretrains.len(),
        experiment.models.len(),
        experiment.samples.len(),
        experiment.extractions.len(),
        experiment.heads.len(),
        experiment.metrics.len(),
        experiment.absent.nodes.len(),
    ]
    .iter()
    .sum()
}

struct Builder<'a> {
    diagnostics: &'a RefCell<Diagnostics>,
    sweeps: Sweeps,
}

impl Builder<'_> {
    fn experiment(&self, sections: &Sections) -> Experiment {
        let (name, title, seeds) = self.header(sections);
        let mut experiment = Experiment {
            title,
            name,
            seeds,
            datasets: Vec::new(),
            pretrains: Vec::new(),
            models: Vec::new(),
            samples: Vec::new(),
            extractions: Vec::new(),
            heads: Vec::new(),
            metrics: Vec::new(),
            absent: Absences::default(),
            report: None,
            warnings: Diagnostics::new(self.diagnostics.borrow().source.clone()),
        };
        let (mut dataset_names, generated) = self.datasets(sections, &mut experiment);
        let (training_names, model_names) =
            self.models(sections, &mut experiment, &dataset_names, &generated);
        let sample_names = self.samples(sections, &mut experiment, &model_names);
        let names = (&mut dataset_names, &sample_names);
        self.generated_datasets(sections, &mut experiment, generated, names);
        let extraction_names =
            self.extractions(sections, &mut experiment, &dataset_names, &model_names);
        let head_names = self.heads(sections, &mut experiment, &extraction_names);
        let known = metrics::Known {
            models: &model_names,
            heads: &head_names,
            extractions: &extraction_names,
        };
        self.metrics(sections, &mut experiment, &known);
        if let Some(report) = &sections.report {
            let fields = self.fields(&report.table, "the report".to_owned(), report);
            let axes = KnownAxes::with(self.sweeps.names());
            experiment.report = ReportConfig::parse(&fields, &experiment.name, &axes);
            if let Some(config) = &experiment.report {
                report::check(config, &experiment, &fields);
                if self.diagnostics.borrow().is_empty() {
                    report::check_results(config, &experiment, &fields);
                }
                for reference in config.references() {
                    let names = match reference.section {
                        "pretrain" => &training_names,
                        "samples" => &sample_names,
                        "dataset" => &dataset_names,
                        _ => &model_names,
                    };
                    names.find(&fields, reference.key, &reference.name);
                }
            }
        }
        experiment
    }

    fn header(&self, sections: &Sections) -> (String, String, Vec<u64>) {
        let Some(header) = &sections.experiment else {
            return (String::new(), String::new(), vec![0]);
        };
        let fields = self.fields(&header.table, "the experiment".to_owned(), header);
        fields.check_keys(&EXPERIMENT.all_keys(), &[]);
        let given = fields.get(&sections::NAME);
        let name = given.clone().unwrap_or_default();
        let misnamed =
            name.is_empty() || name.chars().any(|character| !is_name_character(character));
        if given.is_some() && misnamed {
            fields.invalid(
                sections::NAME.name,
                "spec::bad-name",
                format!("invalid experiment name `{name}`"),
                Some("names are made of letters, digits, `-` and `_`".to_owned()),
            );
        }
        let title = fields.get(&sections::TITLE).unwrap_or_else(|| name.clone());
        let seeds = fields.get(&sections::SEEDS).unwrap_or_default();
        let seeds: Vec<u64> = seeds.into_iter().map(u64::from).collect();
        let repeated = seeds
            .iter()
            .enumerate()
            .find(|(index, seed)| seeds[..*index].contains(seed));
        if let Some((_, seed)) = repeated {
            let message = format!("seed {seed} stands twice in the list of seeds");
            let hint = Some("equal seeds give equal heads, which add nothing".to_owned());
            fields.invalid(sections::SEEDS.name, "spec::out-of-range", message, hint);
        }
        if fields.has(sections::SEEDS.name) && seeds.is_empty() && fields.is_sound() {
            fields.invalid(
                sections::SEEDS.name,
                "sweep::empty",
                "the list of seeds is empty",
                Some("give at least one, such as `[0]`".to_owned()),
            );
        }
        (name, title, seeds)
    }

    /// The kind of a node; reports one that is missing or unknown.
    fn kind<P, M>(
        &self,
        section: &str,
        node: &RawNode,
        all: &[&'static Kind<P, M>],
    ) -> Option<&'static Kind<P, M>> {
        let fields = self.node_fields(&node.table, section, node);
        kind::find(all, section, &fields)
    }

    /// The tables without sweeps of a node. Each becomes a node at least, so they are no more than the experiment has room for.
    fn expand(
        &self,
        experiment: &Experiment,
        node: &RawNode,
        section: &str,
        doc: &KindDoc,
    ) -> Vec<Table> {
        sweep::expand(
            &node.table,
            &doc.all_keys(),
            &format!("{section} `{}`", node.name),
            MOST_NODES.saturating_sub(nodes_of(experiment)),
            self.diagnostics,
        )
    }

    /// Whether an experiment has room for more nodes, `more` of which come from one node of the file; reports it where it has not, with
    /// what they come from beside its sweeps.
    fn has_room(
        &self,
        experiment: &Experiment,
        (node, section, doc): (&RawNode, &str, &KindDoc),
        more: usize,
        beside: &[(String, usize)],
    ) -> bool {
        if nodes_of(experiment).saturating_add(more) <= MOST_NODES {
            return true;
        }
        let mut factors = sweep::factors(&node.table, &node.table, &doc.all_keys());
        factors.extend_from_slice(beside);
        let context = format!("{section} `{}`", node.name);
        self.report(sweep::too_large(&node.table, &context, more, &factors));
        false
    }

    fn node_fields<'t>(&'t self, table: &'t Table, section: &str, node: &RawNode) -> Fields<'t> {
        self.fields(table, format!("{section} `{}`", node.name), node)
    }

    fn fields<'t>(&'t self, table: &'t Table, context: String, node: &RawNode) -> Fields<'t> {
        Fields::new(table, context, node.span, self.diagnostics)
    }

    /// A split of a dataset has to be one that it has, as far as that is known without its files.
    fn check_split(
        experiment: &Experiment,
        dataset: usize,
        (key, split): (&str, &str),
        fields: &Fields<'_>,
    ) {
        let known = experiment.splits_of(dataset).unwrap_or_default();
        if known.is_empty() || known.iter().any(|name| name == split) {
            return;
        }
        let message = format!(
            "{} uses split `{split}`, which dataset `{}` does not have",
            fields.context(),
            experiment.datasets[dataset].name
        );
        let mut hint = suggest::hint(split, known.iter().map(String::as_str));
        if !fields.has(key) {
            hint = hint.map(|hint| format!("set `{key}`: {hint}"));
        }
        fields.invalid(key, "graph::unknown-split", message, hint);
    }

    /// Whether a section may have more nodes than could be read.
    fn may_hide_any(&self, section: &str) -> bool {
        self.diagnostics.borrow().follow_ups.may_hide_any(section)
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }
}
