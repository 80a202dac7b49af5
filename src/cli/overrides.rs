//! Which experiment a command is about: a file, the profile that overrides it, and the keys that `--set` does.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

/// An experiment file and what overrides it.
#[derive(Debug, Clone, Args)]
pub(super) struct ExperimentFile {
    /// The experiment file.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) overrides: Overrides,
}

impl ExperimentFile {
    /// A file as it stands.
    pub(super) fn plain(file: PathBuf) -> Self {
        Self {
            file,
            overrides: Overrides::default(),
        }
    }
}

/// What overrides the keys of an experiment file.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Overrides {
    /// Override keys by those of a profile of the file, `[profile.NAME.…]`.
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Override a key, such as `head.linear.epochs=2`; the value as TOML has it, or a bare word. May be given several times.
    #[arg(long, value_name = "SECTION.NAME.KEY=VALUE", value_parser = parse_set)]
    pub(super) set: Vec<String>,
}

/// Refuses what has no key or no value.
fn parse_set(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
            Ok(text.to_owned())
        }
        _ => Err("expected a key and a value, such as `head.linear.epochs=2`".to_owned()),
    }
}

impl Overrides {
    /// Whether anything is overridden.
    pub(super) fn is_given(&self) -> bool {
        self.profile.is_some() || !self.set.is_empty()
    }

    /// The arguments as they would be typed, each behind a space.
    pub(super) fn as_typed(&self) -> String {
        let mut text = String::new();
        if let Some(profile) = &self.profile {
            let _ = write!(text, " --profile {}", for_shell(profile));
        }
        for set in &self.set {
            let _ = write!(text, " --set {}", for_shell(set));
        }
        text
    }
}

/// An argument as a shell takes it: in single quotation marks where it has anything to expand.
pub(super) fn for_shell(argument: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/=+:,@%".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_typed_as_a_shell_takes_them() {
        let overrides = Overrides {
            profile: Some("smoke".to_owned()),
            set: ["head.linear.epochs=2", "experiment.title=It's a \"test\""]
                .map(str::to_owned)
                .to_vec(),
        };
        assert_eq!(
            overrides.as_typed(),
            " --profile smoke --set head.linear.epochs=2 --set 'experiment.title=It'\\''s a \"test\"'"
        );
        assert_eq!(Overrides::default().as_typed(), "");
    }

    #[test]
    fn a_set_has_a_key_and_a_value() {
        for wrong in ["head.linear.epochs", "=2", "head.linear.epochs=", " = "] {
            assert!(parse_set(wrong).is_err(), "{wrong}");
        }
        assert!(parse_set("a.b==").is_ok());
    }
}
