//! Where a remote is: a folder, a bucket, or a place on the web. An address never holds a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::message::Message;

/// What to do about an address that holds a secret.
const FROM_ENVIRONMENT: &str = "credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; docs/shared-cache.md lists them";

/// The address of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) place: Place,
    /// What stands before every name in it; no slash at either end.
    pub(super) prefix: String,
    shown: String,
}

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder of this machine, or of a file system that several share.
    Folder(PathBuf),
    /// A bucket of S3 or of a store that speaks the same protocol.
    S3(String),
    /// A bucket of Google Cloud Storage.
    Google(String),
    /// A container of Azure Blob Storage.
    Azure(String),
    /// A server that only gives.
    Http(String),
}

impl Address {
    /// Reads an address: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/PREFIX`, `http://…`, `https://…`, `file:///…` or the path of a
    /// folder, counted from `base`.
    ///
    /// # Errors
    /// An address of another form, or one that holds a user, a password or a query. The message does not repeat these.
    pub fn parse(typed: &str, base: &Path) -> Result<Self, Message> {
        let Some((scheme, rest)) = typed.split_once("://") else {
            return Self::folder(typed, base.join(in_home(typed)));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(Message::new(format!(
                "the address of the remote, {scheme}://…, holds a user or a password"
            ))
            .hint(FROM_ENVIRONMENT));
        }
        if rest.contains(['?', '#']) {
            return Err(Message::new(format!(
                "the address of the remote, {scheme}://…, holds a query"
            ))
            .hint(FROM_ENVIRONMENT));
        }
        let url = Url::parse(typed).map_err(|error| {
            Message::new(format!("`{typed}` is not the address of a remote: {error}"))
        })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let prefix = url.path().trim_matches('/').to_owned();
        let place = match scheme {
            "file" => {
                let path = url.to_file_path();
                let path = path.map_err(|()| {
                    Message::new(format!("`{typed}` names no folder of this machine")).hint(
                        "an address of a folder has three slashes, such as file:///data/shared",
                    )
                })?;
                return Self::folder(typed, path);
            }
            "s3" => Place::S3(host),
            "gs" => Place::Google(host),
            "az" => Place::Azure(host),
            "http" | "https" => {
                let server = &url.as_str()[..before_path(&url)];
                Place::Http(server.to_owned())
            }
            other => {
                return Err(Message::new(format!("no remote is of the kind `{other}://`"))
                    .hint("one of s3://, gs://, az://, http://, https://, file:// or the path of a folder"));
            }
        };
        let named = !matches!(&place, Place::S3(name) | Place::Google(name) | Place::Azure(name) if name.is_empty());
        if !named {
            return Err(Message::new(format!("`{typed}` names no bucket"))
                .hint(format!("such as {scheme}://bucket/prefix")));
        }
        Ok(Self {
            place,
            prefix,
            shown: typed.trim_end_matches('/').to_owned(),
        })
    }

    fn folder(typed: &str, path: PathBuf) -> Result<Self, Message> {
        if typed.is_empty() {
            return Err(Message::new("the address of the remote is empty"));
        }
        Ok(Self {
            place: Place::Folder(path),
            prefix: String::new(),
            shown: typed.to_owned(),
        })
    }

    /// The same remote below a prefix, such as the name of a project.
    ///
    /// # Errors
    /// A prefix with other characters than letters, digits, `.`, `-`, `_` and `/`, or with a step upwards.
    pub fn below(mut self, prefix: &str) -> Result<Self, Message> {
        let prefix = prefix.trim_matches('/');
        let is_plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part
                    .chars()
                    .all(|one| one.is_ascii_alphanumeric() || ".-_".contains(one))
        };
        if prefix.is_empty() {
            return Ok(self);
        }
        if !prefix.split('/').all(is_plain) {
            return Err(
                Message::new(format!("`{prefix}` cannot stand before names in a remote"))
                    .hint("letters, digits, `.`, `-` and `_`, parts divided by `/`"),
            );
        }
        self.shown = format!("{}/{prefix}", self.shown);
        if !self.prefix.is_empty() {
            self.prefix.push('/');
        }
        self.prefix.push_str(prefix);
        Ok(self)
    }

    /// Whether something can be put there.
    pub fn takes(&self) -> bool {
        !matches!(self.place, Place::Http(_))
    }
}

/// As it was typed: there is no secret in it.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Where the path of a URL begins.
fn before_path(url: &Url) -> usize {
    let scheme = url.scheme().len() + "://".len();
    let rest = &url.as_str()[scheme..];
    scheme + rest.find('/').unwrap_or(rest.len())
}

/// A path whose `~/` stands for the user's folder.
fn in_home(typed: &str) -> PathBuf {
    let below = typed.strip_prefix("~/");
    let found = below.and_then(|below| Some(std::env::home_dir()?.join(below)));
    found.unwrap_or_else(|| PathBuf::from(typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Address {
        Address::parse(typed, Path::new("base")).unwrap()
    }

    #[test]
    fn addresses_of_each_form_are_read() {
        for (typed, place, prefix) in [
            ("shared", Place::Folder("base/shared".into()), ""),
            ("/data/x", Place::Folder("/data/x".into()), ""),
            ("file:///data/x", Place::Folder("/data/x".into()), ""),
            ("s3://bucket/a/b/", Place::S3("bucket".into()), "a/b"),
            ("gs://bucket", Place::Google("bucket".into()), ""),
            ("az://container/a", Place::Azure("container".into()), "a"),
            (
                "http://127.0.0.1:8000/x",
                Place::Http("http://127.0.0.1:8000".into()),
                "x",
            ),
            ("https://host", Place::Http("https://host".into()), ""),
        ] {
            let address = parse(typed);
            assert_eq!((&address.place, address.prefix.as_str()), (&place, prefix));
        }
        let below = parse("s3://bucket/a").below("/team/project/").unwrap();
        assert_eq!(below.prefix, "a/team/project");
        assert_eq!(below.to_string(), "s3://bucket/a/team/project");
        assert_eq!(parse("gs://bucket").below("x").unwrap().prefix, "x");
        assert!(!parse("https://host").takes() && parse("shared").takes());
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for typed in [
            "s3://user:verysecret@bucket/x",
            "https://verysecret@host/x",
            "https://host/x?sig=verysecret",
            "s3://bucket#verysecret",
        ] {
            let refusal = Address::parse(typed, Path::new(""))
                .unwrap_err()
                .to_string();
            assert!(!refusal.contains("verysecret"), "{refusal}");
            assert!(refusal.contains("environment"), "{refusal}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for typed in ["", "ftp://host/x", "s3://", "file://host/x", "http://"] {
            assert!(Address::parse(typed, Path::new("")).is_err(), "{typed}");
        }
        for prefix in ["..", "a/../b", "a b", "a//b", "ä"] {
            assert!(parse("s3://bucket").below(prefix).is_err(), "{prefix}");
        }
    }
}
