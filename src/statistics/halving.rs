//! Halves of the samples, for naming a cell on one and testing it on the other.
//!
//! A test of "the best of many" on the samples that named the best finds it too good. Here the samples are halved: one half names what is extreme,
//! the other measures it, and neither knows of the other. A sample's half follows from its id and the number of the halving alone (BLAKE3), so
//! that it is the same for every head, seed and machine. One halving would leave the verdict to that draw, so many are made, and
//! twice the median of their p values is a p value itself, whatever the dependence between the halvings: if each p is valid, the expected share of halvings
//! with p ≤ α/2 is at most α/2, and by Markov's inequality half of them are so with probability at most α.
//!
//! # Reference
//! Meinshausen, Meier and Bühlmann, p-Values for High-Dimensional Regression (2009), with γ = 1/2.

/// Which half a sample is in, in one halving: `true` for the one that names, `false` for the one that tests.
pub fn names(id: &str, halving: u32) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"repro halving 1");
    hasher.update(&halving.to_le_bytes());
    hasher.update(id.as_bytes());
    hasher.finalize().as_bytes()[0] & 1 == 1
}

/// Both halves of some samples, as indices in rising order: those that name, and those that test.
pub fn halves<'a>(ids: impl IntoIterator<Item = &'a str>, halving: u32) -> [Vec<usize>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    for (index, id) in ids.into_iter().enumerate() {
        halves[usize::from(!names(id, halving))].push(index);
    }
    halves
}

/// Twice the median of p values, at most 1; `None` where there are none, not a number where any is not.
pub fn twice_the_median(p: &[f64]) -> Option<f64> {
    if p.iter().any(|p| p.is_nan()) {
        return Some(f64::NAN);
    }
    let mut sorted = p.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(p.len() / 2)?;
    let lower = if p.len().is_multiple_of(2) {
        sorted[p.len() / 2 - 1]
    } else {
        upper
    };
    Some((lower + upper).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_halves_and_differ_from_halving_to_halving() {
        let ids: Vec<String> = (0..10_000).map(|number| format!("test/{number}")).collect();
        let halves_of = |halving| halves(ids.iter().map(String::as_str), halving);
        let [naming, testing] = halves_of(0);
        assert_eq!(naming.len() + testing.len(), ids.len());
        // Five standard deviations of 10,000 tosses are 250.
        assert!(naming.len().abs_diff(5000) < 250, "{}", naming.len());
        let again = halves_of(1);
        let both = naming.iter().filter(|index| again[0].contains(index));
        assert!(both.count().abs_diff(2500) < 220);
        assert_eq!(naming, halves_of(0)[0]);
        assert!(naming.iter().all(|&index| names(&ids[index], 0)));
    }

    #[test]
    fn the_median_by_hand() {
        assert_eq!(twice_the_median(&[]), None);
        let near = |p: &[f64], expected: f64| {
            assert!((twice_the_median(p).unwrap() - expected).abs() < 1e-15);
        };
        near(&[0.3, 0.01, 0.02], 0.04);
        near(&[0.3, 0.01, 0.02, 0.04], 0.06);
        near(&[0.9, 0.8], 1.0);
        assert!(twice_the_median(&[f64::NAN, 0.1]).unwrap().is_nan());
    }
}
