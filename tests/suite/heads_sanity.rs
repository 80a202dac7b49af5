//! Heads that must be right, and heads that can only guess: pictures through the real program to the table of results.

use std::io::Read;

use flate2::read::GzDecoder;
use repro::random::Stream;

use crate::fixture::{CliTest, gzip};

const SIDE: usize = 28;
const CLASSES: usize = 10;

/// Pictures with the class of each.
type Pictures = Vec<(Vec<u8>, u8)>;

/// Writes pictures as the files of Fashion-MNIST.
fn write(cli: &CliTest, folder: &str, stem: &str, pictures: &Pictures) {
    let header = |magic: u32, sides: &[usize]| -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        for &side in [pictures.len()].iter().chain(sides) {
            bytes.extend(u32::try_from(side).unwrap().to_be_bytes());
        }
        bytes
    };
    let mut images = header(0x0803, &[SIDE, SIDE]);
    images.extend(pictures.iter().flat_map(|(pixels, _)| pixels));
    let mut labels = header(0x0801, &[]);
    labels.extend(pictures.iter().map(|(_, label)| label));
    let file = |kind: &str| format!("{folder}/{stem}-{kind}-ubyte.gz");
    cli.write(&file("images-idx3"), gzip(&images));
    cli.write(&file("labels-idx1"), gzip(&labels));
}

/// The first pictures of Fashion-MNIST of each class, as many of each.
fn balanced(cli: &CliTest, stem: &str, of_each: usize) -> Pictures {
    let read = |kind: &str| {
        let packed = std::fs::read(cli.path(&format!("cut/{stem}-{kind}-ubyte.gz"))).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (images, labels) = (read("images-idx3"), read("labels-idx1"));
    let images = images[16..].chunks_exact(SIDE * SIDE).map(<[u8]>::to_vec);
    let mut taken = [0; CLASSES];
    let mut pictures: Pictures = images.zip(labels[8..].iter().copied()).collect();
    pictures.retain(|(_, label)| {
        let taken = &mut taken[usize::from(*label)];
        *taken += 1;
        *taken <= of_each
    });
    assert_eq!(pictures.len(), of_each * CLASSES);
    pictures
}

/// The same pictures; their classes change places.
fn shuffled(pictures: &Pictures, seed: u64) -> Pictures {
    let order = Stream::new(seed, "labels").permutation(pictures.len());
    let labels = order.into_iter().map(|from| pictures[from].1);
    let pixels = pictures.iter().map(|(pixels, _)| pixels.clone());
    pixels.zip(labels).collect()
}

/// A linear head on the pixels of some datasets.
fn experiment(datasets: &[&str]) -> String {
    let nodes = datasets.iter().map(|name| {
        format!(
            "[dataset.{name}]\nkind = \"fashion-mnist\"\nroot = \"{name}\"\n\n\
             [extraction.{name}]\nmodel = \"raw\"\ndataset = \"{name}\"\ntimestep = 0\nblock = 1\npool = 14\n\n\
             [head.{name}]\nkind = \"linear\"\nfeatures = \"{name}\"\nepochs = 20\nbatch_size = 64\n\n",
        )
    });
    format!(
        "[experiment]\nname = \"sanity\"\n\n\
         [model.raw]\nkind = \"pixels\"\nimage_size = 28\nin_channels = 1\n\n\
         {}[metric.accuracy]\nkind = \"accuracy\"\nof = {datasets:?}\n",
        nodes.collect::<String>()
    )
}

/// How many samples of the test split each head gets right, of how many.
fn right(cli: &CliTest, datasets: &[&str]) -> Vec<(f64, u64)> {
    cli.write("sanity.toml", experiment(datasets));
    cli.run(&["run", "sanity.toml", "--device", "cpu"])
        .expect_code(0);
    let rows = cli.query("SELECT head, value, count FROM results WHERE metric = 'top1'");
    let of = |name: &&str| {
        let row = rows.iter().find(|row| row["head"] == **name).unwrap();
        let count = row["count"].as_u64().unwrap();
        let share = row["value"].as_f64().unwrap();
        ((share * count as f64).round(), count)
    };
    datasets.iter().map(of).collect()
}

#[test]
fn separable_pictures_are_all_recognized() {
    let cli = CliTest::new();
    // Each class has a bright square at a place of its own, in dim noise; the tenth has none.
    let mut stream = Stream::new(1, "pictures");
    let mut pictures = |count: usize| -> Pictures {
        let mut one = |index: usize| {
            let class = index % CLASSES;
            let (row, column) = (class / 3 * 8 + 2, class % 3 * 8 + 2);
            let mut pixels: Vec<u8> = (0..SIDE * SIDE)
                .map(|_| u8::try_from(stream.next_below(60)).unwrap())
                .collect();
            if class < 9 {
                for y in row..row + 6 {
                    pixels[y * SIDE + column..y * SIDE + column + 6].fill(255);
                }
            }
            (pixels, u8::try_from(class).unwrap())
        };
        (0..count).map(&mut one).collect()
    };
    write(&cli, "squares", "train", &pictures(400));
    write(&cli, "squares", "t10k", &pictures(200));
    assert_eq!(right(&cli, &["squares"]), [(200.0, 200)]);
}

#[test]
fn shuffled_labels_are_guessed_and_true_ones_are_learned() {
    let cli = CliTest::new();
    cli.fashion("cut", 4000, 2000);
    for (stem, of_each, seed) in [("train", 200, 1), ("t10k", 100, 2)] {
        let pictures = balanced(&cli, stem, of_each);
        let mixed = shuffled(&pictures, seed);
        let moved = pictures.iter().zip(&mixed).filter(|(a, b)| a.1 != b.1);
        assert!(moved.count() > of_each * CLASSES * 8 / 10);
        write(&cli, "truth", stem, &pictures);
        write(&cli, "mixed", stem, &mixed);
    }
    let counts = right(&cli, &["truth", "mixed"]);
    let [(truth, 1000), (mixed, 1000)] = counts[..] else {
        panic!("{counts:?}");
    };
    // As many of each class: whatever is predicted, a shuffled label is the predicted one with a chance of one in ten, and
    // the number of hits does not vary more than that of so many throws.
    let (chance, deviation) = (100.0, (1000.0_f64 * 0.1 * 0.9).sqrt());
    assert!(
        (mixed - chance).abs() <= 4.0 * deviation,
        "{mixed} of 1,000 shuffled labels"
    );
    assert!(truth > 700.0, "{truth} of 1,000 true labels");
}
