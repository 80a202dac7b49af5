//! Heads against recorded outputs of the reference code, each alone and as one of a stack.
//!
//! Data, oracle and tolerances: `tests/golden/heads/README.md`. The tolerances here are the ones written there and are never
//! widened.

use std::collections::BTreeMap;
use std::sync::Arc;

use repro::heads::{self, FeatureShape, Head, Mode, Role};
use repro::models::checkpoint::synthetic;
use repro::spec::{Diagnostics, Fields, Source, Span, kind, tree};
use repro::trainer::{Optimizer, OptimizerState, UpdateRule};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tch::{Kind, Reduction, Tensor};

use crate::fixture::root;

const LOGITS: f64 = 1e-5;
pub const LOSS: f64 = 1e-5;
pub const NORM: f64 = 1e-5;
pub const LAST_LOGITS: f64 = 1e-4;
/// Of `cnn` with Adam.
const CNN_LOSS: f64 = 1e-4;
const CNN_LAST_LOGITS: f64 = 5e-3;

pub const CLASSES: usize = 10;
pub const WEIGHT_SEED: u64 = 3;
/// Of the heads that stand beside it in a stack.
const OTHER_SEEDS: [u64; 2] = [11, 12];
/// Steps with either optimizer.
const STEPS: usize = 20;

/// Each golden head: its name, its node, the pool of its features.
const HEADS: [(&str, &str, i64); 10] = [
    ("linear_p1", "kind = 'linear'", 1),
    ("linear_p2", "kind = 'linear'", 2),
    ("linear_p4", "kind = 'linear'", 4),
    ("mlp_p1", "kind = 'mlp'\nhidden = [64]", 1),
    ("mlp_p2_2", "kind = 'mlp'\nhidden = [64, 48]", 2),
    ("cnn", "kind = 'cnn'\nwidths = [32, 24]", 16),
    (
        "cnn_relu",
        "kind = 'cnn'\nwidths = [32, 24]\nactivation = 'relu'",
        16,
    ),
    ("attn1_cls", "kind = 'attention'\nheads = 4", 16),
    ("attn2_cls", "kind = 'attention'\nheads = 4\nblocks = 2", 16),
    (
        "attn1_mean",
        "kind = 'attention'\nheads = 4\ntokens = 'mean'",
        16,
    ),
];

/// A head from its node.
#[track_caller]
pub fn parse(node: &str) -> Arc<dyn Head> {
    let source = Source::new("head.toml", format!("features = 'taps'\n{node}"));
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let diagnostics = std::cell::RefCell::new(diagnostics);
    let fields = Fields::new(&table, "the head", Span::default(), &diagnostics);
    let kind = kind::find(heads::ALL, "head", &fields);
    let head = kind.unwrap().read(&fields);
    assert!(fields.is_sound(), "{node}");
    head.unwrap()
}

/// All tensors of the golden file, and what stands beside them.
pub struct Golden {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    heads: Value,
}

impl Golden {
    /// Reads `small.safetensors` and `small.json`.
    pub fn read() -> Self {
        let folder = root().join("tests/golden/heads");
        let bytes = std::fs::read(folder.join("small.safetensors")).unwrap();
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
        let stored = SafeTensors::deserialize(&bytes).unwrap();
        let json = std::fs::read(folder.join("small.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        Self {
            tensors: stored.tensors().into_iter().map(read).collect(),
            heads: json["heads"].clone(),
        }
    }

    /// Features `[64, C, S, S]` behind an adaptive average pool.
    pub fn features(&self, pool: i64) -> Tensor {
        let features = self.tensors["features_f16"].to_kind(Kind::Float);
        features.adaptive_avg_pool2d([pool, pool])
    }
}

/// The parameters of a stack, one head for each seed.
fn stack(head: &dyn Head, shape: FeatureShape, seeds: &[u64], kind: Kind) -> Vec<Tensor> {
    let forms = head.parameters(shape, CLASSES).into_iter();
    forms
        .map(|form| {
            let sizes = form.shape.iter().map(|&side| i64::try_from(side).unwrap());
            let sizes: Vec<i64> = sizes.collect();
            let of_seed = |&seed: &u64| {
                let values = synthetic::fill(&form.name, &form.shape, seed);
                Tensor::from_slice(&values).view(sizes.as_slice())
            };
            let all: Vec<Tensor> = seeds.iter().map(of_seed).collect();
            let stacked = Tensor::stack(&all, 0).to_kind(kind);
            stacked.set_requires_grad(form.role == Role::Trained)
        })
        .collect()
}

/// The mean cross entropy `[M]` of each head; gradients of their sum are those of each alone.
fn losses(logits: &Tensor, labels: &Tensor) -> Tensor {
    let (samples, stack) = (logits.size()[0], logits.size()[1]);
    let flat = logits.transpose(0, 1).flatten(0, 1);
    let losses = flat.cross_entropy_loss::<Tensor>(
        &labels.repeat([stack]),
        None,
        Reduction::None,
        -100,
        0.0,
    );
    losses.view([stack, samples]).mean_dim(1, false, None)
}

/// An optimizer of the golden file.
enum Rule {
    Adam(OptimizerState),
    Descent,
}

impl Rule {
    fn step(&mut self, parameters: &mut [Tensor]) {
        match self {
            Self::Adam(moments) => moments.step_alike(&Optimizer::default(), 1.0, parameters),
            Self::Descent => tch::no_grad(|| {
                for parameter in parameters {
                    let _ = parameter.g_sub_(&(parameter.grad() * 1e-2));
                    parameter.zero_grad();
                }
            }),
        }
    }
}

#[track_caller]
fn assert_norms(context: &str, forms: &[String], found: &[Tensor], place: i64, golden: &Value) {
    assert_eq!(golden.as_object().unwrap().len(), forms.len(), "{context}");
    for (name, tensor) in forms.iter().zip(found) {
        let found = tensor
            .select(0, place)
            .to_kind(Kind::Double)
            .norm()
            .double_value(&[]);
        let expected = golden[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{context}: no {name}"));
        let off = (found - expected).abs() / expected;
        assert!(off < NORM, "{context}: {name} has {found}, not {expected}");
    }
}

#[track_caller]
fn assert_logits(context: &str, found: &Tensor, golden: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), golden.size(), "{context}");
    let off = (found - golden).abs().max().double_value(&[]);
    assert!(off < tolerance, "{context}: logits differ by {off:e}");
}

/// Runs one golden head among a stack with these seeds, with one optimizer, in 32 or 64 bits, for some of the steps.
fn follow(
    golden: &Golden,
    (name, node, pool): (&str, &str, i64),
    seeds: &[u64],
    adam: bool,
    (kind, steps): (Kind, usize),
) {
    let head = parse(node);
    let features = golden.features(pool).to_kind(kind);
    let labels = &golden.tensors["labels"];
    let place = seeds.iter().position(|&seed| seed == WEIGHT_SEED);
    let place = i64::try_from(place.unwrap()).unwrap();
    let word = if adam { "adam" } else { "sgd" };
    let context = format!("{name}, {word}, {kind:?}, head {place} of {}", seeds.len());
    let shape = FeatureShape::square(32, usize::try_from(pool).unwrap());
    head.check(shape).unwrap();
    let expected = &golden.heads[name];
    let forms: Vec<String> = (head.parameters(shape, CLASSES).iter())
        .map(|form| form.name.clone())
        .collect();
    let listed = expected["state_dict"].as_array().unwrap();
    let listed: BTreeMap<_, _> = (listed.iter())
        .map(|entry| (entry[0].as_str().unwrap().to_owned(), entry[1].clone()))
        .collect();
    let here = head.parameters(shape, CLASSES).into_iter();
    let here: BTreeMap<_, _> = here.map(|form| (form.name, form.shape.into())).collect();
    assert_eq!(here, listed, "{context}");
    assert_eq!(
        head.parameter_count(shape, CLASSES) as u64,
        expected["params"]
    );

    let mut parameters = stack(&*head, shape, seeds, kind);
    let mut rule = if adam {
        Rule::Adam(OptimizerState::new(UpdateRule::Adam, &parameters))
    } else {
        Rule::Descent
    };
    let is_cnn = name == "cnn" && adam;
    let tolerance = if is_cnn { CNN_LOSS } else { LOSS };
    for step in 0..=steps {
        let logits = head.forward(&parameters, &features, Mode::Train);
        let all = losses(&logits, labels);
        let loss = all.double_value(&[place]);
        let wanted = expected[word]["losses"][step].as_f64().unwrap();
        assert!(
            (loss - wanted).abs() < tolerance,
            "{context}, step {step}: loss {loss}, not {wanted}"
        );
        if step == 0 {
            let found = logits.detach().select(1, place);
            assert_logits(
                &context,
                &found,
                &golden.tensors[&format!("{name}.logits0")],
                LOGITS,
            );
        }
        all.sum(all.kind()).backward();
        if step == 0 {
            let gradients: Vec<Tensor> = parameters.iter().map(Tensor::grad).collect();
            assert_norms(
                &context,
                &forms,
                &gradients,
                place,
                &expected["grad_norms_step0"],
            );
        }
        if step < steps {
            rule.step(&mut parameters);
        }
    }
    if steps < STEPS {
        return;
    }
    let parameters: Vec<Tensor> = parameters.iter().map(Tensor::detach).collect();
    assert_norms(
        &context,
        &forms,
        &parameters,
        place,
        &expected[word]["param_norms_after"],
    );
    let last = head
        .forward(&parameters, &features, Mode::Predict)
        .select(1, place);
    let tolerance = if is_cnn { CNN_LAST_LOGITS } else { LAST_LOGITS };
    assert_logits(
        &context,
        &last,
        &golden.tensors[&format!("{name}.logits_after_{word}")],
        tolerance,
    );
}

/// All golden heads of a kind, which are `count`: alone with either optimizer, and in a stack with Adam, whose steps see every
/// gradient.
fn follow_all(kind: &str, count: usize) {
    let golden = Golden::read();
    let [before, behind] = OTHER_SEEDS;
    let company = [before, WEIGHT_SEED, behind];
    let (alone, stacked) = (&[WEIGHT_SEED][..], &company[..]);
    let heads = HEADS.iter().filter(|(_, node, _)| node.contains(kind));
    assert_eq!(heads.clone().count(), count);
    for &head in heads {
        for (seeds, adam) in [(alone, true), (alone, false), (stacked, true)] {
            if kind == "cnn" {
                // In 32 bits the order of a processor's sums turns near ties of max pools round, in PyTorch too.
                follow(&golden, head, seeds, adam, (Kind::Float, 0));
                follow(&golden, head, seeds, adam, (Kind::Double, STEPS));
            } else {
                follow(&golden, head, seeds, adam, (Kind::Float, STEPS));
            }
        }
    }
}

#[test]
fn no_golden_head_is_left_out() {
    let golden = Golden::read();
    let all = golden.heads.as_object().unwrap();
    assert_eq!(all.len(), HEADS.len());
    assert!(HEADS.iter().all(|(name, ..)| all.contains_key(*name)));
}

#[test]
fn linear_heads_follow_the_reference() {
    follow_all("linear", 3);
}

#[test]
fn mlp_heads_follow_the_reference() {
    follow_all("mlp", 2);
}

#[test]
fn cnn_heads_follow_the_reference() {
    follow_all("cnn", 2);
}

#[test]
fn attention_heads_follow_the_reference() {
    follow_all("attention", 3);
}

/// The heads of the paper, as `docs/concepts/heads.md` lists them, have the counts of the golden file.
#[test]
fn the_page_of_heads_has_the_golden_counts() {
    let golden = root().join("tests/golden/heads/parameter-counts.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let page = std::fs::read_to_string(root().join("docs/concepts/heads.md")).unwrap();
    let mut wanted = BTreeMap::new();
    let sections = ["linear", "mlp", "cnn", "attention"].map(|section| &golden[section]);
    for (name, entry) in sections
        .iter()
        .flat_map(|section| section.as_object().unwrap())
    {
        let counts = ["params", "params_if_hidden_2048", "params_k_is_1024"];
        if let Some(count) = counts.iter().find_map(|key| entry[key].as_u64()) {
            let name = match name.split_once(" block") {
                Some((blocks, _)) => format!("Attention-1k-{blocks}"),
                None => name.clone(),
            };
            wanted.insert(name, (count, entry["paper_millions"].as_f64().unwrap()));
        }
    }
    assert_eq!(wanted.len(), 4 + 4 + 8 + 5);
    let rows = page.lines().filter(|line| line.contains("| `kind = "));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, node, pool, count, printed, _] = cells[..] else {
            panic!("{row}")
        };
        // The keys of a node stand on one line there. A comma within a list is followed by a number.
        let lines = node
            .trim_matches('`')
            .split(", ")
            .fold(String::new(), |lines, piece| {
                let separator = if piece.contains('=') { "\n" } else { ", " };
                lines + separator + piece
            });
        let head = parse(lines.trim_start());
        let shape = FeatureShape::square(1024, pool.parse().unwrap());
        head.check(shape).unwrap();
        let (exact, millions) = wanted.remove(name).unwrap_or_else(|| panic!("{row}"));
        assert_eq!(head.parameter_count(shape, 1000) as u64, exact, "{row}");
        assert_eq!(count.replace(',', ""), exact.to_string(), "{row}");
        let printed: f64 = printed.parse().unwrap();
        assert!((printed - millions).abs() < 1e-9, "{row}");
    }
    assert!(wanted.is_empty(), "docs/concepts/heads.md lacks {wanted:?}");
}
