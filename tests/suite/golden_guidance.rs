//! Samples that a classifier leads, against the reference code's own loops.
//!
//! Data, oracle and tolerances: `tests/golden/diffusion/README.md`. The tolerances here are the ones written there and are never
//! widened.

use std::collections::BTreeMap;
use std::path::Path;

use repro::diffusion::respacing::Respacing;
use repro::diffusion::reverse::Variance;
use repro::diffusion::sampling::{Denoiser, Method, Sampling};
use repro::models::extractor::{ForwardError, Network};
use repro::models::{self, Precision, WeightsSource};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

const SAMPLE: f64 = 1e-4;
const GRADIENT: f64 = 1e-5;
const CLASS: i64 = 7;
const SCALE: f64 = 3.0;

fn golden(name: &str) -> BTreeMap<String, Tensor> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diffusion");
    let bytes = std::fs::read(folder.join(name)).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let floats = stored.tensors().into_iter();
    let floats = floats.filter(|(_, view)| view.dtype() == safetensors::Dtype::F32);
    floats
        .map(|(name, view)| {
            let size = view.shape().iter();
            let shape: Vec<i64> = size.map(|&side| i64::try_from(side).unwrap()).collect();
            let tensor = Tensor::from_data_size(view.data(), &shape, Kind::Float);
            (name, tensor)
        })
        .collect()
}

fn load(preset: &str, seed: u64) -> Box<dyn Network> {
    let model = models::preset(preset).unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(seed));
    model
        .load(Path::new("."), Device::Cpu, Precision::F32)
        .unwrap()
}

/// A network, and the classifier that leads it.
struct Led {
    network: Box<dyn Network>,
    classifier: Box<dyn Network>,
}

impl Denoiser for Led {
    fn denoise(&mut self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        self.network.denoise(x_t, timestep, None)
    }

    fn gradient(&mut self, x_t: &Tensor, timestep: u32) -> Result<Option<Tensor>, ForwardError> {
        let gradient = self.classifier.class_gradient(x_t, timestep, &[CLASS])?;
        Ok(Some(gradient * SCALE))
    }
}

fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found - expected).abs().max().double_value(&[])
}

#[test]
fn a_classifier_leads_both_chains_as_the_reference_does() {
    let (given, led) = (
        golden("sampling.safetensors"),
        golden("guidance.safetensors"),
    );
    let start = given["start_noise"].narrow(0, 0, 1);
    let mut denoiser = Led {
        network: load("adm-tiny", 1),
        classifier: load("unet-encoder-tiny", 5),
    };
    let gradient = denoiser.gradient(&start, 500).unwrap().unwrap();
    let off = difference(&gradient, &led["gradient.t500"]);
    assert!(off < GRADIENT, "{off:e}");
    let model = models::preset("adm-tiny").unwrap().model;
    for (name, respacing, method) in [
        (
            "p_sample_loop",
            Respacing::Sections(vec![5]),
            Method::Ancestral,
        ),
        (
            "ddim_sample_loop",
            Respacing::Stride(5),
            Method::Ddim { eta: 0.0 },
        ),
    ] {
        let sampling = Sampling {
            diffusion: model.denoising().unwrap().process(&respacing).unwrap(),
            method,
            variance: Variance::Learned,
            clip: true,
        };
        let mut noise = |step: repro::diffusion::sampling::Step| {
            given["step_noise"]
                .get(i64::from(step.number))
                .narrow(0, 0, 1)
        };
        let made = sampling.run(&start, &mut denoiser, &mut noise, &mut |_, _| {});
        let off = difference(&made.unwrap(), &led[&format!("{name}.final")]);
        assert!(off < SAMPLE, "{name}: {off:e}");
    }
}

#[test]
fn what_a_network_cannot_be_asked_is_an_error() {
    let (network, classifier) = (load("adm-nano", 1), load("unet-encoder-tiny", 5));
    let x_t = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    let gradient = network.class_gradient(&x_t, 10, &[0]);
    assert_eq!(gradient.unwrap_err(), ForwardError::NoGradient);
    let unknown = ForwardError::UnknownClass { count: 10 };
    for class in [-1, 10] {
        let gradient = classifier.class_gradient(&x_t, 10, &[class]);
        assert_eq!(gradient.unwrap_err(), unknown);
    }
    let given = network.denoise(&x_t, 10, Some(&[0]));
    assert_eq!(given.unwrap_err(), ForwardError::ClassLabelsUnexpected);
}

/// The way over the host, which kinds have that give no other, is the same one.
#[test]
fn a_step_on_the_device_has_the_bits_of_one_by_way_of_the_host() {
    let network = load("adm-nano", 1);
    let given = golden("sampling.safetensors");
    let x_t = &given["start_noise"];
    let mut pixels = vec![0f32; x_t.numel()];
    let length = pixels.len();
    x_t.copy_data(&mut pixels, length);
    let images = repro::models::extractor::Images {
        pixels: &pixels,
        count: 2,
        timestep: Some(500),
        classes: None,
    };
    let until = repro::models::extractor::Until::Output;
    let by_host = network.forward(images, &[], until, &mut |_, _| {});
    let by_host = by_host.unwrap().unwrap();
    assert_eq!(network.denoise(x_t, 500, None).unwrap(), by_host);
}
