//! A connection that is slow, breaks after some bytes, and is refused at times, all at seeded places.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// Numbers that look random and are the same each time (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// How bad the connection is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub seed: u64,
    /// One connection in so many breaks; 0 where none does.
    pub broken: u64,
    /// After so many bytes at most, those of both ways counted.
    pub cut_after: u64,
    /// One connection in so many is answered by 503; 0 where none is.
    pub refused: u64,
    /// Bytes a second of each way of each connection.
    pub pace: Option<u64>,
}

/// Passes connections on until it is dropped.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    cuts: AtomicUsize,
    refusals: AtomicUsize,
}

impl Proxy {
    /// Begins to pass connections on to a port of this machine.
    pub fn start(to: u16, weather: Weather) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        std::thread::spawn({
            let state = Arc::clone(&state);
            move || {
                let mut random = Random::new(weather.seed);
                for stream in listener.incoming() {
                    if state.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(client) = stream else {
                        continue;
                    };
                    let is_refused = weather.refused > 0 && random.below(weather.refused) == 0;
                    let is_broken = weather.broken > 0 && random.below(weather.broken) == 0;
                    // No place is before any byte: something comes of every attempt.
                    let cut = weather.cut_after / 4 + random.below(weather.cut_after.max(1));
                    let cut = is_broken.then_some(cut);
                    let state = Arc::clone(&state);
                    std::thread::spawn(move || {
                        if is_refused {
                            refuse(client, &state);
                        } else {
                            pass_on(&client, to, cut, weather.pace, &state);
                        }
                    });
                }
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that were broken.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Connections that were answered by 503.
    pub fn refusals(&self) -> usize {
        self.state.refusals.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes whoever waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn refuse(mut client: TcpStream, state: &State) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = client.read(&mut [0; PIECE]);
    let _ = client
        .write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = client.shutdown(Shutdown::Write);
    // What it still sends is read, so that the answer is not lost.
    let mut rest = [0; PIECE];
    while client.read(&mut rest).is_ok_and(|read| read > 0) {}
    state.refusals.fetch_add(1, Ordering::Relaxed);
}

fn pass_on(client: &TcpStream, to: u16, cut: Option<u64>, pace: Option<u64>, state: &State) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
        return;
    };
    let passed = AtomicU64::new(0);
    let way = |mut from: &TcpStream, mut into: &TcpStream| {
        let mut piece = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            let before = passed.fetch_add(read as u64, Ordering::Relaxed);
            if cut.is_some_and(|cut| before + read as u64 > cut) {
                state.cuts.fetch_add(1, Ordering::Relaxed);
                let _ = from.shutdown(Shutdown::Both);
                let _ = into.shutdown(Shutdown::Both);
                return;
            }
            if let Some(pace) = pace {
                std::thread::sleep(Duration::from_secs_f64(read as f64 / pace as f64));
            }
            if into.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = into.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| way(client, &server));
        way(&server, client);
    });
}
