//! What a browser, or whoever pretends to be one, asks `repro view`: any bytes as the head of a request to a server on this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use repro::view::{Answer, Request, Server, View};

/// Stands for the port of the server in a request.
pub const PORT: &str = "8765";
/// What no answer may hold: the content of files beside the reports.
const SECRET: &str = "c8a1f0e7-secret";

/// Sends the bytes as a request, and reads the answer.
pub fn request(folder: &Path, bytes: &[u8]) {
    static SERVER: OnceLock<u16> = OnceLock::new();
    let port = *SERVER.get_or_init(|| serve(folder));
    let request = match std::str::from_utf8(bytes) {
        Ok(text) => text.replace(PORT, &port.to_string()).into_bytes(),
        Err(_) => bytes.to_vec(),
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let patience = Some(Duration::from_secs(15));
    stream.set_read_timeout(patience).expect("a time");
    // The server may have answered, and closed, before it was sent all of it.
    let _ = stream.write_all(&request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "an answer that does not end"
        ),
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains(SECRET), "a file that is not shown");
    let status = answer.strip_prefix("HTTP/1.1 ");
    let status = status.and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    match status {
        Some(500) => panic!("{answer}"),
        Some(status) => assert!((200..500).contains(&status), "{answer}"),
        // Who says nothing is told nothing.
        None => assert!(answer.is_empty(), "{answer}"),
    }
}

/// A server of a project with a report and what is not to be shown; its port.
fn serve(folder: &Path) -> u16 {
    let base = folder.join("project");
    let write = |name: &str, text: &str| {
        let path = base.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("reports/a.md", "# A\n\n| a | b |\n| - | - |\n| 1 | 2 |\n");
    write("reports/a.results.csv", "metric,value\n");
    write("reports/.hidden.md", SECRET);
    write("reports/a.toml", SECRET);
    write("secret.md", SECRET);
    let view = View::new(base.clone(), Vec::new(), base.join(".repro"), None, None).expect("pages");
    let server = Server::bind(Some(0)).expect("a port");
    let port = server.port();
    let answer: Arc<Answer> = Arc::new(move |request: &Request| {
        assert!(request.path.starts_with('/'));
        view.answer(request)
    });
    std::thread::spawn(move || server.serve(&answer));
    port
}
