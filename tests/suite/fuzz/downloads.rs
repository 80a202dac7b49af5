//! What comes over the network, and what a broken download leaves: a server on this machine answers with the bytes that are tried.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use repro::fetch::{Digest, FetchError, Fetched, Patience, Request, Stated, fetch};

/// What a sound server has.
const CONTENT: &[u8] = b"0123456789";
/// The SHA-256 of [`CONTENT`].
const SHA256: &str = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
/// Stands for the server's address in a description.
const ADDRESS: &str = "http://127.0.0.1:1/a.bin";
const TAG: &str = "\"v1\"";
/// Requests of one download that are answered: more than it may make.
const MOST_REQUESTS: usize = 16;

/// A server that sends the bytes as they are: status line, headers and body.
pub fn answer(folder: &Path, bytes: &[u8]) {
    let target = folder.join("a.bin");
    for stated in [None, Some(SHA256)] {
        remove_all(folder);
        let send = |_: &str, stream: &mut TcpStream| {
            let _ = stream.write_all(bytes);
        };
        match download(&target, stated, |_| {}, send) {
            Ok(fetched) => {
                let there = fs::read(&target).expect("a file that was fetched");
                assert_eq!(there.len() as u64, fetched.bytes);
                assert!(stated.is_none() || there == CONTENT);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(!target.exists(), "what was refused is in place");
            }
        }
    }
    remove_all(folder);
}

/// A sound server, and the bytes as the description of what is there of the file.
pub fn partial(folder: &Path, bytes: &[u8]) {
    let target = folder.join("a.bin");
    remove_all(folder);
    fs::write(folder.join("a.bin.partial"), &CONTENT[..4]).expect("a file");
    // A download only resumes from the address that it began with.
    let describe = |url: &str| {
        let bytes = match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(ADDRESS, url).into_bytes(),
            Err(_) => bytes.to_vec(),
        };
        fs::write(folder.join("a.bin.partial.toml"), bytes).expect("a file");
    };
    match download(&target, Some(SHA256), describe, sound) {
        Ok(_) => assert_eq!(fs::read(&target).expect("a file that was fetched"), CONTENT),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!target.exists(), "what was refused is in place");
        }
    }
    remove_all(folder);
}

/// Answers as a server with ranges does.
fn sound(asked: &str, stream: &mut TcpStream) {
    let header = |name: &str| {
        asked.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let from = header("range")
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .split('-')
                .next()?
                .parse()
                .ok()
        })
        .filter(|_| header("if-range").is_none_or(|tag| tag == TAG));
    let head = match from {
        Some(from) if from < CONTENT.len() => {
            let last = CONTENT.len() - 1;
            format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{last}/{}",
                CONTENT.len()
            )
        }
        Some(_) => format!(
            "416 Range Not Satisfiable\r\nContent-Range: bytes */{}",
            CONTENT.len()
        ),
        None => "200 OK".to_owned(),
    };
    let body = CONTENT.get(from.unwrap_or(0)..).unwrap_or_default();
    let _ = write!(
        stream,
        "HTTP/1.1 {head}\r\nETag: {TAG}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(body);
}

/// Downloads from a server that answers so, each request on a connection of its own.
fn download(
    target: &Path,
    stated: Option<&str>,
    prepare: impl FnOnce(&str),
    answer: impl Fn(&str, &mut TcpStream) + Sync,
) -> Result<Fetched, FetchError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}/a.bin");
    prepare(&url);
    let wait = Duration::from_millis(300);
    let request = Request {
        url: &url,
        target,
        stated: Stated {
            bytes: None,
            sha256: stated.map(|text| text.parse::<Digest>().expect("a digest")),
            by: "the test".to_owned(),
        },
        force: false,
        patience: Patience {
            connect: wait,
            silence: wait,
            pause: Duration::from_millis(1),
            retries: 1,
            retries_unanswered: 1,
        },
        clock: || "2026-01-01T00:00:00Z".to_owned(),
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..MOST_REQUESTS {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let _ = stream.set_read_timeout(Some(wait));
                let asked = head(&stream);
                // The client is done.
                if asked.is_empty() {
                    return;
                }
                answer(&asked, &mut stream);
            }
        });
        let result = fetch(&request, &|_| {}, &|| false);
        // Wakes the server, which may wait for another request.
        drop(TcpStream::connect(address));
        result
    })
}

/// The lines of a request, up to the empty one.
fn head(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream.take(1 << 14));
    let mut text = String::new();
    while let Ok(length) = lines.read_line(&mut text) {
        if length == 0 || text.ends_with("\r\n\r\n") {
            break;
        }
    }
    text
}

fn remove_all(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let _ = fs::remove_file(entry.path());
    }
}
