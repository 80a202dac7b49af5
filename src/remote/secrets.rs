//! What must not be told: values of the environment that are credentials, and queries of addresses, which may carry signatures.
//!
//! Credentials are taken from the environment by the libraries of the stores, and nothing here keeps them. Messages of these libraries and
//! of servers may repeat them, so every message passes through here.

/// What stands in the place of a secret.
const HIDDEN: &str = "[hidden]";

/// How the names of variables with credentials begin.
const FAMILIES: [&str; 5] = ["AWS_", "AZURE_", "GOOGLE_", "GCP_", "SERVICE_ACCOUNT"];

/// What the names of variables with secrets have in them.
const WORDS: [&str; 8] = [
    "KEY",
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "SAS",
    "CREDENTIAL",
    "ACCOUNT",
    "CLIENT",
];

/// Values shorter than this are words of other messages too.
const SHORTEST: usize = 6;

/// The secrets of this process's environment.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

/// Their number, and not what they are.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those that are there now.
    pub(super) fn of_environment() -> Self {
        Self::of(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    fn of(variables: impl Iterator<Item = (String, String)>) -> Self {
        let is_secret = |name: &str| {
            let name = name.to_ascii_uppercase();
            FAMILIES.iter().any(|family| name.starts_with(family))
                && WORDS.iter().any(|word| name.contains(word))
        };
        let mut secrets: Vec<String> = variables
            .filter(|(name, value)| is_secret(name) && value.len() >= SHORTEST)
            .map(|(_, value)| value)
            .collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// A text without them, on one line.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, HIDDEN);
        }
        let words: Vec<String> = text.split_whitespace().map(without_query).collect();
        words.join(" ")
    }
}

/// An address without its query; any other word as it is.
fn without_query(word: &str) -> String {
    match (word.find("://"), word.find('?')) {
        (Some(scheme), Some(query)) if scheme < query => {
            format!("{}?{HIDDEN}", &word[..query])
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_queries_are_hidden() {
        let variables = [
            ("AWS_SECRET_ACCESS_KEY", "verysecret"),
            ("AWS_SESSION_TOKEN", "verysecret-and-longer"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "me"),
            ("HOME_KEY", "somewhere"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = Secrets::of(variables.into_iter());
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
        assert_eq!(
            secrets
                .hide("denied verysecret,\n verysecret-and-longer in us-east-1 by me, somewhere"),
            "denied [hidden], [hidden] in us-east-1 by me, somewhere"
        );
        assert_eq!(
            secrets.hide("GET http://host/x?sig=abc&se=1: what? 404"),
            "GET http://host/x?[hidden] what? 404"
        );
    }
}
