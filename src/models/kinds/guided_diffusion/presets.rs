//! The guided-diffusion networks that have a name: published checkpoints and the tests' small ones.
//!
//! They are data, in `data/models/guided-diffusion.toml`, built into the program.

use serde::Deserialize;
use thiserror::Error;

use crate::bug::Bug;
use crate::diffusion::Schedule;
use crate::fetch::Published;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::kinds::guided_diffusion::config::Config;

const TOML: &str = include_str!("../../../../data/models/guided-diffusion.toml");

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `adm-256-uncond`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// The weights that upstream publishes; absent for networks that exist for tests only.
    #[serde(default)]
    pub checkpoint: Option<Published>,
    /// The noise schedule that it was trained with.
    pub noise_schedule: Schedule,
    /// The number of timesteps that it was trained with.
    pub diffusion_steps: u32,
    /// The architecture: what decides blocks, shapes and parameter names.
    pub network: Config,
}

/// A preset that is not available.
#[derive(Debug, Error)]
pub enum PresetError {
    /// Nothing has that name.
    #[error("unknown preset `{name}`; the presets are {}", known.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// All names, in the order of the file.
        known: Vec<String>,
    },
    /// The file that is built into the program is wrong.
    #[error(transparent)]
    Bug(#[from] Bug),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Vec<Preset>,
}

/// All presets in the order of the file: published ones first.
///
/// # Errors
/// Only if the program was built from a broken file.
pub fn all() -> Result<Vec<Preset>, PresetError> {
    let file = toml::from_str::<File>(TOML).map_err(|error| {
        Bug::new(format!(
            "data/models/guided-diffusion.toml, built into the program: {error}"
        ))
    })?;
    Ok(file.preset)
}

/// Finds a preset by its exact name.
///
/// # Errors
/// Lists the known names if there is none.
pub fn find(name: &str) -> Result<Preset, PresetError> {
    let presets = all()?;
    let known = presets.iter().map(|preset| preset.name.clone()).collect();
    let found = presets.into_iter().find(|preset| preset.name == name);
    found.ok_or_else(|| PresetError::Unknown {
        name: name.into(),
        known,
    })
}

/// The names of the presets whose parameters have just the names and shapes of the file's tensors, and that hold numbers
/// that a network can compute with.
///
/// # Errors
/// Only if the program was built from a broken file.
pub fn fitting(tensors: &StoredTensors) -> Result<Vec<String>, PresetError> {
    let fits = |preset: &Preset| {
        let required = preset.network.state_dict();
        FileNames::fit(tensors, &[FileNames::PLAIN], &required, |_| false)
    };
    let names = all()?.into_iter().filter(fits).map(|preset| preset.name);
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::TapShape;
    use crate::models::block::BlockIndex;
    use serde_json::Value;

    fn golden(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn state_dict(list: &Value) -> Vec<(String, Vec<usize>)> {
        serde_json::from_value(list.clone()).unwrap()
    }

    #[test]
    fn every_preset_is_sound_and_has_its_own_name() {
        let presets = all().unwrap();
        for (i, preset) in presets.iter().enumerate() {
            assert_eq!(
                preset.network.validate(),
                Vec::<String>::new(),
                "{}",
                preset.name
            );
            assert!(
                presets[..i].iter().all(|other| other.name != preset.name),
                "{} twice",
                preset.name
            );
            assert_eq!(find(&preset.name).unwrap(), *preset);
        }
    }

    #[test]
    fn every_checkpoint_can_be_fetched_and_says_who_states_its_digest() {
        let presets = all().unwrap();
        let mut names = Vec::new();
        for preset in presets {
            let Some(checkpoint) = preset.checkpoint else {
                continue;
            };
            assert!(checkpoint.url.starts_with("https://"), "{}", preset.name);
            let name = crate::fetch::file_name(&checkpoint.url).unwrap();
            assert!(!names.contains(&name), "{name} twice");
            names.push(name);
            if let Some(stated) = checkpoint.sha256 {
                let digest: crate::fetch::Digest = stated.digest.parse().unwrap();
                assert_eq!(digest.to_string(), stated.digest);
                assert!(stated.who.len() > 20, "{}", preset.name);
            }
        }
        assert_eq!(names.len(), 9);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = find("adm-257").unwrap_err().to_string();
        assert!(
            error.contains("adm-257") && error.contains("adm-256-uncond, "),
            "{error}"
        );
    }

    #[test]
    fn the_paper_network_is_the_golden_one() {
        let network = find("adm-256-uncond").unwrap().network;
        let expected = golden(include_str!(
            "../../../../tests/golden/guided_diffusion/adm-256-state-dict.json"
        ));
        assert_eq!(network.state_dict(), state_dict(&expected));
        assert_eq!(network.parameter_count(), 552_814_086);

        let blocks = network.blocks();
        assert_eq!(blocks.len(), 37);
        assert_eq!(
            (blocks[18].index, blocks[18].path.as_str()),
            (BlockIndex(19), "middle_block")
        );
        assert_eq!(
            (blocks[23].index, blocks[23].shape),
            (BlockIndex(24), TapShape::map(1024, 16, 16))
        );
        let expected = golden(include_str!(
            "../../../../tests/golden/guided_diffusion/adm-256.json"
        ));
        for (number, block) in (1..).zip(&blocks) {
            assert_eq!(block.index, BlockIndex(number));
            let shape: [u32; 4] =
                serde_json::from_value(expected["stats"][format!("b{number:02}")]["shape"].clone())
                    .unwrap();
            assert_eq!(block.shape.sizes(), shape[1..], "{}", block.index);
        }
    }

    #[test]
    fn the_small_networks_are_the_golden_ones() {
        for (name, text) in [
            (
                "adm-tiny",
                include_str!("../../../../tests/golden/guided_diffusion/adm-tiny.json"),
            ),
            (
                "adm-nano",
                include_str!("../../../../tests/golden/guided_diffusion/adm-nano.json"),
            ),
        ] {
            let (network, expected) = (find(name).unwrap().network, golden(text));
            assert_eq!(
                network.state_dict(),
                state_dict(&expected["state_dict"]),
                "{name}"
            );
            assert_eq!(
                Some(network.parameter_count()),
                expected["parameters"].as_u64(),
                "{name}"
            );
            let blocks = network.blocks();
            assert_eq!(
                Some(blocks.len() as u64),
                expected["n_blocks"].as_u64(),
                "{name}"
            );
            for block in &blocks {
                let shape = &expected["block_shapes"][format!("b{:02}", block.index.0)];
                assert_eq!(
                    serde_json::to_value(block.shape.sizes()).unwrap(),
                    *shape,
                    "{name} {}",
                    block.index
                );
            }
        }
    }

    /// Every preset against upstream's own `create_model`, without its weights.
    #[test]
    fn all_presets_have_the_parameters_of_the_reference() {
        let expected = golden(include_str!(
            "../../../../tests/golden/guided_diffusion/presets.json"
        ));
        let expected = expected.as_object().unwrap();
        let presets = all().unwrap();
        assert_eq!(presets.len(), expected.len());
        for preset in presets {
            let (network, expected) = (&preset.network, &expected[&preset.name]);
            assert_eq!(
                Some(network.parameter_count()),
                expected["parameters"].as_u64(),
                "{}",
                preset.name
            );
            assert_eq!(
                Some(network.blocks().len() as u64),
                expected["blocks"].as_u64(),
                "{}",
                preset.name
            );
            assert_eq!(
                serde_json::to_value(preset.noise_schedule).unwrap(),
                expected["noise_schedule"]
            );
            // Names and shapes, one line each, in order.
            let lines: Vec<String> = network
                .state_dict()
                .iter()
                .map(|(name, shape)| format!("{name} {shape:?}\n"))
                .collect();
            let digest = blake3::hash(lines.concat().as_bytes()).to_hex();
            assert_eq!(
                expected["state_dict_blake3"].as_str(),
                Some(digest.as_str()),
                "{}",
                preset.name
            );
        }
    }
}
