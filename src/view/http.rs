//! A small HTTP server for one reader on this machine: GET and HEAD, on the loopback alone, one request a connection.
//!
//! What reaches it is hostile until shown otherwise: any program of this machine can connect, and any page in the reader's browser can
//! make the browser ask. So the head of a request is bounded in bytes and in time, nothing but GET and HEAD is answered, the name in
//! `Host` has to be that of the loopback (a name of somebody else's that leads here is refused), and a page of another site gets nothing
//! that it could embed. See docs/decisions/0053.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::url;
use crate::contained::contained;
use crate::limits;
use crate::message::Hint;

/// The port that is tried first where none is named.
pub const DEFAULT_PORT: u16 = 8765;
/// How many ports behind it are tried.
const MORE_PORTS: u16 = 50;
/// Connections that are answered at once; others are closed.
const MOST_CONNECTIONS: usize = 32;
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long the reader may take none of an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// What pages may load: files of this server, and pictures within the page.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What a figure may: have styles of its own, and nothing else.
const FIGURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; base-uri 'none'; frame-ancestors 'none'";

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("port {0} is in use by another program")]
    Taken(u16),
    /// Another reason of the operating system's.
    #[error("cannot listen on 127.0.0.1, port {port}: {source}")]
    Io {
        /// The port that was asked for.
        port: u16,
        /// What the operating system reported.
        source: io::Error,
    },
}

impl Hint for ListenError {
    fn hint(&self) -> Option<String> {
        Some("name another one by `--port`, or leave it out to get one that is free".to_owned())
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path, decoded; it begins with `/`.
    pub path: String,
    /// Names and values behind the `?`, decoded.
    pub query: Vec<(String, String)>,
}

impl Request {
    /// The value of a name behind the `?`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub kind: &'static str,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// A page.
    pub fn html(status: u16, text: String) -> Self {
        Self {
            status,
            kind: "text/html; charset=utf-8",
            body: text.into_bytes(),
        }
    }

    /// Data for a script.
    pub fn json(value: &serde_json::Value) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }

    /// A sentence as plain text.
    pub fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}\n").into_bytes(),
        }
    }
}

/// Answers requests; called from several threads.
pub type Answer = dyn Fn(&Request) -> Response + Send + Sync;

/// A server that has its port and answers nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    /// Takes a port of 127.0.0.1: the one that is named (0 for any that is free), or else the first free one from [`DEFAULT_PORT`] on.
    ///
    /// # Errors
    /// A named port that is taken, or that the operating system refuses.
    pub fn bind(port: Option<u16>) -> Result<Self, ListenError> {
        let listen = |port: u16| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| {
                if source.kind() == ErrorKind::AddrInUse {
                    ListenError::Taken(port)
                } else {
                    ListenError::Io { port, source }
                }
            })
        };
        let listener = if let Some(port) = port {
            listen(port)?
        } else {
            let mut ports = DEFAULT_PORT..=DEFAULT_PORT + MORE_PORTS;
            let free = ports.find_map(|port| match listen(port) {
                Err(ListenError::Taken(_)) => None,
                other => Some(other),
            });
            free.unwrap_or_else(|| listen(0))?
        };
        let address = listener.local_addr();
        let port = address
            .map_err(|source| ListenError::Io {
                port: port.unwrap_or(DEFAULT_PORT),
                source,
            })?
            .port();
        Ok(Self { listener, port })
    }

    /// The port that it has.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers until the process ends. To be called on a thread of its own.
    pub fn serve(self, answer: &Arc<Answer>) {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            let Ok(stream) = stream else {
                // Out of file descriptors, most likely; those of other connections come back.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (open, answer) = (Arc::clone(&open), Arc::clone(answer));
            let port = self.port;
            let connection = move || {
                // A reader that has gone is nobody's problem.
                let _ = converse(stream, port, &*answer);
                open.fetch_sub(1, Ordering::Relaxed);
            };
            std::thread::spawn(connection);
        }
    }
}

/// Reads one request and answers it.
fn converse(mut stream: TcpStream, port: u16, answer: &Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME))?;
    let (is_head, response) = match read_head(&mut stream)? {
        None => (
            false,
            Response::text(431, "the request is too long, or came too slowly"),
        ),
        Some(head) => match parse(&head, port) {
            Err(refusal) => (false, refusal),
            Ok((is_head, request)) => {
                let response = contained(|| answer(&request)).unwrap_or_else(|panic| {
                    Response::text(500, &format!("internal error: {panic}; a bug in repro"))
                });
                (is_head, response)
            }
        },
    };
    send(&mut stream, is_head, &response)?;
    // What the reader still sends, such as the body of a POST, is taken: a connection that is closed before loses the answer.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut rest = [0; 4096];
    for _ in 0..16 {
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// The head of a request up to the empty line; `None` where it is too long or does not end in time.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let until = Instant::now() + HEAD_TIME;
    let mut head = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        head.extend_from_slice(&piece[..read]);
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.truncate(end);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if head.len() > limits::REQUEST_HEAD {
            return Ok(None);
        }
    }
}

/// What a head asks for, and whether for headers alone.
///
/// # Errors
/// The answer to what is refused.
fn parse(head: &str, port: u16) -> Result<(bool, Request), Response> {
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let &[method, target, version] = first.as_slice() else {
        return Err(Response::text(400, "the request is malformed"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(Response::text(400, "the request is not of HTTP/1"));
    }
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |wanted: &str| {
        let mut values = headers.iter().filter(|(name, _)| name == wanted);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(*value),
            _ => None,
        }
    };
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let host = header("host").unwrap_or_default();
    if !own.iter().any(|own| host.eq_ignore_ascii_case(own)) {
        let sentence = format!("this server answers to {} alone", own.join(" and "));
        return Err(Response::text(403, &sentence));
    }
    if !matches!(method, "GET" | "HEAD") {
        return Err(Response::text(405, "only GET and HEAD are answered"));
    }
    let Some((path, query)) = url::parse(target) else {
        return Err(Response::text(400, "the address is malformed"));
    };
    // Browsers say where a request comes from. A link to a page may be followed from anywhere; nothing can be embedded or asked.
    let is_from_elsewhere = matches!(header("sec-fetch-site"), Some("cross-site" | "same-site"));
    let is_link = header("sec-fetch-mode") == Some("navigate") && query.is_empty();
    if is_from_elsewhere && !is_link {
        return Err(Response::text(403, "a page of another site asks for this"));
    }
    Ok((method == "HEAD", Request { path, query }))
}

/// What statuses are called.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}

fn send(stream: &mut TcpStream, is_head: bool, response: &Response) -> io::Result<()> {
    let Response { status, kind, body } = response;
    let policy = if *kind == super::files::SVG {
        FIGURE_POLICY
    } else {
        PAGE_POLICY
    };
    let allow = if *status == 405 {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status} {}\r\n\
         Content-Type: {kind}\r\n\
         Content-Length: {}\r\n\
         Content-Security-Policy: {policy}\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\
         Referrer-Policy: no-referrer\r\n\
         Cache-Control: no-store\r\n\
         {allow}Connection: close\r\n\r\n",
        reason(*status),
        body.len(),
    );
    stream.write_all(head.as_bytes())?;
    if !is_head {
        stream.write_all(body)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        match parse(head, 80) {
            Ok(_) => 200,
            Err(refusal) => refusal.status,
        }
    }

    #[test]
    fn only_plain_requests_to_the_loopback_are_answered() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1:80", 200),
            ("HEAD /x?a=b HTTP/1.1\r\nhost: LOCALHOST:80", 200),
            ("POST / HTTP/1.1\r\nHost: 127.0.0.1:80", 405),
            ("GET / HTTP/1.1", 403),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1:81", 403),
            ("GET / HTTP/1.1\r\nHost: evil.example:80", 403),
            (
                "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nHost: evil.example",
                403,
            ),
            (
                "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:80",
                400,
            ),
            ("GET /%zz HTTP/1.1\r\nHost: 127.0.0.1:80", 400),
            ("GET /\r\nHost: 127.0.0.1:80", 400),
            ("GET / HTTP/2\r\nHost: 127.0.0.1:80", 400),
            ("", 400),
        ] {
            assert_eq!(status(head), expected, "{head}");
        }
    }

    #[test]
    fn pages_of_other_sites_can_link_here_and_do_nothing_else() {
        let from = |site: &str, mode: &str, target: &str| {
            status(&format!(
                "GET {target} HTTP/1.1\r\nHost: localhost:80\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}"
            ))
        };
        assert_eq!(from("same-origin", "cors", "/query?sql=1"), 200);
        assert_eq!(from("none", "navigate", "/query?sql=1"), 200);
        assert_eq!(from("cross-site", "navigate", "/reports/a.md"), 200);
        assert_eq!(from("cross-site", "navigate", "/query?sql=1"), 403);
        assert_eq!(from("cross-site", "no-cors", "/reports/a.svg"), 403);
        assert_eq!(from("same-site", "no-cors", "/reports/a.svg"), 403);
    }
}
