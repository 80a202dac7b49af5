//! `repro view`: what the pages show, what is refused, and the pages in a real browser.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::CliTest;
use crate::interruption::signal;
use crate::small::{TEST, experiment, run, small};

/// A server that ends with the test.
pub struct Viewing {
    pub child: Child,
    pub port: u16,
}

/// What was answered.
pub struct Answered {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answered {
    /// The content. Slashes have an escape in templates, which means the same to a browser.
    #[track_caller]
    fn text(&self) -> String {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.replace("&#x2f;", "/")
    }

    /// Fails the test unless the status is this one and the text holds all of these.
    #[track_caller]
    fn expect(&self, status: u16, parts: &[&str]) {
        let text = self.text();
        assert_eq!(self.status, status, "{}\n{text}", self.head);
        for part in parts {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }
}

impl Viewing {
    /// Starts the program on a free port, and waits until it says which.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .strip_prefix("reports at http://127.0.0.1:")
            .and_then(|rest| rest.split('/').next()?.parse().ok());
        let port = port.unwrap_or_else(|| {
            let mut error = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut error)
                .unwrap();
            panic!("`{line}`: {error}")
        });
        assert!(line.ends_with("/ (Ctrl-C ends)\n"), "{line}");
        Self { child, port }
    }

    fn of(cli: &CliTest, arguments: &[&str]) -> Self {
        let all = [&["view", "--port", "0"], arguments].concat();
        Self::start(cli.command(&all))
    }

    /// Sends a request as it is.
    fn send(&self, request: &str) -> Answered {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{request}: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answered {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// A page.
    pub fn get(&self, path: &str) -> Answered {
        let host = self.port;
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{host}\r\n\r\n"
        ))
    }

    fn query(&self, sql: &str) -> Answered {
        self.get(&format!("/query?sql={}", encoded(sql)))
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

/// A report with everything that a stranger may put into one.
const HOSTILE: &str = "# A <b>title</b> & more\n\nWhat was asked.\n\n<script>alert(1)</script>\n\n<details><summary>More</summary>\n\n\
    | name | value |\n| :--- | ---: |\n| b | 10 |\n| a | 9 |\n| c | – |\n| d | 1,027 |\n\n</details>\n\n![x](hostile.svg) [out](../secret.md)\n";

#[test]
fn reports_are_pages_with_their_files() {
    let cli = CliTest::new();
    cli.write("reports/hostile.md", HOSTILE);
    cli.write(
        "reports/hostile.svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    );
    cli.write("reports/hostile.results.csv", "metric,value\n");
    let view = Viewing::of(&cli, &[]);
    let index = view.get("/");
    index.expect(
        200,
        &[
            "<a href=\"/reports/hostile.md\">A title &amp; more</a>",
            "What was asked.",
        ],
    );
    let page = view.get("/reports/hostile.md");
    page.expect(
        200,
        &[
            "A &lt;b&gt;title&lt;/b&gt; &amp; more",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "<details><summary>More</summary>",
            "<td class=\"number\">1,027</td>",
            "<img src=\"hostile.svg\" alt=\"x\" />",
            "<a href=\"hostile.results.csv\">",
        ],
    );
    assert!(!page.text().contains("<script>"), "{}", page.text());
    assert!(!page.text().contains("../secret"), "{}", page.text());
    view.get("/reports/hostile.results.csv")
        .expect(200, &["metric,value"]);
    let figure = view.get("/reports/hostile.svg");
    assert!(figure.head.contains("image/svg+xml"), "{}", figure.head);
    assert!(figure.head.contains("sandbox"), "{}", figure.head);
    assert!(!figure.head.contains("script-src"), "{}", figure.head);
}

#[test]
fn headers_let_nothing_in_from_elsewhere() {
    let cli = CliTest::new();
    let view = Viewing::of(&cli, &[]);
    for path in ["/", "/view.js", "/query", "/nothing"] {
        let head = view.get(path).head;
        for header in [
            "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n",
            "X-Content-Type-Options: nosniff\r\n",
            "Cache-Control: no-store\r\n",
        ] {
            assert!(format!("{head}\r\n").contains(header), "{path}: {head}");
        }
    }
    // Pages name nothing of other servers.
    for path in ["/", "/view.js", "/view.css", "/query", "/runs"] {
        let body = view.get(path).body;
        let text = String::from_utf8(body).unwrap();
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{path}"
        );
    }
}

#[test]
fn only_get_and_head_of_this_machine_are_answered() {
    let cli = CliTest::new();
    let view = Viewing::of(&cli, &[]);
    let port = view.port;
    let status = |request: &str| view.send(request).status;
    assert_eq!(
        status(&format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")),
        200
    );
    let head = view.send(&format!(
        "HEAD / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    ));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(
        !head.head.contains("Content-Length: 0\r\n"),
        "{}",
        head.head
    );
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "",
    ] {
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            403,
            "{host}"
        );
    }
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 403);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"] {
        let request = format!(
            "{method} /query HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 5\r\n\r\nsql=1"
        );
        assert_eq!(status(&request), 405, "{method}");
    }
    let long = "x".repeat(40_000);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: {long}\r\n\r\n"),
    ] {
        assert_eq!(status(&request), 431);
    }
    assert_eq!(
        status(&format!(
            "GET http://x/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        )),
        400
    );
    let embedded = format!(
        "GET /query?sql=SELECT+1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n"
    );
    assert_eq!(status(&embedded), 403);
    // A connection that says nothing keeps nobody waiting.
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(view.get("/").status, 200);
}

#[test]
fn nothing_outside_the_reports_is_served() {
    let cli = CliTest::new();
    cli.write("secret.md", "# secret");
    cli.write("secret.csv", "secret");
    cli.write("repro.toml", "# secret");
    cli.write("reports/a.md", "# A");
    cli.write("reports/a.toml", "secret");
    cli.write("reports/.hidden.md", "secret");
    symlink(cli.path("secret.md"), cli.path("reports/link.md")).unwrap();
    symlink(cli.path(""), cli.path("reports/folder")).unwrap();
    let view = Viewing::of(&cli, &[]);
    view.get("/reports/a.md")
        .expect(200, &["<h1 id=\"a\">A</h1>"]);
    for path in [
        "/reports/../secret.md",
        "/reports/%2e%2e/secret.md",
        "/reports/..%2fsecret.md",
        "/reports/%2e%2e%2fsecret.csv",
        "/reports/..%5csecret.md",
        "/../secret.md",
        "//secret.md",
        "/secret.md",
        "/reports//etc/passwd",
        "/reports/link.md",
        "/reports/folder/secret.md",
        "/reports/.hidden.md",
        "/reports/a.toml",
        "/reports/a.md%00.md",
        "/reports/",
        "/repro.toml",
        "/.repro/FORMAT",
        "/runs/..%2f..%2fsecret",
    ] {
        let answer = view.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("# secret"), "{path}");
    }
    assert!(!view.get("/").text().contains("link.md"));
}

#[test]
fn ports_are_named_or_found_and_ctrl_c_ends() {
    let cli = CliTest::new();
    let mut first = Viewing::of(&cli, &[]);
    let taken = first.port.to_string();
    cli.run(&["view", "--port", &taken])
        .expect_code(2)
        .expect_in_stderr(&[
            &format!("error: port {taken} is in use by another program"),
            "hint: name another one by `--port`",
        ]);
    // Whatever has the usual port, one is found.
    let found = [1, 2].map(|_| Viewing::start(cli.command(&["view"])));
    assert_ne!(found[0].port, found[1].port);
    // Not SIGINT, which a shell makes those ignore that it starts in the background: the handler of both is one.
    signal(&first.child, "TERM");
    let asked = Instant::now();
    let ended = loop {
        if let Some(ended) = first.child.try_wait().unwrap() {
            break ended;
        }
        assert!(asked.elapsed() < Duration::from_mins(1), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(ended.code(), Some(130));
    // It has made nothing, a cache neither.
    assert!(!cli.path(".repro").exists());
}

#[test]
fn a_cache_that_is_not_there_and_queries_that_are_wrong_are_explained() {
    let cli = small();
    let view = Viewing::of(&cli, &[]);
    view.query("SELECT 1").expect(
        404,
        &[
            "error: there is no cache at",
            "hint: run an experiment first",
        ],
    );
    view.get("/runs").expect(404, &["there is no cache at"]);
    view.get("/samples")
        .expect(404, &["no experiment was named", "repro view experiments/"]);
    run(&cli, "small.toml");
    view.get("/query").expect(
        200,
        &["<code>predictions</code>", "a predicted sample of a head"],
    );
    view.query("SELECT metric, count(*) AS n FROM results GROUP BY metric ORDER BY metric")
        .expect(
            200,
            &["<td>top1</td><td class=\"number\">8</td>", "2 rows."],
        );
    view.query("SELECT '<script>alert(1)</script>' AS x FROM results LIMIT 1")
        .expect(200, &["&lt;script&gt;alert(1)&lt;/script&gt;"]);
    for sql in [
        "SELECT x FROM results",
        "SELECT * FROM resuts",
        "DROP TABLE results",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_csv('secret.csv')",
        "COPY results TO 'x'",
        "SELECT <script>",
    ] {
        let printed = cli.run(&["query", sql]).expect_code(2).stderr;
        let wanted = printed.lines().next().unwrap();
        let answer = view.query(sql);
        assert_eq!(answer.status, 400, "{sql}");
        let shown = unescaped(&answer.text());
        assert!(shown.contains(wanted), "{sql}: no `{wanted}` in\n{shown}");
        assert!(!answer.text().contains("SELECT <script>"), "{sql}");
    }
    // More rows than a page shows.
    let many = "SELECT a.id FROM predictions AS a CROSS JOIN predictions AS b";
    view.query(many)
        .expect(200, &["The first 1000 of 25,600 rows"]);
    let before = cli.times();
    view.query("SELECT * FROM results");
    assert_eq!(cli.times(), before, "a query writes nothing");
}

fn unescaped(text: &str) -> String {
    [
        ("&#x27;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_run_is_shown_with_what_it_did() {
    let cli = small();
    run(&cli, "small.toml");
    let view = Viewing::of(&cli, &[]);
    let runs = view.get("/runs");
    runs.expect(200, &["<td>small</td>", "done in "]);
    let text = runs.text();
    let (_, rest) = text.split_once("href=\"/runs/").unwrap();
    let name = rest.split('"').next().unwrap();
    view.get(&format!("/runs/{name}")).expect(
        200,
        &[
            "images, done",
            "8 of 8",
            "class=\"full\"",
            "reports/small.md",
        ],
    );
    let json: Value =
        serde_json::from_slice(&view.get(&format!("/runs/{name}.json")).body).unwrap();
    assert_eq!(json["experiment"], "small");
    assert_eq!(json["is_running"], false);
    assert_eq!(json["trained"].as_array().unwrap().len(), 8);
    assert_eq!(json["pieces"][0]["state"], "done");
    // One that is still writing its record.
    let record = format!(
        ".repro/runs/2026-01-01T000000Z-{}.jsonl",
        std::process::id()
    );
    cli.write(&record, "{\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"run-started\",\"experiment\":\"<i>x</i>\",\"device\":\"cpu\",\"passes\":1,\"images\":2,\"heads\":3}\n");
    view.get("/")
        .expect(200, &["Running now", "&lt;i&gt;x&lt;/i&gt;"]);
    view.get("/runs/2026-01-01T000000Z-x")
        .expect(404, &["no such page"]);
}

#[test]
fn two_heads_disagree_on_images_that_are_shown() {
    let cli = small();
    run(&cli, "small.toml");
    let view = Viewing::of(&cli, &["small.toml"]);
    let page = view.get("/samples");
    page.expect(
        200,
        &["Images on which two heads disagree", "<option value="],
    );
    let text = page.text();
    let options = text.split("<option value=\"").skip(1);
    let keys: Vec<&str> = options
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    // Every head stands in both lists.
    assert_eq!(keys.len(), 16);
    // What the cache holds of each head, by image.
    let rows = cli.query("SELECT head_fingerprint, id, predicted FROM predictions");
    let predicted = |key: &str| -> BTreeMap<String, i64> {
        let of_head = rows.iter().filter(|row| {
            let head = row["head_fingerprint"].as_str().unwrap();
            head.starts_with(key)
        });
        let pairs = of_head.map(|row| {
            let id = row["id"].as_str().unwrap().to_owned();
            (id, row["predicted"].as_i64().unwrap())
        });
        pairs.collect()
    };
    let first = predicted(keys[0]);
    assert_eq!(first.len(), TEST);
    let (mut most, mut shown, mut with) = (0, String::new(), "");
    for other in &keys[1..8] {
        let page = view.get(&format!("/samples?a={}&b={other}", keys[0]));
        let second = predicted(other);
        let differ = first.iter().filter(|(id, class)| second[*id] != **class);
        let expected = differ.count();
        page.expect(
            200,
            &[
                &format!("Of {TEST} images in split test of fashion"),
                &format!("they disagree on {expected}."),
            ],
        );
        let pictures = page.text().matches("<img src=\"/image/fashion/").count();
        assert_eq!(pictures, expected);
        if expected > most {
            (most, shown, with) = (expected, page.text(), other);
        }
    }
    assert!(most > 0, "all heads predict the same");
    // The picture is the image of the dataset.
    let (_, rest) = shown.split_once("<img src=\"").unwrap();
    let picture = view.get(rest.split('"').next().unwrap());
    assert!(picture.head.contains("image/png"), "{}", picture.head);
    let decoded = image::load_from_memory(&picture.body).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (28, 28));
    for address in [
        "/image/fashion/nothing",
        "/image/other/test/1",
        "/image/x",
        "/image/fashion/..%2f..%2fsecret",
    ] {
        assert_eq!(view.get(address).status, 404, "{address}");
    }
    view.get(&format!("/samples?a={}&b=%3Cscript%3E", keys[0]))
        .expect(404, &["no head &lt;script&gt;"]);
    drop(view);
    // Without the images, what was predicted is still there.
    fs::rename(cli.path("fashion"), cli.path("elsewhere")).unwrap();
    let view = Viewing::of(&cli, &["small.toml"]);
    let page = view.get(&format!("/samples?a={}&b={with}", keys[0]));
    page.expect(200, &["dataset `fashion` is not on disk", "<dt>label</dt>"]);
    assert!(!page.text().contains("<img"));
}

#[test]
fn an_id_with_a_script_in_it_is_text() {
    let cli = CliTest::new();
    cli.image_folder("pictures", 4);
    let name = "pictures/test/dark/<script>alert(1)<.png";
    let from = cli.path("pictures/test/dark/00.png");
    fs::rename(from, cli.path(name)).unwrap();
    let pixels = r#"
[dataset.pictures]
kind = "image-folder"
root = "pictures"

[model.raw]
kind        = "pixels"
image_size  = 16
in_channels = 3

[extraction.taps]
model   = "raw"
dataset = "pictures"
block   = 1
pool    = 2

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 1

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#;
    let text = experiment("hostile", &[pixels]);
    cli.write("hostile.toml", text);
    run(&cli, "hostile.toml");
    let view = Viewing::of(&cli, &["hostile.toml"]);
    let answer = view.query("SELECT DISTINCT id FROM predictions");
    answer.expect(200, &["&lt;script&gt;alert(1)&lt;.png"]);
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
    let encoded = "/image/pictures/test/dark/%3Cscript%3Ealert%281%29%3C.png";
    assert_eq!(view.get(encoded).status, 200);
}

/// A page as a browser has it when its scripts have run; `None` where there is no browser.
pub fn dumped(address: &str, folder: &CliTest) -> Option<String> {
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--virtual-time-budget=3000",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path("browser").display()
        ))
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        println!("skipped: there is no chromium");
        return None;
    };
    // A browser that hangs is not to hang the tests.
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    while !reader.is_finished() && began.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    Some(reader.join().unwrap().unwrap())
}

#[test]
fn a_browser_sorts_tables_and_runs_no_script_of_a_report() {
    let cli = CliTest::new();
    cli.write(
        "reports/hostile.md",
        HOSTILE.replace("alert(1)", "document.title='stolen'"),
    );
    let view = Viewing::of(&cli, &[]);
    let at = |hash: &str| format!("http://127.0.0.1:{}/reports/hostile.md{hash}", view.port);
    let Some(page) = dumped(&at("#sort-1-2-desc"), &cli) else {
        return;
    };
    let order = |page: &str| -> Vec<usize> {
        ["<td>d</td>", "<td>b</td>", "<td>a</td>", "<td>c</td>"]
            .map(|cell| {
                page.find(cell)
                    .unwrap_or_else(|| panic!("no {cell} in\n{page}"))
            })
            .to_vec()
    };
    // By number: 1,027, 10, 9, and the dash last.
    assert!(order(&page).is_sorted(), "{page}");
    assert!(page.contains("aria-sort=\"descending\""), "{page}");
    assert!(!page.contains("<title>stolen"), "{page}");
    let page = dumped(&at(""), &cli).unwrap();
    assert!(!order(&page).is_sorted(), "{page}");
    assert!(
        page.contains("<button type=\"button\">value</button>"),
        "{page}"
    );
}

#[test]
fn a_browser_fills_in_a_run() {
    let cli = small();
    run(&cli, "small.toml");
    let name = fs::read_dir(cli.path(".repro/runs"))
        .unwrap()
        .next()
        .unwrap();
    let name = name.unwrap().file_name().into_string().unwrap();
    let record = cli.read(&format!(".repro/runs/{name}"));
    // The record of a run that is in the middle: of this process, which is running.
    let middle: Vec<&str> = record
        .lines()
        .take_while(|line| !line.contains("metric-finished"))
        .collect();
    let live = format!("2027-01-01T000000Z-{}", std::process::id());
    let part = middle[..middle.len() - 3].join("\n");
    cli.write(&format!(".repro/runs/{live}.jsonl"), format!("{part}\n"));
    let view = Viewing::of(&cli, &[]);
    let address = format!("http://127.0.0.1:{}/runs/{live}", view.port);
    let Some(page) = dumped(&address, &cli) else {
        return;
    };
    let full = page.matches("<i class=\"full\"").count();
    let empty = page.matches("<i></i>").count();
    assert_eq!(full + empty, 8, "{page}");
    assert!(full >= 5 && empty >= 1, "{full} of 8\n{page}");
    // The script was here: its attributes are in another order.
    assert!(page.contains("<progress max="), "{page}");
    assert!(
        !view
            .get(&format!("/runs/{live}"))
            .text()
            .contains("<progress max=")
    );
    assert!(page.contains("class=\"state live\">running<"), "{page}");
}
