//! A small HTTP server on this machine: it answers as each test says, and writes down what it was asked and what it sent.
//!
//! It ends with the test, and by itself after a minute or a hundred requests, whatever comes first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_mins(1);
const MOST_REQUESTS: usize = 100;
/// Bytes that are sent at once.
const PIECE: usize = 16 << 10;

/// What a client asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// How many requests there were before.
    pub number: usize,
    pub path: String,
    /// The first byte of `Range`.
    pub from: Option<u64>,
    /// The last byte of `Range`, where it names one.
    pub to: Option<u64>,
    pub if_range: Option<String>,
    /// Bytes of the body that were sent in answer.
    pub sent: usize,
}

/// What the server does.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Pause after each piece.
    pace: Duration,
    /// Whether the connection is held open in silence after the body.
    silent: bool,
}

impl Reply {
    /// An answer with that body and length.
    pub fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            headers: vec![("Content-Length", body.len().to_string())],
            body: body.to_vec(),
            pace: Duration::ZERO,
            silent: false,
        }
    }

    /// What a decent server answers that has a file with an entity tag.
    pub fn file(file: &[u8], tag: &str, asked: &Asked) -> Self {
        let same = asked.if_range.as_deref().is_none_or(|asked| asked == tag);
        let reply = match asked.from {
            Some(from) if same && from >= file.len() as u64 => {
                Self::new(416, b"").with("Content-Range", &format!("bytes */{}", file.len()))
            }
            Some(from) if same => {
                let last = file.len() as u64 - 1;
                let to = asked.to.map_or(last, |to| to.min(last));
                let range = format!("bytes {from}-{to}/{}", file.len());
                let index = |byte: u64| usize::try_from(byte).unwrap();
                Self::new(206, &file[index(from)..=index(to)]).with("Content-Range", &range)
            }
            _ => Self::new(200, file),
        };
        reply.with("ETag", tag)
    }

    /// Sets a header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Takes a header away.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    /// Breaks off after so many bytes of the body.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// Sends slowly.
    pub fn slowly(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Keeps the connection open after the body, without a word.
    pub fn then_silent(mut self) -> Self {
        self.silent = true;
        self
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to answer.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            move || serve(&listener, &answer, &asked, &stop)
        });
        Self {
            address,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    /// The address of a file.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// From where each request asked.
    pub fn from(&self) -> Vec<Option<u64>> {
        self.asked().iter().map(|asked| asked.from).collect()
    }

    /// Bytes of bodies that were sent in all.
    pub fn sent(&self) -> usize {
        self.asked().iter().map(|asked| asked.sent).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it panicked, the test has failed by what it saw.
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: &TcpListener,
    answer: &dyn Fn(&Asked) -> Reply,
    log: &Mutex<Vec<Asked>>,
    stop: &AtomicBool,
) {
    let begun = Instant::now();
    let mut number = 0;
    let over = || stop.load(Ordering::Relaxed) || begun.elapsed() > LONGEST;
    while !over() && number < MOST_REQUESTS {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let Some(mut asked) = read(&stream) else {
            continue;
        };
        asked.number = number;
        number += 1;
        let reply = answer(&asked);
        log.lock().unwrap().push(asked);
        let said = |sent| log.lock().unwrap().last_mut().unwrap().sent += sent;
        // The client may have gone; that is what some tests are about.
        let _ = send(&stream, &reply, &said, &over);
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let mut asked = Asked {
        path: lines.next()?.ok()?.split(' ').nth(1)?.to_owned(),
        ..Asked::default()
    };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            return Some(asked);
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (from, to) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
                asked.from = from.parse().ok();
                asked.to = to.parse().ok();
            }
            "if-range" => asked.if_range = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    None
}

fn send(
    mut stream: &TcpStream,
    reply: &Reply,
    said: &dyn Fn(usize),
    over: &dyn Fn() -> bool,
) -> std::io::Result<()> {
    let headers = reply.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "HTTP/1.1 {} Said\r\nConnection: close\r\n{}\r\n",
        reply.status,
        headers.concat()
    );
    stream.write_all(head.as_bytes())?;
    for piece in reply.body.chunks(PIECE) {
        if over() {
            return Ok(());
        }
        stream.write_all(piece)?;
        said(piece.len());
        std::thread::sleep(reply.pace);
    }
    if reply.silent {
        // Until the client goes, or five seconds.
        let _ = stream.read(&mut [0]);
    }
    stream.shutdown(Shutdown::Both)
}
