//! Only `repro models fetch` and `repro data fetch` talk to the network, and where a remote is named the commands that share a cache by it,
//! whatever the other commands are given to read; `repro view` listens on the loopback, and connects to nobody.
//!
//! Reading the source for names of libraries, as `tidy` does, does not see a library that connects by itself. So the program runs here
//! under a filter of the kernel that ends it, by SIGSYS, as soon as it opens a socket of the internet's protocols, and with a listener
//! that stands for every address and every proxy, and must not be connected to.

use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use crate::fixture::{CliTest, Output, finish};
use crate::small::{SMALL, run, small};
use crate::view::Viewing;

/// Makes the program end by SIGSYS where it opens a socket for IPv4 or IPv6, and with it all that it starts.
fn without_internet(command: &mut Command) {
    filtered(
        command,
        libc::SYS_socket,
        Some([libc::AF_INET, libc::AF_INET6]),
    );
}

/// Makes the program end by SIGSYS where it connects to anything.
fn without_connecting(command: &mut Command) {
    filtered(command, libc::SYS_connect, None);
}

/// Makes the program end by SIGSYS at a system call, or where its first argument is one of two.
fn filtered(command: &mut Command, call: i64, of: Option<[libc::c_int; 2]>) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};

    let code = |code: u32| u16::try_from(code).unwrap();
    let load = |offset| libc::sock_filter {
        code: code(BPF_LD | BPF_W | BPF_ABS),
        jt: 0,
        jf: 0,
        k: offset,
    };
    let jump_if = |value, jt, jf| libc::sock_filter {
        code: code(BPF_JMP | BPF_JEQ | BPF_K),
        jt,
        jf,
        k: value,
    };
    let end = |action| libc::sock_filter {
        code: code(BPF_RET | BPF_K),
        jt: 0,
        jf: 0,
        k: action,
    };
    let number = |number: i64| u32::try_from(number).unwrap();
    // Offsets of `struct seccomp_data`: the number of the call at 0, the lower half of its first argument at 16.
    let mut filter = vec![load(0)];
    match of {
        None => filter.push(jump_if(number(call), 1, 0)),
        Some([first, second]) => filter.extend([
            jump_if(number(call), 0, 3),
            load(16),
            jump_if(number(first.into()), 2, 0),
            jump_if(number(second.into()), 1, 0),
        ]),
    }
    filter.extend([
        end(libc::SECCOMP_RET_ALLOW),
        end(libc::SECCOMP_RET_KILL_PROCESS),
    ]);
    let install = move || {
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
            filter: filter.as_ptr().cast_mut(),
        };
        #[expect(unsafe_code, reason = "the standard library has no such filters")]
        // SAFETY: both calls only read what they are given, which lives until they return, and change this process alone.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) == 0
        };
        if done {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    };
    #[expect(
        unsafe_code,
        reason = "what runs between fork and exec is unsafe to write"
    )]
    // SAFETY: two system calls and no allocation.
    unsafe {
        command.pre_exec(install);
    }
}

/// A listener that nobody may connect to.
struct Nobody {
    listener: TcpListener,
    address: String,
}

impl Nobody {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, address }
    }

    /// How many connections were made since the last time. The kernel accepts them without anybody's doing.
    fn connections(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }

    /// The program under the filter, with the listener as the proxy of every protocol. It must end by itself, and not have connected.
    #[track_caller]
    fn run(&self, cli: &CliTest, arguments: &[&str]) -> Output {
        let mut command = cli.command(arguments);
        self.be_every_proxy(&mut command);
        without_internet(&mut command);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.signal(),
            None,
            "`repro {}` opened a socket",
            arguments.join(" ")
        );
        assert_eq!(self.connections(), 0, "{arguments:?}");
        finish(output)
    }

    fn be_every_proxy(&self, command: &mut Command) {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command
                .env(name, &self.address)
                .env(name.to_lowercase(), &self.address);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
    }
}

#[test]
fn the_filter_ends_what_fetches_and_the_listener_counts_it() {
    let (cli, nobody) = (CliTest::new(), Nobody::listen());
    let url = format!("{}/weights.pt", nobody.address);
    let fetch = [
        "models",
        "fetch",
        "adm-64-cond",
        "--url",
        &url,
        "--hurry",
        "10000",
    ];
    let mut command = cli.command(&fetch);
    without_internet(&mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    assert_eq!(nobody.connections(), 0);

    let mut command = cli.command(&fetch);
    command.env("NO_PROXY", "*");
    command.output().unwrap();
    assert!(nobody.connections() > 0);
    // Whatever the address is, the proxy is asked.
    let elsewhere = ["models", "fetch", "adm-64-cond", "--hurry", "10000"];
    let mut command = cli.command(&elsewhere);
    nobody.be_every_proxy(&mut command);
    command.output().unwrap();
    assert!(nobody.connections() > 0);
}

#[test]
fn no_command_but_fetch_opens_a_socket() {
    let (cli, nobody) = (small(), Nobody::listen());
    for arguments in [
        &["check", "small.toml"][..],
        &["plan", "small.toml"],
        &[
            "run",
            "small.toml",
            "--device",
            "cpu",
            "--json-log",
            "log.jsonl",
        ],
        &["report", "small.toml"],
        &[
            "report",
            "small.toml",
            "--from",
            "reports/small.results.csv",
        ],
        &[
            "report",
            "small.toml",
            "--format",
            "comment",
            "--base",
            "reports/small.md",
        ],
        &["diff", "reports/small.md", "reports/small.results.csv"],
        &["query", "SELECT * FROM results"],
        &[
            "query",
            "SELECT * FROM predictions JOIN curves USING (head_fingerprint)",
        ],
        &["list", "artifacts"],
        &["list", "kinds"],
        &["list", "models"],
        &["data", "list"],
        &["data", "check", "small.toml"],
        &["models", "fetch"],
        &["cache", "verify"],
        &["init", "new"],
        &["demo", "--device", "cpu"],
    ] {
        nobody.run(&cli, arguments).expect_code(0);
    }
    let output = nobody.run(&cli, &["doctor"]);
    assert!(output.code.is_some_and(|code| code < 2), "{output}");
}

#[test]
fn only_commands_that_share_a_cache_ask_a_remote() {
    let (cli, nobody) = (small(), Nobody::listen());
    run(&cli, "small.toml");
    // A remote that is a folder needs no network.
    for arguments in [
        &["cache", "push", "shared"][..],
        &["cache", "sync", "shared", "--cache", "other"],
        &["plan", "small.toml", "--remote", "shared"],
        &[
            "run",
            "small.toml",
            "--remote",
            "shared",
            "--cache",
            "third",
        ],
    ] {
        nobody.run(&cli, arguments).expect_code(0);
    }
    cli.write(
        "repro.toml",
        format!("[remote]\nurl = \"{}/x\"\n", nobody.address),
    );
    for arguments in [
        &["check", "small.toml"][..],
        &["explain", "small.toml"],
        &["report", "small.toml"],
        &["query", "SELECT * FROM results"],
        &["list", "artifacts"],
        &["cache", "ls"],
        &["cache", "verify"],
        &["run", "small.toml", "--no-remote"],
        &["plan", "small.toml", "--no-remote"],
        // Nothing is lacking, so nothing is asked for.
        &["run", "small.toml"],
        &["plan", "small.toml"],
    ] {
        nobody.run(&cli, arguments).expect_code(0);
    }
    for arguments in [
        &["cache", "pull", "small.toml", "--cache", "new"][..],
        &["plan", "small.toml", "--cache", "new"],
        &["run", "small.toml", "--cache", "new"],
    ] {
        let mut command = cli.command(arguments);
        without_internet(&mut command);
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    }
}

#[test]
fn the_view_listens_on_the_loopback_and_connects_to_nobody() {
    let (cli, nobody) = (small(), Nobody::listen());
    run(&cli, "small.toml");
    let mut command = cli.command(&["view", "small.toml", "--port", "0"]);
    nobody.be_every_proxy(&mut command);
    without_connecting(&mut command);
    let mut view = Viewing::start(command);
    for path in [
        "/",
        "/runs",
        "/query?sql=SELECT+*+FROM+results",
        "/samples",
        "/reports/small.md",
    ] {
        assert_eq!(view.get(path).status, 200, "{path}");
    }
    // What the kernel lists: addresses and ports of sockets that listen (state 0A), in hexadecimal.
    let listening = |table: &str| -> Vec<String> {
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let fields = table.lines().skip(1).map(|line| line.split_whitespace());
        let local = fields.filter_map(|mut fields| {
            let (local, state) = (fields.nth(1)?, fields.nth(1)?);
            (state == "0A").then(|| local.to_owned())
        });
        let port = format!(":{:04X}", view.port);
        local.filter(|local| local.ends_with(&port)).collect()
    };
    assert_eq!(listening("tcp"), [format!("0100007F:{:04X}", view.port)]);
    assert!(listening("tcp6").is_empty());
    assert_eq!(view.child.try_wait().unwrap(), None);
    assert_eq!(nobody.connections(), 0);
}

#[test]
fn an_address_where_a_file_belongs_is_not_asked_for() {
    let (cli, nobody) = (small(), Nobody::listen());
    run(&cli, "small.toml");
    let base = &nobody.address;
    for sql in [
        format!("SELECT * FROM read_parquet('{base}/a.parquet?cell=42')"),
        format!("SELECT * FROM read_ipc('{base}/a.arrow')"),
        format!("SELECT * FROM read_csv('{base}/a.csv')"),
        format!("SELECT * FROM results WHERE value IN (SELECT x FROM read_parquet('{base}/a'))"),
        format!("WITH a AS (SELECT * FROM read_parquet('{base}/a')) SELECT 1"),
        format!("SELECT * FROM '{base}/a.parquet'"),
        format!("SELECT * FROM \"{base}/a.parquet\""),
        format!("COPY results TO '{base}/a.parquet'"),
    ] {
        nobody.run(&cli, &["query", &sql]).expect_code(2);
    }
    let address = format!("{base}/file");
    for (from, to) in [
        ("root = \"fashion\"", format!("root = \"{address}\"")),
        (
            "weights = { synthetic = 1 }",
            format!("weights = \"{address}.pt\""),
        ),
        (
            "output = \"reports/small.md\"",
            format!("output = \"reports/small.md\"\ntemplate = \"{address}.jinja\""),
        ),
        (
            "name  = \"small\"",
            format!("name  = \"small\"\ntitle = \"{address}\""),
        ),
    ] {
        let text = SMALL.replace(from, &to);
        assert_ne!(text, SMALL);
        cli.write("changed.toml", text);
        for command in ["check", "plan", "run", "report"] {
            nobody.run(&cli, &[command, "changed.toml"]);
        }
    }
    for arguments in [
        &["check", &address][..],
        &["run", &address],
        &["models", "inspect", &address],
        &["models", "convert", &address, "out.safetensors"],
        &["report", "small.toml", "--from", &address],
        &["diff", &address],
        &["diff", "reports/small.md", &address],
        &["query", "SELECT 1", "--cache", &address],
    ] {
        let output = nobody.run(&cli, arguments);
        assert!(
            output.code.is_some_and(|code| code != 0),
            "{arguments:?}: {output}"
        );
    }
}
