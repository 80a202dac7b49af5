//! Keys of a training, and what a training that is stopped leaves.

use super::{Loss, Pretraining, Timesteps};
use crate::graph::{self, Experiment};
use crate::spec::Source;
use crate::trainer::{Optimizer, UpdateRule};

/// An experiment with the training of a small network by these keys, or what is wrong with them: codes and messages.
fn experiment(keys: &str, learn_sigma: bool) -> Result<Experiment, Vec<(String, String)>> {
    let text = format!(
        r#"
[experiment]
name = "case"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[pretrain.ddpm]
dataset = "fashion"
{keys}

[model.unet]
kind                  = "guided-diffusion"
weights               = {{ pretrain = "ddpm" }}
image_size            = 16
model_channels        = 32
num_res_blocks        = 1
channel_mult          = [1, 1]
attention_resolutions = [8]
num_head_channels     = 32
learn_sigma           = {learn_sigma}
"#
    );
    graph::build(&Source::new("case.toml", text)).map_err(|mistakes| {
        let records = mistakes.records().into_iter();
        records
            .map(|record| (record.code.to_owned(), record.message.to_owned()))
            .collect()
    })
}

/// The training of that experiment.
fn parse(keys: &str, learn_sigma: bool) -> Result<Pretraining, Vec<(String, String)>> {
    experiment(keys, learn_sigma).map(|experiment| experiment.pretrains[0].training.clone())
}

#[test]
fn defaults_are_the_published_ones_and_follow_the_network() {
    let simple = parse("steps = 7", false).unwrap();
    assert_eq!((simple.steps, simple.batch_size), (7, 128));
    assert_eq!(simple.loss, Loss::Simple);
    let hybrid = parse("steps = 7", true).unwrap();
    assert_eq!(hybrid.loss, Loss::Hybrid { lambda: 0.001 });
    let adamw = Optimizer {
        kind: UpdateRule::AdamW,
        lr: 1e-4,
        ..Optimizer::default()
    };
    assert_eq!((hybrid.optimizer, hybrid.clip), (adamw, None));
    assert_eq!(hybrid.timesteps, Timesteps::Uniform);
    assert!((hybrid.average - 0.9999).abs() < 1e-12 && hybrid.flip);
    let bound = parse("steps = 7\nloss = \"bound\"\nflip = false", true).unwrap();
    assert_eq!((bound.loss, bound.flip), (Loss::Bound, false));
}

#[test]
fn a_loss_that_the_network_cannot_have_is_refused() {
    for loss in ["hybrid", "bound"] {
        let mistakes = parse(&format!("steps = 7\nloss = \"{loss}\""), false).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(mistakes[0].0, "graph::model-misfit");
        assert!(
            mistakes[0].1.contains("predicts no variance"),
            "{mistakes:?}"
        );
    }
    for (keys, learn_sigma) in [
        ("lambda = 0.1", false),
        ("lambda = 0.1\nloss = \"simple\"", true),
        ("lambda = 0.1\nloss = \"bound\"", true),
    ] {
        let mistakes = parse(&format!("steps = 7\n{keys}"), learn_sigma).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].1.contains("`lambda`"), "{mistakes:?}");
    }
    let hybrid = parse("steps = 7\nlambda = 0.1", true).unwrap();
    assert_eq!(hybrid.loss, Loss::Hybrid { lambda: 0.1 });
}

#[test]
fn steps_are_required() {
    let mistakes = parse("", true).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].1.contains("`steps`"), "{mistakes:?}");
}

#[test]
fn the_learning_rate_rises_to_its_full_value_and_stays() {
    let warm = parse("steps = 7\nwarmup = 4", true).unwrap();
    let factors: Vec<f64> = (0..6).map(|step| warm.warmup_factor(step)).collect();
    assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
    let cold = parse("steps = 7", true).unwrap();
    assert!((cold.warmup_factor(0) - 1.0).abs() < f64::EPSILON);
}

#[cfg(feature = "torch")]
mod steps {
    //! Steps of a tiny network.

    use std::convert::Infallible;

    use super::super::{Images, PretrainError, Trainer, TrainerState};
    use super::*;
    use crate::diffusion::Diffusion;
    use crate::diffusion::respacing::Respacing;
    use crate::message::Hint;
    use crate::models::Model;
    use crate::models::checkpoint::weights::WeightMap;
    use crate::models::denoising::Denoise;
    use crate::random::Stream;
    use crate::trainer::pretraining::config::POINT_EVERY;

    /// Seven squares with slopes, three channels of 16 × 16.
    struct Slopes;

    impl Images for Slopes {
        type Error = Infallible;

        fn count(&self) -> usize {
            7
        }

        fn fill(
            &self,
            image: usize,
            (_, mirrored): (&str, bool),
            target: &mut [f32],
        ) -> Result<(), Infallible> {
            let mut stream = Stream::new(image as u64, "slopes");
            let steepness = f32::from(u8::try_from(stream.next_below(100)).unwrap()) / 100.0;
            for (place, value) in target.iter_mut().enumerate() {
                let column = u8::try_from(place % 16).unwrap();
                let column = if mirrored { 15 - column } else { column };
                *value = steepness * (f32::from(column) / 8.0 - 1.0);
            }
            Ok(())
        }
    }

    /// A training under way.
    struct Running {
        config: Pretraining,
        model: std::sync::Arc<dyn Model>,
        network: Box<dyn Denoise>,
        diffusion: Diffusion,
        state: TrainerState,
    }

    impl Running {
        fn new(keys: &str) -> Self {
            let experiment = experiment(keys, true).unwrap();
            let config = experiment.pretrains[0].training.clone();
            let model = std::sync::Arc::clone(&experiment.models[0].model);
            let denoising = model.denoising().unwrap();
            let diffusion = denoising.process(&Respacing::All).unwrap();
            let trainable = denoising
                .trainable()
                .unwrap()
                .begin_training(config.seed, tch::Device::Cpu, config.precision)
                .unwrap();
            let state = TrainerState::new(&config, trainable.parameters, diffusion.steps());
            Self {
                network: trainable.network,
                config,
                model,
                diffusion,
                state,
            }
        }

        fn run_to(&mut self, step: u32) -> Result<(), PretrainError<Infallible>> {
            let input = self.model.input();
            let mut trainer = Trainer::new(
                &self.config,
                &*self.network,
                &self.diffusion,
                &Slopes,
                input,
                tch::Device::Cpu,
            );
            while self.state.step < step {
                trainer.step(&mut self.state)?;
            }
            Ok(())
        }

        fn restored(keys: &str, bytes: &[u8], step: u32) -> Self {
            let mut running = Self::new(keys);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint.safetensors");
            std::fs::write(&path, bytes).unwrap();
            let (config, state) = (&running.config, &mut running.state);
            let stored = WeightMap::from_file(&path).unwrap();
            state.restore(config, stored, step).unwrap();
            running
        }
    }

    const ALL_KEYS: &str = "steps = 13\nbatch_size = 3\noptimizer = { lr = 1e-3, weight_decay = 0.01 }\nwarmup = 6\n\
                            average = 0.9\nclip = 0.5\nseed = 4";

    #[test]
    fn a_training_that_is_stopped_goes_on_bit_for_bit() {
        for timesteps in ["uniform", "loss-aware"] {
            let keys = format!("{ALL_KEYS}\ntimesteps = \"{timesteps}\"");
            let mut whole = Running::new(&keys);
            whole.run_to(13).unwrap();
            // Before the first point of the curve, and after it.
            for stop in [4, 11] {
                let mut first = Running::new(&keys);
                first.run_to(stop).unwrap();
                let bytes = first.state.to_bytes().unwrap();
                let mut second = Running::restored(&keys, &bytes, stop);
                assert_eq!(second.state.step, stop);
                assert!(
                    second.state.to_bytes().unwrap() == bytes,
                    "{timesteps}: what is read at {stop} is not what was written"
                );
                second.run_to(13).unwrap();
                // The bytes hold parameters, averages, moments, curve, sums and losses.
                assert!(
                    second.state.to_bytes().unwrap() == whole.state.to_bytes().unwrap(),
                    "{timesteps}: stopped at {stop}"
                );
                assert_eq!(second.state.curve, whole.state.curve);
                assert_eq!(second.state.timesteps, whole.state.timesteps);
                assert_eq!(second.state.moments.steps(), 13);
            }
            assert_eq!(whole.state.curve.len(), 1);
            let point = whole.state.curve[0];
            assert_eq!(point.step, POINT_EVERY);
            assert!((point.learning_rate - 1e-3).abs() < 1e-9);
            assert!(point.loss > 0.0 && point.gradient_norm > 0.0, "{point:?}");
        }
    }

    #[test]
    fn seed_and_timesteps_change_what_is_learned() {
        let after_two = |keys: &str| {
            let mut running = Running::new(&format!("steps = 2\nbatch_size = 2\n{keys}"));
            running.run_to(2).unwrap();
            running.state.averages_to_bytes().unwrap()
        };
        let usual = after_two("seed = 1");
        assert!(usual == after_two("seed = 1"), "the same twice");
        for keys in ["seed = 2", "seed = 1\nflip = false", "seed = 1\nlambda = 1"] {
            assert!(usual != after_two(keys), "{keys}");
        }
    }

    #[test]
    fn the_loss_falls_in_both_precisions() {
        for precision in ["f32", "bf16"] {
            let keys = format!(
                "steps = 30\nbatch_size = 4\noptimizer = {{ lr = 2e-3 }}\nclip = 1\nprecision = \"{precision}\""
            );
            let mut running = Running::new(&keys);
            running.run_to(30).unwrap();
            let losses: Vec<f32> = running.state.curve.iter().map(|point| point.loss).collect();
            assert_eq!(losses.len(), 3);
            // A network that predicts nothing has a loss of 1.
            assert!(
                losses[2] < 0.8 * losses[0] && losses[2] < 0.8,
                "{precision}: {losses:?}"
            );
        }
    }

    /// For errors of images that never fail.
    impl Hint for Infallible {
        fn hint(&self) -> Option<String> {
            match *self {}
        }
    }

    #[test]
    fn a_training_that_diverges_says_what_helps() {
        let mut running = Running::new("steps = 20\nbatch_size = 2\noptimizer = { lr = 1e6 }");
        let error = running.run_to(20).unwrap_err();
        let text = error.explain().to_string();
        for remedy in ["learning rate", "`warmup`", "`clip`"] {
            assert!(text.contains(remedy), "{text}");
        }
        assert!(running.state.step < 20);
    }

    #[test]
    fn a_checkpoint_of_another_network_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        let running = Running::new("steps = 2");
        std::fs::write(&path, running.state.averages_to_bytes().unwrap()).unwrap();
        let mut other = Running::new("steps = 2");
        let (config, state) = (&other.config, &mut other.state);
        let stored = WeightMap::from_file(&path).unwrap();
        assert!(state.restore(config, stored, 1).is_err());
        assert_eq!(state.step, 0);
    }
}
