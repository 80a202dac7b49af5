//! Tests of CKA: golden values, definitions written out, and what has to hold for any features.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::metrics::FeatureSource;
use crate::random::Stream;
use crate::spec::{Diagnostics, Source, tree};
use sets::Rows;

/// Features in memory, `[count, width]`.
#[derive(Debug, Clone)]
struct Values<T> {
    width: usize,
    values: Vec<T>,
}

type Doubles = Values<f64>;

impl<T: Copy> Values<T> {
    fn row(&self, row: usize) -> &[T] {
        &self.values[row * self.width..][..self.width]
    }

    fn count_rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn copy(&self, rows: Range<usize>, into: &mut [T]) -> Result<(), String> {
        let values = self
            .values
            .get(rows.start * self.width..rows.end * self.width)
            .ok_or("not there")?;
        into.copy_from_slice(values);
        Ok(())
    }
}

impl Rows for Doubles {
    type Value = f64;

    fn name(&self) -> String {
        format!("{} columns", self.width)
    }

    fn count(&self) -> usize {
        self.count_rows()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, rows: Range<usize>, into: &mut [f64]) -> Result<(), String> {
        self.copy(rows, into)
    }
}

impl FeatureSource for Values<f32> {
    fn name(&self) -> String {
        format!("{} columns", self.width)
    }

    fn rows(&self) -> usize {
        self.count_rows()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<(), String> {
        self.copy(rows, into)
    }
}

impl Doubles {
    #[expect(clippy::cast_possible_truncation, reason = "as features are stored")]
    fn in_f32(&self) -> Values<f32> {
        Values {
            width: self.width,
            values: self.values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// A function of every row and column.
    fn map(&self, f: impl Fn(usize, usize, f64) -> f64) -> Self {
        let at = |(index, &value)| f(index / self.width, index % self.width, value);
        Self {
            width: self.width,
            values: self.values.iter().enumerate().map(at).collect(),
        }
    }
}

/// Normally distributed values.
fn normal(rows: usize, width: usize, seed: u64) -> Doubles {
    let mut stream = Stream::new(seed, "test");
    let mut draw = || {
        let radius = (-2.0 * (1.0 - stream.next_double()).ln()).sqrt();
        radius * (std::f64::consts::TAU * stream.next_double()).cos()
    };
    Values {
        width,
        values: (0..rows * width).map(|_| draw()).collect(),
    }
}

const BATCHES_OF_16: Estimator = Estimator::Minibatch { batch_size: 16 };
const ONE_BATCH: Estimator = Estimator::Minibatch {
    batch_size: 1_000_000,
};

#[track_caller]
fn values<R: Rows>(
    sources: &[R],
    pairs: &[(usize, usize)],
    estimator: Estimator,
    tile: usize,
) -> Vec<f64> {
    similarities(sources, pairs, estimator, tile, &|| true).unwrap()
}

#[track_caller]
fn value(left: &Doubles, right: &Doubles, estimator: Estimator) -> f64 {
    values(
        &[left.clone(), right.clone()],
        &[(0, 1)],
        estimator,
        hsic::TILE,
    )[0]
}

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    let difference = (value - expected).abs();
    assert!(difference <= tolerance, "{value}, expected {expected}");
}

/// The entries of a Gram matrix of centered features.
fn gram(features: &Doubles) -> Vec<Vec<f64>> {
    let count = features.count_rows();
    let mean = |column| {
        let sum: f64 = (0..count).map(|row| features.row(row)[column]).sum();
        sum / count as f64
    };
    let means: Vec<f64> = (0..features.width).map(mean).collect();
    let centered = features.map(|_, column, value| value - means[column]);
    let product = |left, right| -> f64 {
        let columns = centered.row(left).iter().zip(centered.row(right));
        columns.map(|(left, right)| left * right).sum()
    };
    let row = |left| (0..count).map(|right| product(left, right)).collect();
    (0..count).map(row).collect()
}

fn inner(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    let entries = left.iter().flatten().zip(right.iter().flatten());
    entries.map(|(left, right)| left * right).sum()
}

/// The unbiased estimate by its definition as a U-statistic: the mean over all ordered quadruples of different samples. No centering.
fn hsic_of_quadruples(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
    let n = left.len();
    let (mut sum, mut count) = (0.0, 0.0);
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            for q in (0..n).filter(|&q| q != i && q != j) {
                for r in (0..n).filter(|&r| r != i && r != j && r != q) {
                    sum += left[i][j] * (right[i][j] + right[q][r] - 2.0 * right[i][q]);
                    count += 1.0;
                }
            }
        }
    }
    sum / count
}

fn golden() -> (Vec<(String, Doubles)>, serde_json::Value) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics");
    let bytes = std::fs::read(folder.join("cka.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let sets = tensors.iter().map(|(name, view)| {
        let words = view.data().chunks_exact(8);
        let values = words.map(|word| f64::from_le_bytes(word.try_into().unwrap()));
        let width = view.shape()[1];
        let set = Values {
            width,
            values: values.collect(),
        };
        (name.to_owned(), set)
    });
    let json = std::fs::read(folder.join("cka.json")).unwrap();
    (sets.collect(), serde_json::from_slice(&json).unwrap())
}

#[test]
fn golden_values_in_one_walk() {
    let (sets, expected) = golden();
    let place = |name: &str| sets.iter().position(|(known, _)| known == name).unwrap();
    let cases = expected.as_object().unwrap().iter();
    let cases: Vec<_> = cases
        .filter_map(|(key, case)| {
            let (left, right) = key.split_once('|')?;
            Some(((place(left), place(right)), case))
        })
        .collect();
    assert_eq!(cases.len(), 9);
    let pairs: Vec<(usize, usize)> = cases.iter().map(|(pair, _)| *pair).collect();
    let doubles: Vec<Doubles> = sets.iter().map(|(_, set)| set.clone()).collect();
    let singles: Vec<Values<f32>> = doubles.iter().map(Values::in_f32).collect();
    let singles: Vec<&dyn FeatureSource> = singles
        .iter()
        .map(|set| set as &dyn FeatureSource)
        .collect();
    let from_doubles = values(&doubles, &pairs, Estimator::Biased, hsic::TILE);
    let from_singles = values(&singles, &pairs, Estimator::Biased, hsic::TILE);
    for (((_, case), value), single) in cases.iter().zip(from_doubles).zip(from_singles) {
        for form in ["feature_space", "gram_space"] {
            near(value, case[form].as_f64().unwrap(), 1e-10);
        }
        near(single, case["feature_space"].as_f64().unwrap(), 1e-5);
        if let Some(case) = case["feature_space_f32"].as_f64() {
            near(single, case, 1e-5);
        }
    }
}

#[test]
fn every_estimator_is_its_definition() {
    let sets = [normal(9, 3, 1), normal(9, 20, 2), normal(9, 1, 3)];
    let sets = [
        sets[0].map(|_, _, value| value + 50.0),
        sets[1].clone(),
        sets[2].clone(),
    ];
    let grams: Vec<_> = sets.iter().map(gram).collect();
    let pairs = [(0, 1), (0, 2), (1, 2)];
    for tile in [1, 2, 4, 128] {
        let biased = values(&sets, &pairs, Estimator::Biased, tile);
        let unbiased = values(&sets, &pairs, ONE_BATCH, tile);
        for ((&(left, right), biased), unbiased) in pairs.iter().zip(biased).zip(unbiased) {
            let (left, right) = (&grams[left], &grams[right]);
            let scale = (inner(left, left) * inner(right, right)).sqrt();
            near(biased, inner(left, right) / scale, 1e-12);
            let own = hsic_of_quadruples(left, left) * hsic_of_quadruples(right, right);
            near(
                unbiased,
                hsic_of_quadruples(left, right) / own.sqrt(),
                1e-12,
            );
        }
    }
}

#[test]
fn batches_are_averaged_before_they_are_divided() {
    let sets = [normal(19, 4, 4), normal(19, 7, 5)];
    // 19 samples in batches of at most 8: 6, 6 and 7 of them, in the order of the stream.
    let order = Stream::new(0, "metric/cka/batches").permutation(19);
    let mut sums = [0.0; 3];
    for batch in [0..6, 6..12, 12..19] {
        let part = |set: &Doubles| {
            let rows = order[batch.clone()].iter();
            gram(&Values {
                width: set.width,
                values: rows.flat_map(|&row| set.row(row).to_vec()).collect(),
            })
        };
        let (left, right) = (part(&sets[0]), part(&sets[1]));
        sums[0] += hsic_of_quadruples(&left, &right);
        sums[1] += hsic_of_quadruples(&left, &left);
        sums[2] += hsic_of_quadruples(&right, &right);
    }
    let expected = sums[0] / (sums[1] * sums[2]).sqrt();
    for tile in [1, 3, 128] {
        let estimator = Estimator::Minibatch { batch_size: 8 };
        near(
            values(&sets, &[(0, 1)], estimator, tile)[0],
            expected,
            1e-12,
        );
    }
}

#[test]
fn unrelated_features_are_alike_to_the_biased_estimate_alone() {
    let (left, right) = (normal(200, 300, 6), normal(200, 300, 7));
    let biased = value(&left, &right, Estimator::Biased);
    assert!(biased > 0.5, "{biased}");
    for estimator in [ONE_BATCH, Estimator::Minibatch { batch_size: 50 }] {
        let unbiased = value(&left, &right, estimator);
        assert!(unbiased.abs() < 0.02, "{estimator:?}: {unbiased}");
    }
    // Where they share a part, both see it.
    let mixed = left.map(|row, column, value| value + right.row(row)[column]);
    let unbiased = value(&left, &mixed, ONE_BATCH);
    near(unbiased, 0.5, 0.05);
}

#[test]
fn a_grid_is_symmetric_and_has_ones_on_its_diagonal() {
    let sets: Vec<Doubles> = (1..=6)
        .map(|width| normal(50, 13 * width, width as u64))
        .collect();
    // The third twice, as another set.
    let sets: Vec<Doubles> = sets.iter().chain(sets.get(2)).cloned().collect();
    let pairs: Vec<(usize, usize)> = (0..sets.len())
        .flat_map(|left| (0..sets.len()).map(move |right| (left, right)))
        .collect();
    for estimator in [Estimator::Biased, BATCHES_OF_16] {
        let grid = values(&sets, &pairs, estimator, 16);
        let at = |left: usize, right: usize| grid[left * sets.len() + right];
        for &(left, right) in &pairs {
            assert_eq!(at(left, right).to_bits(), at(right, left).to_bits());
        }
        for same in (0..sets.len()).map(|set| (set, set)).chain([(2, 6)]) {
            near(at(same.0, same.1), 1.0, 1e-12);
        }
        assert!((at(1, 3) - 1.0).abs() > 0.01);
        // No pair depends on which others are asked for.
        near(values(&sets, &[(4, 1)], estimator, 16)[0], at(1, 4), 1e-12);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let sets = [normal(150, 40, 1), normal(150, 600, 2), normal(150, 9, 3)];
    let pairs = [(0, 1), (1, 2), (2, 0)];
    for estimator in [Estimator::Biased, BATCHES_OF_16] {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let values = pool
                .build()
                .unwrap()
                .install(|| values(&sets, &pairs, estimator, 16));
            values.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(with(1), with(3));
    }
}

#[test]
fn wide_sets_take_small_tiles() {
    // 300,000 columns: 64 MiB hold 16 rows of two blocks, and no more.
    let wide = Values {
        width: 300_000,
        values: (0..3_600_000_u32)
            .map(|index| f64::from(index.wrapping_mul(2_654_435_761) >> 8))
            .collect(),
    };
    let wide = wide.in_f32();
    let narrow = normal(12, 2, 1).in_f32();
    let sets: [&dyn FeatureSource; 2] = [&wide, &narrow];
    let whole = values(&sets, &[(0, 1)], Estimator::Biased, 128)[0];
    let cut = values(&sets, &[(0, 1)], Estimator::Biased, 5)[0];
    near(whole, cut, 1e-12);
}

/// What is reported of sets that cannot be compared.
#[track_caller]
fn refusal(sources: &[Doubles], estimator: Estimator) -> String {
    let refused = similarities(sources, &[(0, 1)], estimator, 16, &|| true);
    match refused {
        Err(MetricError::Input(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_compared_is_named() {
    let good = normal(20, 3, 1);
    let constant = Values {
        width: 2,
        values: [0.1, 0.3].repeat(20),
    };
    let pair = |other: Doubles| [good.clone(), other];
    for estimator in [Estimator::Biased, BATCHES_OF_16] {
        let message = refusal(&pair(constant.clone()), estimator);
        assert!(
            message.starts_with("2 columns are the same for all 20 samples"),
            "{message}"
        );
        let message = refusal(&pair(normal(19, 5, 2)), estimator);
        assert!(
            message.starts_with("3 columns have 20 samples, 5 columns have 19:"),
            "{message}"
        );
        let broken = normal(20, 5, 2).map(|row, column, value| {
            if (row, column) == (7, 4) {
                f64::NAN
            } else {
                value
            }
        });
        let message = refusal(&pair(broken), estimator);
        assert!(
            message.starts_with("value 4 of 5 columns is NaN or infinite"),
            "{message}"
        );
    }
    for (estimator, least) in [(Estimator::Biased, 2), (BATCHES_OF_16, 4)] {
        let message = refusal(
            &[normal(least - 1, 3, 1), normal(least - 1, 4, 2)],
            estimator,
        );
        assert!(
            message.ends_with(&format!("needs at least {least}")),
            "{message}"
        );
        let sets = [normal(least, 3, 1), normal(least, 4, 2)];
        assert!(values(&sets, &[(0, 1)], estimator, 16)[0].is_finite());
    }
    // One sample that differs makes no pair of different samples that does.
    let lonely = good.map(|row, _, _| if row == 3 { 5.0 } else { 1.0 });
    let message = refusal(&pair(lonely.clone()), ONE_BATCH);
    assert!(message.contains("differ in too few samples"), "{message}");
    assert!(value(&good, &lonely, Estimator::Biased) < 1.0);
}

#[test]
fn a_stop_is_noticed_between_tiles() {
    let sets = [normal(60, 4, 1), normal(60, 4, 2)];
    for after in [0, 3, 7] {
        let asked = AtomicUsize::new(0);
        let keep_going = || asked.fetch_add(1, Ordering::SeqCst) < after;
        let stopped = similarities(&sets, &[(0, 1)], BATCHES_OF_16, 4, &keep_going);
        assert_eq!(stopped, Err(MetricError::Stopped));
    }
}

#[test]
fn a_metric_of_pairs_takes_pairs() {
    let metric = Cka {
        estimator: Estimator::Biased,
    };
    let sets = [normal(10, 3, 1).in_f32(), normal(10, 5, 2).in_f32()];
    let sets: Vec<&dyn FeatureSource> = sets.iter().map(|set| set as &dyn FeatureSource).collect();
    let input = |pairs| MetricInput::Pairs {
        sets: &sets,
        pairs,
        keep_going: &|| true,
    };
    let scores = metric.evaluate(input(&[(1, 0), (0, 1), (1, 1)])).unwrap();
    assert_eq!(scores.len(), 3);
    assert_eq!(scores[0], scores[1]);
    assert_eq!(
        (scores[2][0].output.name.as_str(), scores[2][0].interval),
        ("cka", None)
    );
    near(scores[2][0].value, 1.0, 0.0);
    assert_eq!(metric.evaluate(input(&[])), Ok(vec![]));
    assert_eq!(metric.evaluate(input(&[(0, 2)])), Err(MetricError::Bug));
    assert_eq!(
        metric.evaluate(MetricInput::Features(sets[0])),
        Err(MetricError::Bug)
    );
}

/// What a table declares, and the codes of its errors.
fn parsed(text: &str) -> (Option<serde_json::Value>, Vec<&'static str>) {
    let source = Source::new("case.toml", format!("left = \"taps\"\n{text}"));
    let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
    let table = tree::parse(&source, &mut diagnostics.borrow_mut());
    let fields = Fields::new(
        &table,
        "metric `a`",
        crate::spec::Span::default(),
        &diagnostics,
    );
    let metric = KIND.read(&fields).map(|metric| metric.identity());
    let diagnostics = diagnostics.borrow();
    let records = diagnostics.records();
    (metric, records.iter().map(|record| record.code).collect())
}

#[test]
fn batches_belong_to_the_minibatch_estimator() {
    let biased = serde_json::json!({ "kind": "cka", "version": 2, "estimator": "biased" });
    assert_eq!(parsed(""), (Some(biased.clone()), vec![]));
    assert_eq!(parsed("estimator = \"biased\""), (Some(biased), vec![]));
    let minibatch = |size: u32| {
        let identity = serde_json::json!({ "kind": "cka", "version": 2, "estimator": "minibatch", "batch_size": size });
        (Some(identity), vec![])
    };
    assert_eq!(parsed("estimator = \"minibatch\""), minibatch(256));
    let text = "estimator = \"minibatch\"\nbatch_size = 8";
    assert_eq!(parsed(text), minibatch(8));
    for (text, code) in [
        ("batch_size = 64", "graph::metric-misfit"),
        (
            "estimator = \"minibatch\"\nbatch_size = 7",
            "spec::out-of-range",
        ),
        ("estimator = \"debiased\"", "spec::out-of-range"),
    ] {
        assert_eq!(parsed(text).1, [code], "{text}");
    }
}

/// The mirror image of every row in the plane that is normal to a vector: an orthogonal matrix.
fn mirrored(features: &Doubles, normal: &[f64]) -> Doubles {
    let square: f64 = normal.iter().map(|value| value * value).sum();
    features.map(|row, column, value| {
        let along: f64 = features
            .row(row)
            .iter()
            .zip(normal)
            .map(|(value, normal)| value * normal)
            .sum();
        value - 2.0 * along / square * normal[column]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rotation_scale_and_shift_change_nothing(
        rows in 8..60_usize,
        widths in [1..20_usize, 1..20_usize],
        seed in any::<u64>(),
        scale in 1e-3..1e3_f64,
        shift in -1e3..1e3_f64,
        batch_size in 8..70_u32,
        tile in 1..70_usize,
    ) {
        let (left, right) = (normal(rows, widths[0], seed), normal(rows, widths[1], seed ^ 1));
        let axes: Vec<f64> = normal(2, widths[0], seed ^ 2).values;
        let (first, second) = axes.split_at(widths[0]);
        let moved = mirrored(&mirrored(&left, first), second)
            .map(|_, column, value| -scale * value + shift * (column as f64 + 1.0));
        let sets = [left, right, moved];
        for estimator in [Estimator::Biased, Estimator::Minibatch { batch_size }] {
            let pairs = [(0, 1), (2, 1), (1, 2), (0, 2)];
            let values = values(&sets, &pairs, estimator, tile);
            // The shift is up to 1e6 of the deviation, and costs its share of the digits.
            let tolerance = 1e-10 + 1e-13 * (20.0 * shift / scale).powi(2);
            if tolerance < 1e-3 && values.iter().all(|value| value.abs() < 10.0) {
                prop_assert!((values[0] - values[1]).abs() < tolerance, "{values:?}");
                prop_assert!((values[3] - 1.0).abs() < tolerance, "{values:?}");
            }
            prop_assert_eq!(values[1].to_bits(), values[2].to_bits());
            if estimator == Estimator::Biased {
                prop_assert!(values[0] >= 0.0 && values[0] <= 1.0 + 1e-12);
            }
        }
    }
}
