//! HTTP: the one file that names the library for it. One request after the other, on the thread that asks.
//!
//! There is a limit for connecting and one for silence, but none for the whole. The user's wish to stop is heard within a
//! tenth of a second, also while nothing arrives.

use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, Response, Url, redirect};
use tokio::runtime::{Builder, Runtime};

use super::Request;
use super::answer::Head;
use super::error::FetchError;

/// How often the wish to stop is asked for while nothing arrives.
const TICK: Duration = Duration::from_millis(100);
/// Redirections that are followed in a row.
const MOST_REDIRECTIONS: usize = 10;

/// Why an answer ended early, or none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Stopped by the user.
    Stopped,
    /// No answer came.
    Unreachable(String),
    /// An answer came, and then it broke.
    Broken(String),
    /// The request itself is not possible; trying again does not help.
    Impossible(String),
}

/// A client for HTTP and HTTPS.
pub(super) struct Http<'a> {
    runtime: Option<Runtime>,
    client: Client,
    connect: Duration,
    silence: Duration,
    stop: &'a dyn Fn() -> bool,
}

/// An answer whose body has yet to come.
pub(super) struct Answer {
    response: Response,
    /// Status code and the headers that matter.
    pub(super) head: Head,
}

impl<'a> Http<'a> {
    /// A client that gives up connecting after `connect`, and waiting for bytes after `silence`.
    pub(super) fn new(
        url: &str,
        connect: Duration,
        silence: Duration,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, FetchError> {
        let bad = |reason: String| FetchError::BadAddress {
            url: without_credentials(url),
            reason,
        };
        let client = Client::builder()
            .user_agent(concat!("repro/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .redirect(redirect::Policy::custom(follow))
            .build()
            .map_err(|error| bad(format!("HTTPS cannot be set up: {}", innermost(&error))))?;
        // One thread: the bytes are wanted here and nowhere else.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| bad(format!("no connections can be made: {error}")))?;
        Ok(Self {
            runtime: Some(runtime),
            client,
            connect,
            silence,
            stop,
        })
    }

    /// Asks for a file: for the whole, or from a byte on, if the server still has the version that the validator names.
    pub(super) fn get(
        &self,
        url: &str,
        rest: Option<(u64, Option<&str>)>,
    ) -> Result<Answer, Trouble> {
        let mut request = self
            .client
            .get(url)
            // Packed bytes would have another digest.
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some((from, validator)) = rest {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(validator) = validator {
                request = request.header(header::IF_RANGE, validator);
            }
        }
        let limit = self.connect + self.silence;
        let response = match self.wait(request.send(), limit) {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_builder() || error.is_redirect() => {
                return Err(Trouble::Impossible(innermost(&error)));
            }
            Ok(Err(error)) if error.is_timeout() => {
                let seconds = self.connect.as_secs_f64();
                return Err(Trouble::Unreachable(format!(
                    "no connection within {seconds} s"
                )));
            }
            Ok(Err(error)) => return Err(Trouble::Unreachable(innermost(&error))),
            Err(Idle::Stopped) => return Err(Trouble::Stopped),
            Err(Idle::TooLong) => {
                let seconds = limit.as_secs_f64();
                return Err(Trouble::Unreachable(format!(
                    "no answer within {seconds} s"
                )));
            }
        };
        let head = head(&response);
        Ok(Answer { response, head })
    }

    /// The next bytes of an answer, or nothing at its end.
    pub(super) fn next(
        &self,
        answer: &mut Answer,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, Trouble> {
        if (self.stop)() {
            return Err(Trouble::Stopped);
        }
        match self.wait(answer.response.chunk(), self.silence) {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Trouble::Broken(innermost(&error))),
            Err(Idle::Stopped) => Err(Trouble::Stopped),
            Err(Idle::TooLong) => {
                let seconds = self.silence.as_secs_f64();
                Err(Trouble::Broken(format!("nothing arrived for {seconds} s")))
            }
        }
    }

    /// Waits for something, for no longer than `limit`, while the user does not stop it.
    fn wait<F: Future>(&self, work: F, limit: Duration) -> Result<F::Output, Idle> {
        let Some(runtime) = &self.runtime else {
            return Err(Idle::Stopped);
        };
        runtime.block_on(async {
            let begun = Instant::now();
            let mut work = std::pin::pin!(work);
            loop {
                let left = limit.saturating_sub(begun.elapsed());
                if let Ok(output) = tokio::time::timeout(TICK.min(left), &mut work).await {
                    return Ok(output);
                }
                if (self.stop)() {
                    return Err(Idle::Stopped);
                }
                if begun.elapsed() >= limit {
                    return Err(Idle::TooLong);
                }
            }
        })
    }
}

impl Drop for Http<'_> {
    fn drop(&mut self) {
        // A look-up of a name cannot be cut short; it is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

enum Idle {
    Stopped,
    TooLong,
}

/// Returns why an address cannot be fetched from, if it cannot.
pub(super) fn check_address(url: &str) -> Result<(), FetchError> {
    let bad = |reason: String| FetchError::BadAddress {
        url: without_credentials(url),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("only http and https are known".to_owned()));
    }
    Ok(())
}

/// An address without the user and the password that it may hold: the form in which it is told, recorded and compared. Only the request
/// itself is made with them.
pub fn without_credentials(url: &str) -> String {
    if let Ok(mut parsed) = Url::parse(url)
        && !parsed.cannot_be_a_base()
    {
        if parsed.username().is_empty() && parsed.password().is_none() {
            return url.to_owned();
        }
        // Both fail only for addresses that cannot have either.
        let _ = parsed.set_username("");
        let _ = parsed.set_password(None);
        return parsed.into();
    }
    // Text that does not parse as an address may still hold a password.
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) if scheme.is_empty() => rest[at + 1..].to_owned(),
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

impl Request<'_> {
    /// The address as it is told, recorded and compared.
    pub(super) fn address(&self) -> String {
        without_credentials(self.url)
    }
}

/// The host of an address, for messages, with the port where one is named.
pub(super) fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str);
    let host = host.map_or_else(|| without_credentials(url), str::to_owned);
    match parsed.as_ref().and_then(Url::port) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// The last piece of an address, where it can be the name of a file: letters, digits, `.`, `_` and `-`, no dot in front.
pub fn file_name(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    let name = parsed.path_segments()?.next_back()?;
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then(|| name.to_owned())
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let was_safe = attempt.previous().iter().any(|url| url.scheme() == "https");
    if was_safe && attempt.url().scheme() != "https" {
        return attempt.error("it leads from https to an address without encryption");
    }
    if attempt.previous().len() > MOST_REDIRECTIONS {
        return attempt.error("it leads on and on, to no end");
    }
    attempt.follow()
}

fn head(response: &Response) -> Head {
    let headers: &HeaderMap = response.headers();
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    Head {
        status: response.status().as_u16(),
        length: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        range: text(header::CONTENT_RANGE),
        etag: text(header::ETAG),
        last_modified: text(header::LAST_MODIFIED),
        kind: text(header::CONTENT_TYPE),
        encoding: text(header::CONTENT_ENCODING),
    }
}

/// What is at the bottom of an error; what is above it says only who passed it on.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_without_passwords() {
        for (url, told) in [
            ("https://a.b/c?d=e@f", "https://a.b/c?d=e@f"),
            ("https://me:secret@a.b/c", "https://a.b/c"),
            ("http://secret@a.b:81/c", "http://a.b:81/c"),
            ("http://:secret@a.b/c", "http://a.b/c"),
            ("http:\\\\me:secret@a.b\\c", "http://a.b/c"),
            ("ftp://me:sec@ret@a.b/c", "ftp://a.b/c"),
            ("http://me:secret@", "http://"),
            ("http://me:secret@a b/c", "http://a b/c"),
            ("me:secret@a.b/c", "a.b/c"),
        ] {
            let shown = without_credentials(url);
            assert!(!shown.contains("sec"), "{url}: {shown}");
            assert_eq!(shown, told, "{url}");
        }
    }

    #[test]
    fn addresses_are_checked_and_name_files() {
        check_address("https://example.org/a.pt").unwrap();
        for wrong in ["ftp://example.org/a.pt", "a.pt", "http://", ""] {
            assert!(check_address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(host("https://example.org/a"), "example.org");
        assert_eq!(host("http://127.0.0.1:8080/a"), "127.0.0.1:8080");
        assert_eq!(
            file_name("https://example.org/x/a_1-b.pt?key=c/d").as_deref(),
            Some("a_1-b.pt")
        );
        for wrong in [
            "https://example.org",
            "https://example.org/",
            "https://example.org/x/..",
            "https://example.org/.a",
            "https://example.org/a%2Fb",
            "https://example.org/a b",
            "no address",
        ] {
            assert_eq!(file_name(wrong), None, "{wrong}");
        }
    }
}
