//! The Inception networks that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;
use crate::fetch::Published;

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `inception-fid`.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
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
    fn the_file_is_sound() {
        toml::from_str::<File>(include_str!("presets.toml")).unwrap();
        let published = find("inception-fid").unwrap();
        assert_eq!(
            published.checkpoint.unwrap().file_name().unwrap(),
            "pt_inception-2015-12-05-6726825d.pth"
        );
        assert!(find("inception-tiny").unwrap().checkpoint.is_none());
        assert_eq!(all().len(), 2);
    }
}
