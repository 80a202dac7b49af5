//! A condition that is learned through Stable Diffusion's frozen U-Net, against diffusers with PyTorch's layers and optimizers.
//!
//! Data, oracle and tolerances: `tests/golden/stable_diffusion/README.md`.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use repro::heads::FeatureShape;
use repro::models::checkpoint::file_names::FileNames;
use repro::models::checkpoint::synthetic;
use repro::models::kinds::stable_diffusion::{names, presets};
use repro::models::tuning::ActivationCheckpointing;
use repro::models::{self, BlockIndex, Model, Precision};
use repro::spec::{Diagnostics, Fields, Source, Span, tree};
use repro::trainer::fine_tuning::{Task, Watch, fine_tune};
use repro::trainer::heads::Job;
use repro::trainer::{Decay, FineTuning, Schedule, Training};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tch::{Device, Tensor};

use crate::fixture::{CliTest, root};
use crate::golden_tuning::{Batch, Nowhere, assert_close, head, optimizer, tensors};

const BLOCK: BlockIndex = BlockIndex(18);
const TIMESTEP: u32 = 150;
const STEPS: u32 = 3;
const IMAGES: i64 = 4;
const CLASSES: usize = 2;
/// What the condition is called in files.
const CONDITION: &str = "condition";

/// A checkpoint of the whole system with the weights of the recording, under CompVis' names.
fn checkpoint(cli: &CliTest) -> String {
    let config = presets::find("sd-tiny").unwrap().network;
    let diffusers = FileNames {
        renames: names::DIFFUSERS,
        ..FileNames::PLAIN
    };
    let mut all = Vec::new();
    let mut put = |prefix: &str, name: &str, generated: &str, shape: &[usize], seed: u64| {
        let values = synthetic::fill(generated, shape, seed);
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        all.push((format!("{prefix}{name}"), shape.to_vec(), bytes));
    };
    for (name, shape) in config.state_dict() {
        let generated = diffusers.stored(&name);
        put("model.diffusion_model.", &name, &generated, &shape, 54);
    }
    for (name, shape) in config.text.state_dict() {
        put("cond_stage_model.transformer.", &name, &name, &shape, 51);
    }
    put(
        "first_stage_model.",
        "other.weight",
        "other.weight",
        &[3],
        1,
    );
    let views = all.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    cli.write(
        "sd.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
    cli.path("sd.safetensors").display().to_string()
}

/// A model of an experiment, by its keys.
fn model(keys: &str) -> Arc<dyn Model> {
    let source = Source::new("model.toml", keys);
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let diagnostics = RefCell::new(diagnostics);
    let fields = Fields::new(&table, "the model", Span::default(), &diagnostics);
    let named = |kind: &&&models::ModelKind| kind.doc.name == "stable-diffusion";
    let kind = models::ALL.iter().find(named).unwrap();
    kind.read(&fields).unwrap()
}

struct Found {
    losses: Vec<f64>,
    logits: Tensor,
    condition: Tensor,
}

fn train(
    model: &dyn Model,
    rule: &str,
    checkpointing: ActivationCheckpointing,
    at_once: usize,
) -> Found {
    let tunable = model.tunable().unwrap();
    let base = Path::new(".");
    let tuned = tunable.begin_tuning(base, Device::Cpu, Precision::F32, BLOCK, checkpointing);
    let mut tuned = tuned.unwrap();
    assert_eq!(tuned.trained.names(), [CONDITION]);
    assert!(tuned.untouched.names().is_empty());
    let values = synthetic::fill("images", &[4 * 4 * 8 * 8], 71);
    let batch = Batch {
        x_t: values.into_iter().map(|value| value * 20.0).collect(),
        labels: vec![0, 1, 0, 1],
    };
    let training = Training {
        epochs: STEPS,
        batch_size: 4,
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
            seed: 5,
            name: "head",
        },
        fine_tuning: FineTuning {
            optimizer: optimizer(rule, 1e-1),
            checkpointing,
        },
        train: &batch,
        judged: &batch,
        test: &batch,
        input: model.input(),
        timestep: TIMESTEP,
        shape: FeatureShape::square(64, 2),
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
    let losses = outcome.epochs.iter().map(|epoch| epoch.train_loss);
    Found {
        losses: losses.collect(),
        logits: Tensor::from_slice(&outcome.logits.unwrap()).view([IMAGES, 2]),
        condition: tuned.trained.get(CONDITION).unwrap().detach().copy(),
    }
}

#[test]
fn three_steps_are_those_of_the_reference() {
    let cli = CliTest::new();
    let file = root().join("tests/golden/stable_diffusion/tuning.safetensors");
    let golden = tensors(&std::fs::read(file).unwrap());
    let model = model(&format!(
        "kind = 'stable-diffusion'\npreset = 'sd-tiny'\nautoencoder = 'vae'\ncondition = 'learned'\nweights = '{}'\n",
        checkpoint(&cli)
    ));
    for (rule, recorded, tolerance, logits) in [
        ("adam_damped", "adam", 3e-5, 1e-3),
        ("sgd", "sgd", 2e-6, 1e-4),
    ] {
        let kept = train(&*model, rule, ActivationCheckpointing::Off, 4);
        let pieces = train(&*model, rule, ActivationCheckpointing::On, 2);
        for found in [&kept, &pieces] {
            let expected = &golden[&format!("{recorded}.losses")];
            let expected: Vec<f32> = Vec::try_from(expected).unwrap();
            for (found, expected) in found.losses.iter().zip(&expected) {
                let off = (found / f64::from(*expected) - 1.0).abs();
                assert!(off <= 1e-5, "{rule}: {found}, not {expected}");
            }
            assert_eq!(found.losses.len(), expected.len());
            let expected = &golden[&format!("{recorded}.condition")];
            assert_close("the condition", &found.condition, expected, tolerance);
            let expected = &golden[&format!("{recorded}.logits")];
            assert_close("logits", &found.logits, expected, logits);
        }
        let whole = train(&*model, rule, ActivationCheckpointing::On, 4);
        assert_eq!(whole.condition, kept.condition);
        assert_eq!(whole.logits, kept.logits);
    }
}

#[test]
fn only_a_condition_that_is_learned_is_trained() {
    let keys = "kind = 'stable-diffusion'\npreset = 'sd-tiny'\nautoencoder = 'vae'\nweights = { synthetic = 1 }\n";
    let text = model(keys);
    let learned = model(&format!("{keys}condition = 'learned'\n"));
    assert!(text.tunable().is_none() && !text.needs_tuning());
    assert!(learned.tunable().is_some() && learned.needs_tuning());
    assert_ne!(text.identity(), learned.identity());
    // The first block knows nothing of the condition.
    let tunable = learned.tunable().unwrap();
    let (base, first) = (Path::new("."), BlockIndex(1));
    let off = ActivationCheckpointing::Off;
    let tuned = tunable.begin_tuning(base, Device::Cpu, Precision::F32, first, off);
    assert_eq!(tuned.unwrap().untouched.names(), [CONDITION]);
}
