//! Pages of `repro view` that follow what is written: a report in a browser is loaded again when its file changes, and says how far a run of
//! its experiment is; results are shown before it is written. Links between pages lead where they say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::CliTest;
use crate::small::{SMALL, run, small};
use crate::view::{Viewing, dumped};

const FIRST: &str = "<!-- repro: the report of small; figures: a.svg; edits are overwritten -->\n\n# First\n\nSee [how](../docs/concepts/statistics.md#table-grid), [all](../secret.md) and [other](../out/b.md).\n\n![a](a.svg)\n";

/// A record of a run of this process, which has not ended: a pass of two is done, and three heads of nine.
fn record() -> (String, String) {
    let started = r#"{"at":"2026-01-01T00:00:00Z","event":"run-started","experiment":"small","device":"cpu","passes":2,"images":4,"heads":9}
{"at":"2026-01-01T00:00:00Z","event":"pass-started","pass":1,"label":"a","images":2,"committed":0,"taps":1}
{"at":"2026-01-01T00:00:00Z","event":"pass-finished","pass":1,"images":2,"seconds":1.0}
"#;
    let head = r#"{"at":"2026-01-01T00:00:01Z","event":"head-finished","label":"h","train_loss":0.5,"seconds":1.0}"#;
    let heads = format!("{head}\n").repeat(3);
    let name = format!(
        ".repro/runs/2026-01-01T000000Z-{}.jsonl",
        std::process::id()
    );
    (name, started.to_owned() + &heads)
}

fn project() -> CliTest {
    let cli = CliTest::new();
    cli.write("reports/small.md", FIRST);
    cli.write(
        "reports/a.svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    );
    cli.write("docs/concepts/statistics.md", "# Statistics\n");
    cli.write("docs/tour.md", "# Tour\n");
    cli.write("secret.md", "# Secret\n");
    cli.write("out/b.md", "# B\n");
    cli
}

#[test]
fn a_report_says_its_state_and_the_run_that_is_under_way() {
    let cli = project();
    cli.write(".repro/FORMAT", "repro-store 1\n");
    let view = Viewing::start(cli.command(&["view", "--port", "0"]));
    let state = || -> Value {
        let answer = view.get("/reports/small.md?state=now");
        assert!(answer.head.contains("application/json"), "{}", answer.head);
        serde_json::from_slice(&answer.body).unwrap()
    };
    let first = state();
    assert_eq!(first["running"], Value::Null);
    assert_eq!(state()["state"], first["state"]);
    let page = String::from_utf8(view.get("/reports/small.md").body).unwrap();
    let data = format!("data-report=\"{}\"", first["state"].as_str().unwrap());
    assert!(page.contains(&data), "{page}");
    assert!(
        page.contains("id=\"running\" class=\"note\" hidden"),
        "{page}"
    );
    // A figure that is drawn again is a change of the report.
    cli.write(
        "reports/a.svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\"><g/></svg>",
    );
    assert_ne!(state()["state"], first["state"]);

    let (name, events) = record();
    cli.write(&name, events);
    assert_eq!(
        state()["running"]["progress"],
        "1 of 2 passes, 3 of 9 heads"
    );
    let page = String::from_utf8(view.get("/reports/small.md").body).unwrap();
    assert!(page.contains(">1 of 2 passes, 3 of 9 heads</a>"), "{page}");
    // Not of another experiment.
    cli.write("reports/small.md", FIRST.replace("of small;", "of large;"));
    assert_eq!(state()["running"], Value::Null);
}

#[test]
fn links_lead_to_the_pages_that_are_shown_and_nowhere_else() {
    let cli = project();
    let view = Viewing::start(cli.command(&["view", "--port", "0"]));
    let page = String::from_utf8(view.get("/reports/small.md").body).unwrap();
    assert!(
        page.contains(
            "<a href=\"/docs/concepts/statistics.md#table-grid\">how</a>, all and other."
        ),
        "{page}"
    );
    assert_eq!(view.get("/docs/concepts/statistics.md").status, 200);
    for path in ["/docs/tour.md", "/docs/concepts/../tour.md", "/docs"] {
        assert_eq!(view.get(path).status, 404, "{path}");
    }
    let index = String::from_utf8(view.get("/").body).unwrap();
    assert!(!index.contains("statistics.md"), "{index}");
}

/// Passes requests on to a server, and tells the first line of each before it does.
fn forwarded(to: u16) -> (u16, Receiver<String>, mpsc::Sender<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, lines) = mpsc::channel();
    let (go, going) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1)
            {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let Some(line) = head.lines().next() else {
                continue;
            };
            // The test answers when it has done what it wants to have done by then.
            if said.send(line.to_owned()).is_err() || going.recv().is_err() {
                return;
            }
            let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let head = head.replace(&port.to_string(), &to.to_string());
            server.write_all(head.as_bytes()).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    (port, lines, go)
}

#[test]
fn a_browser_loads_a_report_again_when_it_is_written() {
    let cli = project();
    let view = Viewing::start(cli.command(&["view", "--port", "0"]));
    let (port, lines, go) = forwarded(view.port);
    let report = cli.path("reports/small.md");
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for line in lines {
            // The first question of the page, which is there by then.
            if line.contains("?state=")
                && !asked.iter().any(|line: &String| line.contains("?state="))
            {
                std::fs::write(&report, FIRST.replace("# First", "# Second")).unwrap();
            }
            asked.push(line);
            let _ = go.send(());
        }
        asked
    });
    let address = format!("http://127.0.0.1:{port}/reports/small.md");
    let Some(page) = dumped(&address, &cli) else {
        return;
    };
    assert!(page.contains(">Second</h1>"), "{page}");
    assert!(!page.contains(">First</h1>"), "{page}");
    drop(asked);
}

#[test]
fn the_cells_of_a_report_fill_in_before_it_is_written() {
    let cli = small();
    // One of two seeds, with a report elsewhere: what the other one needs is not there yet.
    let part = SMALL.replace("seeds = [0, 1]", "seeds = [0]");
    cli.write("part.toml", part.replace("small", "part"));
    run(&cli, "part.toml");
    let view = Viewing::start(cli.command(&["view", "small.toml", "--port", "0"]));
    let page = || String::from_utf8(view.get("/live/").body).unwrap();
    let first = page();
    for part in [
        "reports&#x2f;small.md as far as its results are there; 8 results not there yet",
        "not trained yet",
        "<img src=\"small.svg\"",
        "<a href=\"/live/\" aria-current=\"page\">",
    ] {
        assert!(first.contains(part), "no `{part}` in\n{first}");
    }
    let figure = view.get("/live/small.svg");
    assert!(figure.head.contains("image/svg+xml"), "{}", figure.head);
    assert!(figure.head.contains("sandbox"), "{}", figure.head);
    for path in ["/live/secret.md", "/live/../small.toml", "/live/x.svg"] {
        assert_eq!(view.get(path).status, 404, "{path}");
    }
    let state = || -> Value { serde_json::from_slice(&view.get("/live/?state=now").body).unwrap() };
    let before = state();
    assert!(!cli.path("reports/small.md").exists());
    run(&cli, "small.toml");
    // It is rendered again when it is some seconds old.
    let began = Instant::now();
    while state()["state"] == before["state"] {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "it does not change"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let last = page();
    assert!(last.contains("0 results not there yet"), "{last}");
    assert!(!last.contains("not trained yet"), "{last}");
    drop(view);
    // Without an experiment there is none.
    let view = Viewing::start(cli.command(&["view", "--port", "0"]));
    assert_eq!(view.get("/live/").status, 404);
}
