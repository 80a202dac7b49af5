//! SGD with momentum and weight decay against `torch.optim.SGD`: three heads that torch trains one by one, here in one stack,
//! through the trainer that a run uses.
//!
//! Data, oracle and tolerances: `tests/golden/heads/README.md`. The tolerances here are the ones written there and are never
//! widened.

use std::sync::Arc;

use repro::checked_file::CheckedFile;
use repro::heads::{FeatureShape, Head, Mode, Parameter, ParameterForm};
use repro::models::checkpoint::synthetic;
use repro::trainer::heads::{
    CheckpointStore, Data, Job, Limits, Outcome, RowsInMemory, WriteTo, train,
};
use repro::trainer::{Decay, Optimizer, Schedule, TrainError, Training, UpdateRule};
use safetensors::SafeTensors;
use serde_json::Value;
use tch::{Device, Tensor};

use crate::fixture::root;
use crate::golden_heads::{CLASSES, Golden, LAST_LOGITS, LOSS, NORM, WEIGHT_SEED, parse};

/// A head that begins with the parameters of the golden runs.
#[derive(Debug)]
struct Begun(Arc<dyn Head>);

impl Head for Begun {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn identity(&self) -> Value {
        self.0.identity()
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        self.0.parameters(shape, classes)
    }

    fn initial(&self, shape: FeatureShape, classes: usize, seed: u64) -> Vec<Parameter> {
        let forms = self.parameters(shape, classes).into_iter();
        forms
            .map(|form| Parameter {
                values: synthetic::fill(&form.name, &form.shape, WEIGHT_SEED),
                ..form.begin(seed)
            })
            .collect()
    }

    fn forward(&self, parameters: &[Tensor], features: &Tensor, mode: Mode) -> Tensor {
        self.0.forward(parameters, features, mode)
    }
}

struct Nowhere;

impl CheckpointStore for Nowhere {
    fn newest(&self, _at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        Ok(None)
    }

    fn write(&self, _epochs: u32, _write: WriteTo<'_>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// The 64 golden samples behind a pool, as a split.
fn split(golden: &Golden, pool: i64) -> RowsInMemory {
    let labels = Vec::<i64>::try_from(&golden.tensors["labels"]).unwrap();
    let values = golden.features(pool).flatten(0, -1);
    RowsInMemory {
        ids: (0..labels.len()).map(|row| row.to_string()).collect(),
        labels: labels.iter().map(|&one| one.try_into().unwrap()).collect(),
        views: vec![Vec::try_from(values).unwrap()],
    }
}

/// Trains a head with each of the golden rates, all at once.
fn trained(node: &str, pool: i64, runs: &[Value], golden: &Golden, momentum: f64) -> Vec<Outcome> {
    let head = Begun(parse(node));
    let rows = split(golden, pool);
    let data = Data {
        train: &rows,
        judged: None,
        test: &rows,
        shape: FeatureShape::square(32, usize::try_from(pool).unwrap()),
        classes: CLASSES,
        device: Device::Cpu,
    };
    let training = |run: &Value| Training {
        // A batch is the whole split, so an epoch is a step.
        epochs: u32::try_from(run["losses"].as_array().unwrap().len()).unwrap(),
        batch_size: u32::try_from(rows.ids.len()).unwrap(),
        optimizer: Optimizer {
            kind: UpdateRule::Sgd,
            lr: run["learning_rate"].as_f64().unwrap(),
            momentum: Some(momentum),
            weight_decay: run["weight_decay"].as_f64().unwrap(),
            ..Optimizer::default()
        },
        schedule: Schedule {
            decay: Decay::Constant,
            warmup: 0,
        },
        logits: true,
        ..Training::default()
    };
    let trainings: Vec<Training> = runs.iter().map(training).collect();
    let jobs: Vec<Job<'_>> = trainings
        .iter()
        .map(|training| Job {
            head: &head,
            training,
            seed: 0,
            name: "golden",
        })
        .collect();
    let limits = Limits {
        memory: 1 << 30,
        device_memory: None,
        keep_going: &|| true,
        epoch_done: &|_| {},
        checkpoint_seconds: f64::INFINITY,
    };
    let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
    train(&jobs, &data, &limits, &Nowhere, &mut |job, outcome| {
        outcomes[job] = Some(outcome?);
        Ok::<(), TrainError>(())
    })
    .unwrap();
    outcomes.into_iter().map(Option::unwrap).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_run(context: &str, outcome: &Outcome, run: &Value) {
    let losses = numbers(&run["losses"]);
    assert_eq!(outcome.epochs.len(), losses.len(), "{context}");
    for (epoch, wanted) in outcome.epochs.iter().zip(losses) {
        let found = epoch.train_loss;
        assert!(
            (found - wanted).abs() < LOSS,
            "{context}, step {}: loss {found}, not {wanted}",
            epoch.epoch
        );
    }
    let weights = SafeTensors::deserialize(&outcome.weights).unwrap();
    let norms = run["param_norms_after"].as_object().unwrap();
    assert_eq!(weights.len(), norms.len(), "{context}");
    for (name, wanted) in norms {
        let tensor = weights.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(4);
        let squares =
            values.map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())).powi(2));
        let (found, wanted) = (squares.sum::<f64>().sqrt(), wanted.as_f64().unwrap());
        assert!(
            (found - wanted).abs() / wanted < NORM,
            "{context}: {name} has {found}, not {wanted}"
        );
    }
    let (found, wanted) = (
        outcome.logits.as_ref().unwrap(),
        numbers(&run["logits_after"]),
    );
    assert_eq!(found.len(), wanted.len(), "{context}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(
            (f64::from(*found) - wanted).abs() < LAST_LOGITS,
            "{context}: logit {found}, not {wanted}"
        );
    }
}

#[test]
fn a_stack_with_momentum_follows_three_heads_that_torch_trained_one_by_one() {
    let golden = Golden::read();
    let bytes = std::fs::read(root().join("tests/golden/heads/momentum.json")).unwrap();
    let trace: Value = serde_json::from_slice(&bytes).unwrap();
    let momentum = trace["momentum"].as_f64().unwrap();
    let heads = [
        ("linear_p2", "kind = 'linear'", 2),
        ("mlp_p2_2", "kind = 'mlp'\nhidden = [64, 48]", 2),
    ];
    assert_eq!(trace["heads"].as_object().unwrap().len(), heads.len());
    for (name, node, pool) in heads {
        let runs = trace["heads"][name].as_array().unwrap();
        assert_eq!(runs.len(), 3);
        let together = trained(node, pool, runs, &golden, momentum);
        for (outcome, run) in together.iter().zip(runs) {
            let context = format!("{name} at {}, in a stack", run["learning_rate"]);
            assert_run(&context, outcome, run);
            let alone = trained(node, pool, std::slice::from_ref(run), &golden, momentum);
            let context = format!("{name} at {}, alone", run["learning_rate"]);
            assert_run(&context, &alone[0], run);
        }
    }
}
