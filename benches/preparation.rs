//! Times what `benches/preparation_against_pillow.py` compares: decoding, then cropping and converting, of files, on one thread.
//!
//! `cargo bench --bench preparation -- SIDE ROUNDS FILE…` prints seconds an image for the two, each the least of its rounds. Any word
//! that begins with `--` is passed over: cargo adds one.

#![expect(clippy::expect_used, reason = "a benchmark fails this way")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use repro::imaging::preprocess::Draw;
use repro::imaging::{Image, Normalization, Preprocess};
use repro::machine::memory::RetainFreedMemory;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let mut number = || arguments.next().and_then(|word| word.parse::<usize>().ok());
    let (Some(side), Some(rounds)) = (number(), number()) else {
        // Run among all benchmarks, it has nothing to time.
        return;
    };
    let files: Vec<Vec<u8>> = arguments
        .map(|path| std::fs::read(path).expect("the file can be read"))
        .collect();
    let draw = Draw {
        seed: 0,
        sample: "a",
        view: "center",
        draw: 0,
    };
    // As while passes run.
    let _kept = RetainFreedMemory::begin();
    let mut least = [Duration::MAX; 2];
    for _ in 0..rounds {
        let mut spent = [Duration::ZERO; 2];
        for bytes in &files {
            let since = Instant::now();
            let image = Image::decode(bytes).expect("the file is an image");
            spent[0] += since.elapsed();
            let since = Instant::now();
            let square = Preprocess::default()
                .apply(&image, side, draw)
                .expect("photographs are small");
            black_box(square.to_planes(3, Normalization::default()));
            spent[1] += since.elapsed();
        }
        least = [least[0].min(spent[0]), least[1].min(spent[1])];
    }
    let count = files.len().max(1) as f64;
    let [decode, crop] = least.map(|time| time.as_secs_f64() / count);
    println!("{decode} {crop}");
}
