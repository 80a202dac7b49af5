//! The MAGE encoders that have a name, from `presets.toml` beside this file, built into the program.

use serde::Deserialize;

use super::config::Config;

/// A network with a name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What experiments call it, e.g. `mage-base`.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
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
        let names: Vec<String> = all().into_iter().map(|preset| preset.name).collect();
        assert_eq!(names, ["mage-base", "mage-large", "mage-tiny"]);
    }
}
