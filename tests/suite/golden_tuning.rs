//! Head and network trained together against the reference network with PyTorch's layers and optimizers.
//!
//! Data, oracle and tolerances: `tests/golden/tuning/README.md`. The tolerances here are the ones written there and are never
//! widened.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use repro::checked_file::CheckedFile;
use repro::heads::{self, FeatureShape, Head};
use repro::message::Message;
use repro::models::extractor::ForwardError;
use repro::models::tuning::{ActivationCheckpointing, Tune, Tuned};
use repro::models::{self, BlockIndex, InputSpec, Precision, WeightsSource};
use repro::spec::{Diagnostics, Fields, Source, Span, tree};
use repro::trainer::TrainError;
use repro::trainer::fine_tuning::{NoisyImages, Task, Watch, fine_tune};
use repro::trainer::heads::{CheckpointStore, Job, Samples, WriteTo};
use repro::trainer::{Decay, FineTuning, Optimizer, Schedule, Training, UpdateRule};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::fixture::root;

const LOSS: f64 = 1e-5;
const NORM: f64 = 1e-4;
/// Of a parameter without a gradient: what rounding leaves, as a share of the whole gradient.
const NOTHING: f64 = 1e-5;
const PARAMETER: f64 = 1e-4;
const LOGITS: f64 = 1e-4;
/// What Adam makes of gradients that are nothing but rounding.
const DRIFTED_MEAN: f64 = 2.6e-2;
const DRIFTED_LOGITS: f64 = 5e-2;

const WEIGHT_SEED: u64 = 2;
const HEAD_SEED: u64 = 5;
const CLASSES: usize = 3;
const TIMESTEP: u32 = 90;
const STEPS: u32 = 6;
/// Images of a piece, where a batch of six is cut.
const PIECE: usize = 4;
const RUNNING_MEAN: &str = "channel_bn.running_mean";

/// The tensors of a safetensors file.
pub fn tensors(bytes: &[u8]) -> BTreeMap<String, Tensor> {
    let read = |(name, view): (String, TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::I64 => Kind::Int64,
            other => panic!("{name} is {other:?}"),
        };
        let size = view.shape().iter();
        let shape: Vec<i64> = size.map(|&side| i64::try_from(side).unwrap()).collect();
        (name, Tensor::from_data_size(view.data(), &shape, kind))
    };
    let stored = SafeTensors::deserialize(bytes).unwrap();
    stored.tensors().into_iter().map(read).collect()
}

struct Golden {
    tensors: BTreeMap<String, Tensor>,
    json: Value,
}

impl Golden {
    fn read() -> Self {
        let folder = root().join("tests/golden/tuning");
        let json = std::fs::read(folder.join("tuning.json")).unwrap();
        Self {
            tensors: tensors(&std::fs::read(folder.join("tuning.safetensors")).unwrap()),
            json: serde_json::from_slice(&json).unwrap(),
        }
    }

    /// The tensors whose names begin so, by the rest of their names.
    fn beginning(&self, prefix: &str) -> Vec<(&str, &Tensor)> {
        let all = self.tensors.iter();
        let found = all.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
        let found: Vec<_> = found.collect();
        assert!(!found.is_empty(), "the golden file has no {prefix}");
        found
    }
}

/// The batch of a golden file.
pub struct Batch {
    /// `[N, C, H, W]`, row-major.
    pub x_t: Vec<f32>,
    /// `[N]`.
    pub labels: Vec<i64>,
}

impl Batch {
    fn of(golden: &Golden) -> Self {
        let x_t = golden.tensors["x_t_f16"]
            .to_kind(Kind::Float)
            .flatten(0, -1);
        Self {
            x_t: Vec::try_from(x_t).unwrap(),
            labels: Vec::try_from(&golden.tensors["labels"]).unwrap(),
        }
    }
}

impl Samples for Batch {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn id(&self, _row: usize) -> &'static str {
        "image"
    }

    fn label(&self, row: usize) -> u32 {
        u32::try_from(self.labels[row]).unwrap()
    }
}

impl NoisyImages for Batch {
    /// The same in every epoch.
    fn x_t(&self, rows: &[usize], _draw: u32) -> Result<Vec<f32>, Message> {
        let size = self.x_t.len() / self.labels.len();
        let image = |&row: &usize| &self.x_t[row * size..(row + 1) * size];
        Ok(rows.iter().flat_map(image).copied().collect())
    }
}

/// No checkpoints.
pub struct Nowhere;

impl CheckpointStore for Nowhere {
    fn newest(&self, _at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        Ok(None)
    }

    fn write(&self, _epochs: u32, _write: WriteTo<'_>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// What every backward pass left: the norm of each parameter's gradient.
type Seen = Rc<RefCell<Vec<Vec<f64>>>>;

/// A network whose gradients are looked at before the optimizer takes them.
struct Watched {
    network: Box<dyn Tune>,
    /// They share their memory, gradients included, with those that are trained.
    parameters: Vec<Tensor>,
    seen: Seen,
}

impl Tune for Watched {
    fn activations(&self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        self.network.activations(x_t, timestep)
    }

    fn forward_backward(
        &self,
        x_t: &Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&Tensor) -> Tensor,
    ) -> Result<(), ForwardError> {
        self.network.forward_backward(x_t, timestep, gradient)?;
        let parameters = self.parameters.iter();
        let norms = parameters.map(|one| one.grad().to_kind(Kind::Double).norm().double_value(&[]));
        self.seen.borrow_mut().push(norms.collect());
        Ok(())
    }
}

/// A batch norm and a linear layer.
pub fn head() -> Arc<dyn Head> {
    let source = Source::new("head.toml", "kind = 'batchnorm-linear'\n");
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let diagnostics = RefCell::new(diagnostics);
    let fields = Fields::new(&table, "the head", Span::default(), &diagnostics);
    let named = |kind: &&&heads::HeadKind| kind.doc.name == "batchnorm-linear";
    let kind = heads::ALL.iter().find(named).unwrap();
    kind.read(&fields).unwrap()
}

/// A rule of a golden file by its name.
pub fn optimizer(rule: &str, lr: f64) -> Optimizer {
    let adam = Optimizer {
        kind: UpdateRule::Adam,
        lr,
        ..Optimizer::default()
    };
    match rule {
        "adam" => adam,
        "adam_damped" => Optimizer {
            epsilon: 1e-2,
            ..adam
        },
        "sgd" => Optimizer {
            kind: UpdateRule::Sgd,
            lr,
            momentum: Some(0.9),
            weight_decay: 1e-4,
            ..Optimizer::default()
        },
        other => panic!("{other} is no rule of the golden file"),
    }
}

/// What six steps of this program leave.
struct Found {
    losses: Vec<f64>,
    logits: Tensor,
    head: BTreeMap<String, Tensor>,
    tuned: Tuned,
    /// The norm of each parameter's gradient, step by step.
    gradients: Vec<Vec<f64>>,
}

fn train(
    batch: &Batch,
    block: u32,
    rule: &str,
    checkpointing: ActivationCheckpointing,
    at_once: usize,
) -> Found {
    let model = models::preset("adm-nano").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(WEIGHT_SEED));
    let input: InputSpec = model.input();
    let block = BlockIndex(block);
    let channels = model.blocks()[block.0 as usize - 1].shape.sizes()[0] as usize;
    let tunable = model.tunable().unwrap();
    let base = Path::new(".");
    let tuned = tunable.begin_tuning(base, Device::Cpu, Precision::F32, block, checkpointing);
    let mut tuned = tuned.unwrap();
    let seen = Seen::default();
    tuned.network = Box::new(Watched {
        network: tuned.network,
        parameters: tuned
            .trained
            .tensors()
            .iter()
            .map(Tensor::shallow_clone)
            .collect(),
        seen: Rc::clone(&seen),
    });
    let training = Training {
        epochs: STEPS,
        batch_size: u32::try_from(batch.len()).unwrap(),
        optimizer: optimizer(rule, 1e-2),
        schedule: Schedule {
            decay: Decay::Constant,
            warmup: 0,
        },
        logits: true,
        ..Training::default()
    };
    let head = head();
    let task = Task {
        job: Job {
            head: &*head,
            training: &training,
            seed: HEAD_SEED,
            name: "head",
        },
        fine_tuning: FineTuning {
            optimizer: optimizer(rule, 1e-3),
            checkpointing,
        },
        train: batch,
        judged: batch,
        test: batch,
        input,
        timestep: TIMESTEP,
        shape: FeatureShape::square(channels, 2),
        classes: CLASSES,
        at_once,
        device: Device::Cpu,
    };
    let watch = Watch {
        keep_going: &|| true,
        advanced: &|_, _, _| {},
        checkpoint_due: &|| false,
    };
    let outcome = fine_tune(&task, &mut tuned, &watch, &Nowhere).unwrap();
    let logits = outcome.logits.unwrap();
    let sizes = [batch.labels.len(), CLASSES].map(|side| i64::try_from(side).unwrap());
    // The gradient of a step is whole behind its last piece.
    let pieces = batch.len().div_ceil(at_once);
    let gradients: Vec<Vec<f64>> = seen
        .borrow()
        .chunks(pieces)
        .map(|step| step[pieces - 1].clone())
        .collect();
    Found {
        losses: outcome
            .epochs
            .iter()
            .map(|epoch| epoch.train_loss)
            .collect(),
        logits: Tensor::from_slice(&logits).view(sizes),
        head: tensors(&outcome.weights),
        tuned,
        gradients,
    }
}

#[track_caller]
fn assert_relative(what: &str, found: &[f64], golden: &Value, tolerance: f64) {
    let golden = golden.as_array().unwrap();
    assert_eq!(found.len(), golden.len(), "{what}");
    let pairs = found
        .iter()
        .zip(golden)
        .map(|(found, golden)| (found, golden.as_f64().unwrap()));
    let off = pairs.map(|(found, golden)| (found - golden).abs() / golden.abs());
    let farthest = off.fold(0.0, f64::max);
    println!("{what}: {farthest:e}");
    assert!(
        farthest <= tolerance,
        "{what} are {farthest:e} off: {found:?}, not {golden:?}"
    );
}

/// Fails the test where a tensor is farther off than `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, found: &Tensor, golden: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), golden.size(), "{what}");
    let off = (found - golden).abs().max().double_value(&[]);
    println!("{what}: {off:e}");
    assert!(off <= tolerance, "{what} is {off:e} off");
}

/// The gradients before the first step, parameter by parameter.
#[track_caller]
fn assert_first_gradients(context: &str, found: &Found, golden: &Value) {
    let expected = golden["first_gradient_norms"].as_object().unwrap();
    let without: Vec<&str> = golden["without_gradient"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let names = found.tuned.trained.names();
    assert_eq!(names.len(), expected.len(), "{context}");
    let whole = length(&found.gradients[0]);
    let (mut farthest, mut most) = (0f64, 0f64);
    for (name, norm) in names.iter().zip(&found.gradients[0]) {
        let wanted = expected
            .get(name)
            .unwrap_or_else(|| panic!("{context}: the reference does not train {name}"));
        let wanted = wanted.as_f64().unwrap();
        if without.contains(&name.as_str()) {
            most = most.max(norm / whole);
            assert!(
                norm / whole <= NOTHING,
                "{context}: {name} has a gradient, {norm} long"
            );
        } else {
            let off = (norm - wanted).abs() / wanted;
            farthest = farthest.max(off);
            assert!(
                off <= NORM,
                "{context}: the gradient by {name} is {norm} long, not {wanted}"
            );
        }
    }
    println!("{context}, first gradients: {farthest:e}; without one: {most:e}");
}

fn length(norms: &[f64]) -> f64 {
    norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
}

/// Six steps with one rule through one block: with activations kept and the whole batch at once, and recomputed piece by piece.
fn follow(block: u32, rule: &str) {
    let golden = Golden::read();
    let batch = Batch::of(&golden);
    let key = format!("b{block}.{rule}");
    let drifts = rule == "adam";
    for (checkpointing, at_once) in [
        (ActivationCheckpointing::Off, batch.len()),
        (ActivationCheckpointing::On, PIECE),
    ] {
        let context = format!("{key}, {checkpointing:?}, {at_once} at once");
        let found = train(&batch, block, rule, checkpointing, at_once);
        let expected = &golden.json[&key];
        assert_eq!(found.losses.len(), STEPS as usize);
        assert_first_gradients(&context, &found, &golden.json[format!("b{block}")]);
        assert_relative(
            &format!("{context}: losses"),
            &found.losses,
            &expected["losses"],
            LOSS,
        );
        let norms: Vec<f64> = found.gradients.iter().map(|step| length(step)).collect();
        assert_relative(
            &format!("{context}: gradient norms"),
            &norms,
            &expected["gradient_norms"],
            NORM,
        );
        for (name, golden) in golden.beginning(&format!("{key}.network.")) {
            let own = found.tuned.trained.get(name).unwrap().detach();
            let rows = golden.size()[0];
            assert_close(
                &format!("{context}: {name}"),
                &own.narrow(0, 0, rows),
                golden,
                PARAMETER,
            );
        }
        let of_head = golden.beginning(&format!("{key}.head."));
        assert_eq!(of_head.len(), found.head.len());
        for (name, golden) in of_head {
            let tolerance = if drifts && name == RUNNING_MEAN {
                DRIFTED_MEAN
            } else {
                PARAMETER
            };
            assert_close(
                &format!("{context}: {name}"),
                &found.head[name],
                golden,
                tolerance,
            );
        }
        let logits = &golden.tensors[&format!("{key}.logits")];
        let tolerance = if drifts { DRIFTED_LOGITS } else { LOGITS };
        assert_close(
            &format!("{context}: logits"),
            &found.logits,
            logits,
            tolerance,
        );
        // A shift of a channel is the same for all images.
        let less_mean = |logits: &Tensor| logits - logits.mean_dim(0, true, None);
        assert_close(
            &format!("{context}: logits less their mean"),
            &less_mean(&found.logits),
            &less_mean(logits),
            LOGITS,
        );
    }
}

#[test]
fn adam_through_the_middle_block_follows_the_reference() {
    follow(3, "adam");
    follow(3, "adam_damped");
}

#[test]
fn sgd_through_the_middle_block_follows_the_reference() {
    follow(3, "sgd");
}

#[test]
fn adam_through_a_block_with_a_skip_follows_the_reference() {
    follow(5, "adam");
    follow(5, "adam_damped");
}

#[test]
fn sgd_through_a_block_with_a_skip_follows_the_reference() {
    follow(5, "sgd");
}
