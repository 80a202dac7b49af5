//! Models, the trainings that their weights come from, and the samples that are taken from them.

use std::sync::Arc;

use super::Builder;
use super::datasets::Declared;
use super::latents;
use crate::graph::announced::{self, AbsentNode};
use crate::graph::axes::Axes;
use crate::graph::resolve::Names;
use crate::graph::{Experiment, ModelNode, PretrainNode, SamplesNode, pretrain, samples};
use crate::models::declaration::WEIGHTS;
use crate::models::kinds::import::FEATURES;
use crate::models::{self, WeightsSource};
use crate::spec::fields::Spanned;
use crate::spec::sections::Sections;
use crate::spec::{Diagnostic, Fields};

impl Builder<'_> {
    /// The models, with the trainings that they take their weights from; the names of both.
    pub(super) fn models(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        datasets: &Names,
        generated: &[Declared],
    ) -> (Names, Names) {
        let mut names = Names::new("model", sections);
        let mut trainings = Names::new("pretrain", sections);
        for node in &sections.pretrains {
            trainings.declare(&node.name);
        }
        let mut used = Vec::new();
        // A model that cannot be read may be the one that uses a training.
        let mut all_read = !self.may_hide_any("model");
        for node in &sections.models {
            names.declare(&node.name);
        }
        for node in latents::behind_autoencoders(&sections.models) {
            if let Some(needs) = announced::named("model", &node.table) {
                let index = experiment.absent.put(AbsentNode {
                    section: "model",
                    name: node.name.clone(),
                    needs,
                    reads: Vec::new(),
                    axes: Axes::from([("model".to_owned(), node.name.as_str().into())]),
                });
                names.add_absent(&node.name, index);
                // It may be the one that uses a training.
                all_read = false;
                continue;
            }
            let Some(kind) = self.kind("model", node, models::ALL) else {
                all_read = false;
                continue;
            };
            let tables = self.expand(experiment, node, "model", &kind.doc);
            all_read &= !tables.is_empty();
            for table in tables {
                let fields = self.node_fields(&table, "model", node);
                let Some(model) = kind.read(&fields) else {
                    all_read = false;
                    continue;
                };
                let keys = kind.doc.all_keys();
                let swept = self.sweeps.said("model", &table, &keys);
                let swept_weights = self.sweeps.said_of_weights(&table, &keys);
                let mut sources = vec![None];
                if let WeightsSource::Pretrained(training) = model.weights() {
                    let span = fields.span_of(WEIGHTS.name);
                    let value = training.clone();
                    used.push(value.clone());
                    trainings.find(&fields, WEIGHTS.name, &Spanned { value, span });
                    let known = (datasets, generated);
                    sources = self.pretrains(sections, experiment, known, &*model);
                    if sources.is_empty() {
                        // An error in the training, which is reported already; what hangs on the model is looked at all the same.
                        sources.push(None);
                    }
                }
                let autoencoder = latents::autoencoder(&fields, experiment, &names, &*model);
                let Ok(autoencoder) = autoencoder else {
                    all_read = false;
                    continue;
                };
                for pretrain in sources {
                    let index = experiment.models.len();
                    if let Some(training) =
                        pretrain.and_then(|index| experiment.pretrains.get_mut(index))
                    {
                        training.model = index;
                    }
                    names.add(&node.name, index);
                    experiment.models.push(ModelNode {
                        name: node.name.clone(),
                        model: Arc::clone(&model),
                        place: fields.span_of(match model.imported() {
                            Some(_) => FEATURES.name,
                            None => WEIGHTS.name,
                        }),
                        pretrain,
                        autoencoder,
                        swept: swept.clone(),
                        swept_weights: swept_weights.clone(),
                    });
                }
            }
        }
        for node in &sections.pretrains {
            if all_read && !used.contains(&node.name) {
                self.report(
                    Diagnostic::new(
                        "graph::unused-pretrain",
                        node.span,
                        format!("no model takes its weights from pretrain `{}`", node.name),
                        "not used",
                    )
                    .hint(format!(
                        "write `weights = {{ pretrain = \"{}\" }}` in the model that it trains",
                        node.name
                    )),
                );
            }
        }
        (trainings, names)
    }

    /// The trainings of a model by the section that it names, one for each dataset and combination of swept keys; their indices.
    fn pretrains(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        (datasets, generated): (&Names, &[Declared]),
        model: &dyn models::Model,
    ) -> Vec<Option<usize>> {
        let mut indices = Vec::new();
        let WeightsSource::Pretrained(name) = model.weights() else {
            return indices;
        };
        for node in sections.pretrains.iter().filter(|node| node.name == *name) {
            let keys = pretrain::DOC.all_keys();
            for table in self.expand(experiment, node, "pretrain", &pretrain::DOC) {
                let fields = self.node_fields(&table, "pretrain", node);
                fields.check_keys(&keys, &[]);
                let swept = self.sweeps.said("pretrain", &table, &keys);
                // Both are read whatever becomes of the other, so that all errors are found in one go.
                // The model's own index is known once its place in the list is.
                let parsed = pretrain::parse(&fields, &node.name, (0, 0), model);
                let dataset = fields.located(&pretrain::DATASET);
                let made = dataset
                    .as_ref()
                    .filter(|dataset| generated.iter().any(|one| one.name == dataset.value));
                if let Some(dataset) = made {
                    fields.invalid(
                        pretrain::DATASET.name,
                        "graph::dataset-misfit",
                        format!(
                            "{} cannot train on dataset `{}`, whose images a network of this experiment makes",
                            fields.context(),
                            dataset.value
                        ),
                        Some("train on a dataset of files; `repro cache export` writes samples into one".to_owned()),
                    );
                }
                let datasets =
                    dataset.map(|dataset| datasets.find(&fields, pretrain::DATASET.name, &dataset));
                for dataset in datasets.unwrap_or_default() {
                    if let Some(parsed) = &parsed {
                        let split = (pretrain::SPLIT.name, parsed.split.as_str());
                        Self::check_split(experiment, dataset, split, &fields);
                        indices.push(Some(experiment.pretrains.len()));
                        experiment.pretrains.push(PretrainNode {
                            dataset,
                            swept: swept.clone(),
                            ..parsed.clone()
                        });
                    }
                }
            }
        }
        indices
    }

    pub(super) fn samples(
        &self,
        sections: &Sections,
        experiment: &mut Experiment,
        models: &Names,
    ) -> Names {
        let mut names = Names::new("samples", sections);
        for node in &sections.samples {
            names.declare(&node.name);
            for table in self.expand(experiment, node, "samples", &samples::DOC) {
                let fields = self.node_fields(&table, "samples", node);
                fields.check_keys(&samples::DOC.all_keys(), &[]);
                let swept = self
                    .sweeps
                    .said("samples", &table, &samples::DOC.all_keys());
                let Some(model) = fields.located(&samples::MODEL) else {
                    continue;
                };
                let classifier = fields.located(&samples::CLASSIFIER);
                let named = std::iter::once(&model).chain(&classifier);
                for (name, &needed) in named.flat_map(|name| {
                    let absent = models.absent(&name.value).iter();
                    absent.map(move |needed| (name, needed))
                }) {
                    let index = experiment.absent.put(AbsentNode {
                        section: "samples",
                        name: node.name.clone(),
                        needs: experiment.absent.nodes[needed].needs,
                        reads: vec![("model", name.value.clone())],
                        axes: Axes::new(),
                    });
                    names.add_absent(&node.name, index);
                }
                let Ok(classifier) = self.classifier(&fields, classifier.as_ref(), models) else {
                    continue;
                };
                for index in models.find(&fields, samples::MODEL.name, &model) {
                    let model = Arc::clone(&experiment.models[index].model);
                    let leads = classifier.map(|index| (index, &*experiment.models[index].model));
                    let model = (index, &*model);
                    if let Some(parsed) = samples::parse(&fields, &node.name, model, leads) {
                        names.add(&node.name, experiment.samples.len());
                        experiment.samples.push(SamplesNode {
                            swept: swept.clone(),
                            ..parsed
                        });
                    }
                }
            }
        }
        names
    }

    /// The one model that leads samples, by its index; `None` where none is named. What is wrong is reported.
    fn classifier(
        &self,
        fields: &Fields<'_>,
        named: Option<&Spanned<String>>,
        models: &Names,
    ) -> Result<Option<usize>, ()> {
        let Some(named) = named else {
            return Ok(None);
        };
        match models
            .find(fields, samples::CLASSIFIER.name, named)
            .as_slice()
        {
            [] => Err(()),
            [one] => Ok(Some(*one)),
            several => {
                let count = several.len();
                self.report(
                    Diagnostic::new(
                        "graph::model-misfit",
                        named.span,
                        format!(
                            "the classifier of {} is model `{}`, of which there are {count}",
                            fields.context(),
                            named.value
                        ),
                        "more than one",
                    )
                    .hint("lead samples by one model: give each value that it sweeps over a model of its own"),
                );
                Err(())
            }
        }
    }
}
