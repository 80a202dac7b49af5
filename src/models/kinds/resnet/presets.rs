//! The ResNets that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;
use super::layouts::Layout;
use crate::fetch::Published;
use crate::imaging::Filter;

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `resnet-50`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// The weights that are published for it; absent for networks that exist for tests only.
    #[serde(default)]
    pub checkpoint: Option<Published>,
    /// How the published file names its tensors; absent where none is published.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// The filter by which its authors resize images to evaluate it.
    #[serde(default = "bilinear")]
    pub resize_filter: Filter,
    /// The architecture: what decides blocks, shapes and parameter names.
    pub network: Config,
}

/// What torchvision resizes by, and who uses its transforms.
fn bilinear() -> Filter {
    Filter::Bilinear
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
        let mut names = Vec::new();
        let mut files = Vec::new();
        for preset in all() {
            assert_eq!(preset.layout.is_some(), preset.checkpoint.is_some());
            // Only torchvision's networks, and the one for tests, have classes.
            let is_headless = preset.network.classes.is_none();
            assert_eq!(is_headless, preset.name.starts_with("resnet-50-"));
            let is_dino = preset.name == "resnet-50-dino";
            assert_eq!(preset.resize_filter == Filter::Bicubic, is_dino);
            if let Some(checkpoint) = preset.checkpoint {
                assert!(checkpoint.url.starts_with("https://"), "{}", preset.name);
                // Two of one name would replace each other in the folder of weights.
                let file = checkpoint.file_name().unwrap();
                assert!(!files.contains(&file), "{file} twice");
                files.push(file);
            }
            assert!(!names.contains(&preset.name), "{} twice", preset.name);
            names.push(preset.name);
        }
        assert_eq!((names.len(), files.len()), (15, 14));
    }
}
