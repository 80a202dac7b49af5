//! Sampling and training of a diffusion model against recorded outputs of the reference code.
//!
//! Data, oracle and tolerances: `tests/golden/diffusion/README.md`. The tolerances here are the ones written there and are never
//! widened.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repro::diffusion::losses::{Objective, PUBLISHED_LAMBDA, Shown, Terms};
use repro::diffusion::respacing::Respacing;
use repro::diffusion::reverse::{ReverseError, Variance};
use repro::diffusion::sampling::{Method, Sampling, Step, Stepped, to_bytes};
use repro::diffusion::{Diffusion, Schedule};
use repro::models::checkpoint::parameters::{Parameters, to_safetensors};
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{ForwardError, Until};
use repro::models::kinds::guided_diffusion::config::Config;
use repro::models::kinds::guided_diffusion::network::Network;
use repro::models::kinds::guided_diffusion::presets;
use repro::trainer::{Average, Optimizer, OptimizerState, UpdateRule, gradient_norm};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};

const SAMPLE: f64 = 1e-4;
/// Predicted images at the first step, and halfway.
const EARLY_X_0: f64 = 2e-3;
const LATER_X_0: f64 = 2e-4;
const OTHER_BYTES: f64 = 0.005;
const BETA: f64 = 1e-9;
const TERM: f64 = 1e-4;
const BOUND_TERM: f64 = 1e-3;
const NORM: f64 = 1e-3;
const GRADIENT: f64 = 1e-5;
const TRAINED: f64 = 2e-5;
/// Where Adam followed the other sign of a tiny gradient.
const TURNED: f64 = 6e-4;
const TURNED_SHARE: f64 = 0.001;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/diffusion")
        .join(name)
}

/// All tensors of the golden file, and what stands beside them.
struct Golden {
    tensors: BTreeMap<String, Tensor>,
    json: serde_json::Value,
}

impl Golden {
    fn read() -> Self {
        let bytes = std::fs::read(path("sampling.safetensors")).unwrap();
        let read = |(name, view): (String, TensorView<'_>)| {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::I64 => Kind::Int64,
                Dtype::U8 => Kind::Uint8,
                other => panic!("{name} is {other:?}"),
            };
            let size = view.shape().iter();
            let shape: Vec<i64> = size.map(|&side| i64::try_from(side).unwrap()).collect();
            (name, Tensor::from_data_size(view.data(), &shape, kind))
        };
        let stored = SafeTensors::deserialize(&bytes).unwrap();
        let json = std::fs::read(path("sampling.json")).unwrap();
        Self {
            tensors: stored.tensors().into_iter().map(read).collect(),
            json: serde_json::from_slice(&json).unwrap(),
        }
    }

    fn get(&self, key: &str) -> &Tensor {
        let found = self.tensors.get(key);
        found.unwrap_or_else(|| panic!("the golden file has no {key}"))
    }

    fn assert_close(&self, key: &str, found: &Tensor, tolerance: f64) {
        let expected = self.get(key);
        assert_eq!(found.size(), expected.size(), "{key}");
        let difference = (found - expected).abs().max().double_value(&[]);
        println!("{key}: {difference:e}");
        assert!(difference <= tolerance, "{key} is {difference:e} off");
    }
}

fn floats(value: &serde_json::Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_relative(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs() / expected.abs();
        assert!(error <= tolerance, "{what}: {found} is not {expected}");
    }
}

fn adm_tiny() -> Config {
    presets::find("adm-tiny").unwrap().network
}

fn frozen() -> Network {
    Network::new(&adm_tiny(), &mut WeightMap::synthetic(1)).unwrap()
}

fn trainable() -> (Network, Parameters) {
    let mut weights = WeightMap::synthetic(1).trainable();
    let network = Network::new(&adm_tiny(), &mut weights).unwrap();
    (network, weights.into_parameters())
}

fn output(network: &Network, x_t: &Tensor, timesteps: &Tensor) -> Result<Tensor, ForwardError> {
    let output = network.forward_taps(x_t, timesteps, None, &[], Until::Output, &mut |_, _| {});
    output.map(|output| output.expect("the network ran to its output"))
}

fn respaced(rule: &str) -> Diffusion {
    let rule: Respacing = rule.parse().unwrap();
    Diffusion::respaced(Schedule::Linear, 1000, &rule).unwrap()
}

fn linear() -> Diffusion {
    Diffusion::new(Schedule::Linear, 1000).unwrap()
}

#[test]
fn respaced_processes_match_golden() {
    let golden = Golden::read();
    for (tag, rule) in [
        ("ancestral_25", "25"),
        ("ddim_ddim25", "ddim25"),
        ("ddim_ddim25_eta0.5", "ddim25"),
    ] {
        let expected = &golden.json["samplers"][tag];
        let diffusion = respaced(rule);
        assert_eq!(
            Some(u64::from(diffusion.steps())),
            expected["steps"].as_u64()
        );
        let timesteps: Vec<f64> = diffusion.timesteps().iter().map(|&t| t.into()).collect();
        assert_relative(
            tag,
            &timesteps[1..],
            &floats(&expected["timestep_map"])[1..],
            0.0,
        );
        assert_eq!(timesteps[0].to_bits(), 0);
        assert_relative(tag, diffusion.betas(), &floats(&expected["betas"]), BETA);
        let alphas = diffusion.alphas_cumprod();
        assert_relative(
            tag,
            &[alphas[0], alphas[24]],
            &floats(&expected["alphas_cumprod_first_last"]),
            BETA,
        );
        let variances = [0, 1, 2].map(|index| diffusion.posterior(index).unwrap().log_variance);
        assert_relative(
            tag,
            &variances,
            &floats(&expected["posterior_log_variance_clipped_first3"]),
            BETA,
        );
    }
}

#[test]
fn one_step_back_matches_golden() {
    let golden = Golden::read();
    let (network, diffusion) = (frozen(), respaced("25"));
    let x_t = golden.get("start_noise");
    for index in [0_u32, 12, 24] {
        let timestep = i64::from(diffusion.timesteps()[index as usize]);
        let output = tch::no_grad(|| output(&network, x_t, &Tensor::from_slice(&[timestep])));
        let output = output.unwrap();
        let back = diffusion
            .step_back(x_t, &output, &[index; 2], Variance::Learned, true)
            .unwrap();
        let key = |name: &str| format!("p_mean_variance.index{index:02}.{name}");
        golden.assert_close(&key("mean"), &back.mean, SAMPLE);
        golden.assert_close(&key("log_variance"), &back.log_variance, SAMPLE);
        let tolerance = if index == 24 { EARLY_X_0 } else { LATER_X_0 };
        golden.assert_close(&key("pred_xstart"), &back.x_0, tolerance);
    }
}

/// Runs a whole chain and compares what is kept of it.
fn assert_chain(tag: &str, rule: &str, method: Method) {
    let golden = Golden::read();
    let network = frozen();
    let sampling = Sampling {
        diffusion: respaced(rule),
        method,
        variance: Variance::Learned,
        clip: true,
    };
    let mut denoise = |x_t: &Tensor, timestep: u32| {
        output(&network, x_t, &Tensor::from_slice(&[i64::from(timestep)]))
    };
    let mut asked = Vec::new();
    let mut noise = |step: Step| {
        asked.push(step.number);
        golden.get("step_noise").get(i64::from(step.number))
    };
    let mut compared = 0;
    let mut observe = |step: Step, stepped: &Stepped| {
        let key = |name: &str| format!("{tag}.step{:02}.{name}", step.number);
        if golden.tensors.contains_key(&key("sample")) {
            let tolerance = if step.number < 12 {
                EARLY_X_0
            } else {
                LATER_X_0
            };
            golden.assert_close(&key("sample"), &stepped.sample, SAMPLE);
            golden.assert_close(&key("pred_xstart"), &stepped.x_0, tolerance);
            compared += 1;
        }
    };
    let start = golden.get("start_noise");
    let images = sampling
        .run(start, &mut denoise, &mut noise, &mut observe)
        .unwrap();
    assert_eq!(compared, 2);
    golden.assert_close(&format!("{tag}.final"), &images, SAMPLE);
    let bytes = to_bytes(&images);
    assert_eq!(bytes.kind(), Kind::Uint8);
    let expected = golden.get(&format!("{tag}.final.uint8"));
    let difference = (bytes.to_kind(Kind::Int) - expected.to_kind(Kind::Int)).abs();
    assert!(difference.max().int64_value(&[]) <= 1, "{tag}");
    let others = difference.mean(Kind::Double).double_value(&[]);
    assert!(others <= OTHER_BYTES, "{tag}: {others}");
    // The last step is without noise.
    let expected = if method == (Method::Ddim { eta: 0.0 }) {
        0
    } else {
        24
    };
    assert_eq!(asked, (0..expected).collect::<Vec<u32>>());
}

#[test]
fn ancestral_sampling_matches_golden() {
    assert_chain("ancestral_25", "25", Method::Ancestral);
}

#[test]
fn ddim_sampling_matches_golden() {
    assert_chain("ddim_ddim25", "ddim25", Method::Ddim { eta: 0.0 });
}

#[test]
fn ddim_sampling_with_noise_matches_golden() {
    assert_chain("ddim_ddim25_eta0.5", "ddim25", Method::Ddim { eta: 0.5 });
}

/// The timesteps of the golden batch.
const TIMESTEPS: [u32; 5] = [0, 1, 90, 500, 999];

/// Shows the golden batch to a network.
fn terms(golden: &Golden, network: &Network, diffusion: &Diffusion, objective: Objective) -> Terms {
    let (x_0, noise) = (golden.get("loss.x0"), golden.get("loss.eps"));
    let timesteps = Tensor::from_slice(&TIMESTEPS.map(i64::from));
    assert_eq!(golden.get("loss.t"), &timesteps);
    let x_t = diffusion.add_noise(x_0, noise, &TIMESTEPS).unwrap();
    let output = output(network, &x_t, &timesteps).unwrap();
    let shown = Shown {
        x_0,
        noise,
        x_t: &x_t,
        indices: &TIMESTEPS,
    };
    objective.terms(diffusion, shown, &output).unwrap()
}

fn assert_term(what: &str, found: Option<&Tensor>, expected: &serde_json::Value, tolerance: f64) {
    let found = found.unwrap_or_else(|| panic!("{what} is absent")).detach();
    let found: Vec<f64> = Vec::try_from(found.to_kind(Kind::Double)).unwrap();
    println!("{what}: {found:?} of {expected}");
    assert_relative(what, &found, &floats(expected), tolerance);
}

fn assert_norms(parameters: &Parameters, expected: &serde_json::Value) {
    let total = expected["grad_norm_total"].as_f64().unwrap();
    assert_relative(
        "total",
        &[gradient_norm(parameters.tensors())],
        &[total],
        NORM,
    );
    for (name, norm) in expected["grad_norms"].as_object().unwrap() {
        let gradient = parameters.get(name).unwrap().grad();
        let found = gradient.to_kind(Kind::Double).norm().double_value(&[]);
        assert_relative(name, &[found], &[norm.as_f64().unwrap()], NORM);
    }
}

const HYBRID: Objective = Objective::Hybrid {
    lambda: PUBLISHED_LAMBDA,
};

#[test]
fn hybrid_losses_and_gradients_match_golden() {
    let golden = Golden::read();
    let unscaled = Objective::Hybrid {
        lambda: 1.0 / 1000.0,
    };
    for (name, objective) in [
        ("hybrid_rescaled_mse", HYBRID),
        ("hybrid_mse_unscaled_vb", unscaled),
    ] {
        let (network, parameters) = trainable();
        let found = terms(&golden, &network, &linear(), objective);
        let expected = &golden.json["losses"][name];
        assert_term("vb", found.bound.as_ref(), &expected["terms"]["vb"], TERM);
        assert_term(
            "mse",
            found.simple.as_ref(),
            &expected["terms"]["mse"],
            TERM,
        );
        assert_term("loss", Some(&found.loss), &expected["terms"]["loss"], TERM);
        found.loss.mean(Kind::Float).backward();
        assert_norms(&parameters, expected);
        for name in ["input_blocks.0.0.weight", "out.2.weight"] {
            let gradient = parameters.get(name).unwrap().grad();
            golden.assert_close(&format!("loss.grad.{name}"), &gradient, GRADIENT);
        }
    }
}

#[test]
fn the_bound_alone_matches_golden() {
    let golden = Golden::read();
    let (network, parameters) = trainable();
    let found = terms(&golden, &network, &linear(), Objective::Bound);
    let expected = &golden.json["losses"]["kl"];
    assert!(found.simple.is_none());
    assert_term(
        "kl",
        Some(&found.loss),
        &expected["terms"]["loss"],
        BOUND_TERM,
    );
    found.loss.mean(Kind::Float).backward();
    assert_norms(&parameters, expected);
}

#[test]
fn the_simple_and_the_cosine_loss_match_golden() {
    let golden = Golden::read();
    let losses = &golden.json["losses"];
    let network = frozen();
    let found = terms(&golden, &network, &linear(), Objective::Simple);
    assert!(found.bound.is_none());
    assert_term(
        "simple",
        Some(&found.loss),
        &losses["l_simple_only_mse"],
        TERM,
    );
    let cosine = Diffusion::new(Schedule::Cosine, 1000).unwrap();
    let found = terms(&golden, &network, &cosine, HYBRID);
    let expected = &losses["cosine_hybrid"];
    assert_term("cosine vb", found.bound.as_ref(), &expected["vb"], TERM);
    assert_term("cosine mse", found.simple.as_ref(), &expected["mse"], TERM);
    assert_term("cosine loss", Some(&found.loss), &expected["loss"], TERM);
}

const ADAM_W: Optimizer = Optimizer {
    kind: UpdateRule::AdamW,
    lr: 1e-4,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.0,
    momentum: None,
    trust: None,
};

/// One step of the golden training; returns the loss before it.
fn train(
    golden: &Golden,
    network: &Network,
    parameters: &mut Parameters,
    moments: &mut OptimizerState,
    average: &mut Average,
) -> f64 {
    let loss = terms(golden, network, &linear(), HYBRID)
        .loss
        .mean(Kind::Float);
    loss.backward();
    moments.step_alike(&ADAM_W, 1.0, parameters.tensors_mut());
    average.update(parameters.tensors());
    loss.double_value(&[])
}

/// Almost all entries of the first rows are within the tolerance, and the others not far.
fn assert_trained(golden: &Golden, key: &str, found: &Tensor) {
    let expected = golden.get(key);
    let found = found.detach().narrow(0, 0, expected.size()[0]);
    let difference = (found - expected).abs();
    let most = difference.max().double_value(&[]);
    let turned = difference
        .gt(TRAINED)
        .to_kind(Kind::Double)
        .mean(Kind::Double);
    let turned = turned.double_value(&[]);
    println!("{key}: {most:e}, {turned} beyond {TRAINED:e}");
    assert!(
        most <= TURNED && turned <= TURNED_SHARE,
        "{key}: {most:e}, {turned}"
    );
}

#[test]
fn three_steps_of_training_match_golden_and_go_on_from_a_file() {
    let golden = Golden::read();
    let (network, mut parameters) = trainable();
    let mut moments = OptimizerState::new(ADAM_W.kind, parameters.tensors());
    let mut average = Average::new(0.9, parameters.tensors());
    let mut losses = Vec::new();
    let mut stored = Vec::new();
    for step in 0..3 {
        if step == 2 {
            let weights = parameters.name("", parameters.tensors());
            stored = vec![
                to_safetensors(weights).unwrap(),
                to_safetensors(moments.state(&parameters)).unwrap(),
                to_safetensors(average.state(&parameters)).unwrap(),
            ];
        }
        let loss = train(
            &golden,
            &network,
            &mut parameters,
            &mut moments,
            &mut average,
        );
        losses.push(loss);
    }
    assert_relative(
        "losses",
        &losses,
        &floats(&golden.json["ema"]["losses"]),
        TERM,
    );
    let averages: BTreeMap<String, &Tensor> = average.state(&parameters).collect();
    for name in [
        "out.2.weight",
        "time_embed.0.bias",
        "middle_block.0.in_layers.2.weight",
    ] {
        let parameter = parameters.get(name).unwrap();
        assert_trained(&golden, &format!("trained.{name}"), parameter);
        assert_trained(&golden, &format!("ema.{name}"), averages[name]);
    }

    // The third step once more, from what lay on the disk before it.
    let directory = tempfile::tempdir().unwrap();
    let open = |position: usize| {
        let file = directory.path().join(position.to_string());
        std::fs::write(&file, &stored[position]).unwrap();
        WeightMap::from_file(&file).unwrap()
    };
    let mut weights = open(0).trainable();
    let network = Network::new(&adm_tiny(), &mut weights).unwrap();
    let mut again = weights.into_parameters();
    let (mut moments_file, mut average_file) = (open(1), open(2));
    let mut moments_again = moments.restored(&again, 2, &mut moments_file);
    let mut average_again = Average::restored(0.9, &again, &mut average_file);
    moments_file.finish().unwrap();
    average_file.finish().unwrap();
    train(
        &golden,
        &network,
        &mut again,
        &mut moments_again,
        &mut average_again,
    );
    assert_eq!(moments_again.steps(), moments.steps());
    for (name, (left, right)) in again
        .names()
        .iter()
        .zip(again.tensors().iter().zip(parameters.tensors()))
    {
        assert_eq!(left, right, "{name}");
    }
    for ((name, left), (_, right)) in average_again.state(&again).zip(average.state(&parameters)) {
        assert_eq!(left, right, "average of {name}");
    }
}

#[test]
fn a_trainable_network_computes_what_a_frozen_one_does() {
    let golden = Golden::read();
    let x_t = golden.get("start_noise");
    let timesteps = Tensor::from_slice(&[90_i64]);
    let frozen = tch::no_grad(|| output(&frozen(), x_t, &timesteps)).unwrap();
    let (network, parameters) = trainable();
    assert_eq!(parameters.names().len(), adm_tiny().state_dict().len());
    for (tensor, (_, shape)) in parameters.tensors().iter().zip(adm_tiny().state_dict()) {
        let shape: Vec<i64> = shape
            .iter()
            .map(|&side| i64::try_from(side).unwrap())
            .collect();
        assert_eq!(tensor.size(), shape);
        assert!(tensor.requires_grad());
    }
    let trained = output(&network, x_t, &timesteps).unwrap();
    assert!(trained.requires_grad());
    // In place or not, the numbers are the same.
    let difference = (trained.detach() - &frozen).abs().max().double_value(&[]);
    println!("trainable: {difference:e}");
    assert!(difference <= 1e-6, "{difference:e}");
    let sampled = tch::no_grad(|| output(&network, x_t, &timesteps)).unwrap();
    assert_eq!(sampled, frozen, "without gradients, bit for bit");
}

#[test]
fn misfits_of_batch_and_process_are_errors() {
    let images = |channels| Tensor::zeros([2, channels, 4, 4], (Kind::Float, Device::Cpu));
    let diffusion = respaced("25");
    let back = |output, indices: &[u32]| {
        diffusion
            .step_back(
                &images(3),
                &images(output),
                indices,
                Variance::Learned,
                true,
            )
            .map(|back| back.mean.size())
    };
    assert_eq!(back(6, &[0, 24]), Ok(vec![2, 3, 4, 4]));
    assert_eq!(
        back(6, &[0]),
        Err(ReverseError::Count {
            indices: 1,
            images: 2
        })
    );
    let (index, steps) = (25, 25);
    assert_eq!(
        back(6, &[0, 25]),
        Err(ReverseError::UnknownIndex { index, steps })
    );
    for found in [3, 4] {
        let expected = 6;
        assert_eq!(
            back(found, &[0, 1]),
            Err(ReverseError::Channels { found, expected })
        );
    }
    // Without a predicted variance there is still the simple loss, and fixed variances.
    let (x, output, indices) = (images(3), images(3), [0, 5]);
    let shown = Shown {
        x_0: &x,
        noise: &x,
        x_t: &x,
        indices: &indices,
    };
    assert!(Objective::Simple.terms(&diffusion, shown, &output).is_ok());
    assert!(HYBRID.terms(&diffusion, shown, &output).is_err());
    for variance in [Variance::FixedLarge, Variance::FixedSmall] {
        assert!(
            diffusion
                .step_back(&x, &output, &indices, variance, true)
                .is_ok()
        );
    }
}
