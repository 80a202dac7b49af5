//! The networks of Stable Diffusion that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;
use crate::fetch::Published;

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `sd-v1`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// The weights that are published for it, with those of its text encoder; absent for networks that exist for tests only.
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
    fn the_file_is_sound_and_the_text_encoder_makes_what_the_network_reads() {
        toml::from_str::<File>(include_str!("presets.toml")).unwrap();
        assert_eq!(all().len(), 2);
        for preset in all() {
            assert_eq!(preset.network.unet().validate(), Vec::<String>::new());
            assert_eq!(preset.network.context_dim, preset.network.text.width);
            assert_eq!(preset.network.text.width % preset.network.text.heads, 0);
        }
    }
}
