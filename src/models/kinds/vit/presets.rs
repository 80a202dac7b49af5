//! The vision transformers that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;
use crate::fetch::Published;

/// How the authors of a network prepare images for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Images {
    /// Mean and deviation 0.5; the shorter side to 248 of 224 pixels (`crop_pct` 0.9), as timm evaluates what was trained in JAX.
    Half,
    /// ImageNet's mean and deviation; the shorter side to 256 of 224 pixels.
    Imagenet,
}

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `vit-b16-mae`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// How images are prepared for it.
    pub images: Images,
    /// What stands before the names of the tensors in the published file.
    #[serde(default)]
    pub prefix: String,
    /// The weights that are published for it; absent for networks that exist for tests only.
    #[serde(default)]
    pub checkpoint: Option<Published>,
    /// The architecture: what decides blocks, shapes and parameter names.
    pub network: Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Vec<Preset>,
}

/// All presets in the order of the file; none if the program was built from a broken one, which a test rules out.
pub fn all() -> Vec<Preset> {
    let file = toml::from_str::<File>(include_str!("presets.toml"));
    file.map_or_else(|_| Vec::new(), |file| file.preset)
}

/// Finds a preset by its exact name.
pub fn find(name: &str) -> Option<Preset> {
    all().into_iter().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_sound_and_every_checkpoint_can_be_fetched() {
        toml::from_str::<File>(include_str!("presets.toml")).unwrap();
        assert_eq!(all().len(), 22);
        for preset in all() {
            let network = &preset.network;
            for size in [network.image_size, network.position_size] {
                assert_eq!(size % network.patch_size, 0, "{}", preset.name);
            }
            assert_eq!(network.embed_dim % network.num_heads, 0);
            // Only the supervised networks have classes, and only they were trained in JAX.
            let is_supervised = network.classes.is_some();
            assert_eq!(is_supervised, preset.images == Images::Half);
            let Some(checkpoint) = preset.checkpoint else {
                assert!(preset.name.ends_with("-tiny"));
                continue;
            };
            assert!(checkpoint.url.starts_with("https://"), "{}", preset.name);
            let file = checkpoint.file_name().unwrap();
            assert_eq!(
                file.rsplit('.').next() == Some("npz"),
                is_supervised,
                "{file}"
            );
        }
    }
}
