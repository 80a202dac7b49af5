//! How often intervals hold the truth, and tests find what is not there: the tables of docs/concepts/statistics.md.
//!
//! Coverage of a share's interval is a sum over all numbers of right samples, and so exact. The others are simulated with fixed seeds; a bound
//! holds unless so few tables would have it in one of a thousand simulations, which Clopper and Pearson's limit of the count says.

use std::collections::BTreeMap;

use repro::random::Stream;
use repro::statistics::CONFIDENCE;
use repro::statistics::bootstrap::{Share, interval_of_mean_share};
use repro::statistics::holm::holm;
use repro::statistics::outside::outside;
use repro::statistics::paired::{Method, of_differences};
use repro::statistics::proportion::{clopper_pearson, wilson};

/// Tables of one cell of a simulation, where it is not shortened.
const TABLES: u64 = 1000;

/// Two-sided level of what one simulation in a thousand exceeds on either side.
const ALLOWANCE: f64 = 0.998;

/// Whether a share that was seen so often can be at least a bound.
#[track_caller]
fn at_least(bound: f64, seen: u64, tables: u64, what: &str) {
    let [_, high] = clopper_pearson(seen, tables, ALLOWANCE);
    assert!(high >= bound, "{what}: {seen} of {tables} is below {bound}");
}

/// Whether it can be at most a bound.
#[track_caller]
fn at_most(bound: f64, seen: u64, tables: u64, what: &str) {
    let [low, _] = clopper_pearson(seen, tables, ALLOWANCE);
    assert!(low <= bound, "{what}: {seen} of {tables} is above {bound}");
}

/// How likely each number of right samples of `count` is.
fn binomial(count: u64, p: f64) -> Vec<f64> {
    let mut probabilities = vec![0.0; usize::try_from(count).unwrap() + 1];
    // From the likeliest number in both directions, so that nothing that matters underflows.
    let distance = |k: u64| (k as f64 - p * count as f64).abs();
    let start = (0..=count).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
    let start = start.unwrap();
    let ratio = |k: u64| (count - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    let at = |k: u64| usize::try_from(k).unwrap();
    probabilities[at(start)] = 1.0;
    for k in start..count {
        probabilities[at(k + 1)] = probabilities[at(k)] * ratio(k);
    }
    for k in (0..start).rev() {
        probabilities[at(k)] = probabilities[at(k + 1)] / ratio(k);
    }
    let sum: f64 = probabilities.iter().sum();
    probabilities.iter().map(|one| one / sum).collect()
}

/// Tables of the paper's numbers in which every one is the truth: how many have a row that is said to differ, with Holm's method and
/// without.
#[test]
fn tables_of_the_papers_numbers_are_wrong_as_seldom_as_stated() {
    for (rows, p, images) in [(2_u64, 0.6, 500_u64), (8, 0.75, 1000), (20, 0.9, 2500)] {
        let mut stream = Stream::new(rows, "test/paper/holm");
        let (mut with, mut without) = (0, 0);
        for _ in 0..TABLES {
            let of_rows: Vec<f64> = (0..rows)
                .map(|_| {
                    let right = (0..images).filter(|_| stream.next_double() < p).count() as u64;
                    let share = right as f64 / images as f64;
                    outside(p, share, wilson(right, images, CONFIDENCE))
                })
                .collect();
            let differs = |all: &[f64]| u64::from(all.iter().any(|p| *p < 1.0 - CONFIDENCE));
            with += differs(&holm(&of_rows));
            without += differs(&of_rows);
        }
        println!("{rows} rows: {with} of {TABLES} with Holm's method, {without} without");
        at_most(0.05, with, TABLES, "tables with a false verdict");
        let expected = 1.0 - CONFIDENCE.powf(rows as f64);
        at_least(
            0.8 * expected,
            without,
            TABLES,
            "tables that are not adjusted",
        );
    }
}

#[test]
fn coverage_of_the_intervals_of_a_share() {
    let mut lines = vec!["| p | n | Wilson | Clopper-Pearson | bootstrap, percentile |".to_owned()];
    let mut found = BTreeMap::new();
    for p in [0.5, 0.9, 0.995, 0.998, 0.999] {
        for count in [403_u64, 1000] {
            let likely = binomial(count, p);
            let covered = |interval: &dyn Fn(u64) -> [f64; 2]| -> f64 {
                let holds = |&(k, _): &(usize, &f64)| {
                    let [low, high] = interval(k as u64);
                    low <= p && p <= high
                };
                likely
                    .iter()
                    .enumerate()
                    .filter(holds)
                    .map(|(_, likely)| likely)
                    .sum()
            };
            let of_wilson = covered(&|k| wilson(k, count, CONFIDENCE));
            let exact = covered(&|k| clopper_pearson(k, count, CONFIDENCE));
            let bootstrap = covered(&|k| percentile(k, count));
            lines.push(format!(
                "| {p} | {count} | {:.1} | {:.1} | {:.1} |",
                100.0 * of_wilson,
                100.0 * exact,
                100.0 * bootstrap
            ));
            assert!(exact >= CONFIDENCE, "p = {p}, n = {count}: {exact}");
            // Single p are covered up to some points less often than on average.
            assert!(of_wilson >= 0.915, "p = {p}, n = {count}: {of_wilson}");
            found.insert((p.to_string(), count), [of_wilson, bootstrap]);
        }
    }
    println!("{}", lines.join("\n"));
    // In percent, by SciPy's binomial distribution: Wilson's, and the percentile interval, which has no width at 1.
    for (p, count, expected) in [
        ("0.999", 1000, [91.979, 63.172]),
        ("0.998", 1000, [94.753, 86.386]),
        ("0.995", 403, [94.644, 86.625]),
    ] {
        for (found, expected) in found[&(p.to_owned(), count)].iter().zip(expected) {
            assert!(
                (100.0 * found - expected).abs() < 0.01,
                "{p}, {count}: {found}"
            );
        }
    }
}

/// The percentile interval of the bootstrap of a share with infinitely many resamples.
fn percentile(right: u64, count: u64) -> [f64; 2] {
    if right == 0 || right == count {
        return [right as f64 / count as f64; 2];
    }
    let likely = binomial(count, right as f64 / count as f64);
    let quantile = |share: f64| {
        let mut sum = 0.0;
        let reached = likely.iter().position(|one| {
            sum += one;
            sum >= share
        });
        reached.unwrap() as f64 / count as f64
    };
    [quantile(0.025), quantile(0.975)]
}

/// Coverage of one kind of classes: `classes` of them, with so many images each.
fn coverage_of_classes(classes: u32, images: u64, tables: u64, chance: impl Fn(u32) -> f64) -> u64 {
    let truth = (0..classes).map(&chance).sum::<f64>() / f64::from(classes);
    let mut stream = Stream::new(u64::from(classes) * 1000 + images, "coverage");
    let mut covered = 0;
    for _ in 0..tables {
        let shares: BTreeMap<u32, Share> = (0..classes)
            .map(|class| {
                let p = chance(class);
                let correct = (0..images).filter(|_| stream.next_double() < p).count() as u64;
                (
                    class,
                    Share {
                        correct,
                        count: images,
                    },
                )
            })
            .collect();
        let [low, high] = interval_of_mean_share(&shares);
        covered += u64::from(low <= truth && truth <= high);
    }
    covered
}

#[test]
#[ignore = "some seconds: 1,200 bootstraps"]
fn coverage_of_the_interval_of_a_mean_per_class() {
    means_per_class_are_covered(TABLES / 10);
}

#[test]
#[ignore = "a minute: 12,000 bootstraps"]
fn nightly_coverage_of_the_interval_of_a_mean_per_class() {
    means_per_class_are_covered(TABLES);
}

fn means_per_class_are_covered(tables: u64) {
    println!("| p | 2 images a class | 5 | 30 |");
    for p in [0.5, 0.9, 0.998] {
        let of_images = [2, 5, 30].map(|images| coverage_of_classes(50, images, tables, |_| p));
        println!(
            "| {p} | {} |",
            of_images
                .map(|seen| format!("{:.1}", 100.0 * seen as f64 / tables as f64))
                .join(" | ")
        );
        for seen in of_images {
            at_least(0.93, seen, tables, &format!("p = {p}"));
        }
    }
    let mixed = |class: u32| 0.5 + f64::from(class) / 100.0;
    let of_images = [2, 5, 30].map(|images| coverage_of_classes(50, images, tables, mixed));
    println!(
        "| 0.50 to 0.99 | {} |",
        of_images
            .map(|seen| format!("{:.1}", 100.0 * seen as f64 / tables as f64))
            .join(" | ")
    );
    for seen in of_images {
        at_least(0.93, seen, tables, "mixed");
    }
}

/// Normally distributed numbers.
struct Normal(Stream);

impl Normal {
    fn draw(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.next_double()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.next_double()).cos()
    }
}

/// Standard deviations of a difference between two heads that are equally good.
#[derive(Debug, Clone, Copy)]
struct Noise {
    name: &'static str,
    images: f64,
    seeds: f64,
    residual: f64,
}

#[test]
#[ignore = "some seconds: 2,000 comparisons"]
fn paired_comparisons_find_nothing_where_nothing_is() {
    comparisons_find_nothing(TABLES / 10);
}

#[test]
#[ignore = "a minute: 20,000 comparisons"]
fn nightly_paired_comparisons_find_nothing_where_nothing_is() {
    comparisons_find_nothing(TABLES);
}

fn comparisons_find_nothing(tables: u64) {
    const IMAGES: usize = 300;
    let noises = [
        Noise {
            name: "independent",
            images: 0.0,
            seeds: 0.0,
            residual: 1.0,
        },
        Noise {
            name: "images, shared by seeds",
            images: 1.0,
            seeds: 0.0,
            residual: 0.3,
        },
        Noise {
            name: "images, and seeds little",
            images: 1.0,
            seeds: 0.03,
            residual: 0.3,
        },
        Noise {
            name: "images and seeds",
            images: 1.0,
            seeds: 0.1,
            residual: 0.3,
        },
        Noise {
            name: "seeds, and residual",
            images: 0.0,
            seeds: 0.1,
            residual: 1.0,
        },
        Noise {
            name: "seeds above all",
            images: 1.0,
            seeds: 0.3,
            residual: 0.5,
        },
    ];
    let methods = [
        Method::Banerjee,
        Method::Satterthwaite,
        Method::Normal,
        Method::NormalResidualOnce,
    ];
    println!("| noise | seeds | default | Satterthwaite | normal | normal, residual once |");
    for noise in noises {
        for seeds in [1, 2, 3, 5] {
            if seeds == 1 && noise.seeds > 0.0 {
                // With one seed the result is that seed's, and its deviation part of it.
                continue;
            }
            let mut normal = Normal(Stream::new(seeds, noise.name));
            let mut found = [0_u64; 4];
            for _ in 0..tables {
                let of_images: Vec<f64> =
                    (0..IMAGES).map(|_| noise.images * normal.draw()).collect();
                let differences: Vec<Vec<f64>> = (0..seeds)
                    .map(|_| {
                        let of_seed = noise.seeds * normal.draw();
                        let of_all = |image: &f64| image + of_seed + noise.residual * normal.draw();
                        of_images.iter().map(of_all).collect()
                    })
                    .collect();
                for (method, found) in methods.iter().zip(&mut found) {
                    let result = of_differences(&differences, *method).unwrap();
                    assert_eq!(
                        result.p < 0.05,
                        result.low > 0.0 || result.high < 0.0,
                        "{result:?}"
                    );
                    *found += u64::from(result.p < 0.05);
                }
            }
            println!(
                "| {} | {seeds} | {} |",
                noise.name,
                found
                    .map(|found| format!("{:.1}", 100.0 * found as f64 / tables as f64))
                    .join(" | ")
            );
            at_most(0.05, found[0], tables, &format!("{noise:?}, {seeds} seeds"));
        }
    }
}
