//! The U-Net encoders that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;
use crate::diffusion::Schedule;
use crate::fetch::Published;

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `adm-256-classifier`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// The weights that are published for it; absent for networks that exist for tests only.
    #[serde(default)]
    pub checkpoint: Option<Published>,
    /// The noise schedule of the images that it reads.
    pub noise_schedule: Schedule,
    /// The number of timesteps of that schedule.
    pub diffusion_steps: u32,
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
        let presets = all();
        let names: Vec<&str> = presets.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "adm-64-classifier",
                "adm-128-classifier",
                "adm-256-classifier",
                "adm-512-classifier",
                "unet-encoder-tiny"
            ]
        );
        for preset in presets {
            let misfits = preset.network.validate();
            assert_eq!(misfits, Vec::<String>::new(), "{}", preset.name);
            let side = preset.network.image_size;
            let file = preset.checkpoint.and_then(|file| file.file_name());
            let expected = preset
                .name
                .ends_with("classifier")
                .then(|| format!("{side}x{side}_classifier.pt"));
            assert_eq!(file, expected, "{}", preset.name);
        }
    }
}
