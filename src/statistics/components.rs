//! Components of variance: how much of the spread of scores is whose.
//!
//! Scores differ because images do, because seeds do, and because a seed fits one image better than another (the residual). In a table
//! `[m seeds, n images]` mean squares of the two-way analysis of variance estimate the three:
//! images (MS_images − MS_residual) / m, seeds (MS_seeds − MS_residual) / n, residual MS_residual.
//!
//! For any list of factors, with unequal numbers of values in their levels too, Henderson's first method does the same: for each factor
//! f the sum over its levels of (sum of values)² / count, less the same of all values together, has an expectation that is linear in the components.
//! Those equations and that of the total sum of squares are solved for them. Factors have main effects here, and all interactions are residual.
//!
//! The estimates are unbiased, and may therefore be negative where a component is small. They are not cut off, since the sum over many tables would
//! then be too large; who shows shares of the whole counts negative ones as 0.
//!
//! # Reference
//! Searle, Casella and McCulloch, Variance Components (1992), 4.3 and 5.3. Henderson, Estimation of Variance and Covariance Components (1953).

use super::paired::Moments;

/// The components of a table of seeds and images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeedsAndImages {
    /// Variance between images.
    pub images: f64,
    /// Variance between seeds.
    pub seeds: f64,
    /// Variance within a cell of image and seed, at least 0.
    pub residual: f64,
}

/// The components of scores `[m seeds, n images]`; `None` with fewer than two of either, or for rows of different lengths.
pub fn seeds_and_images(scores: &[Vec<f64>]) -> Option<SeedsAndImages> {
    let moments = Moments::of(scores)?;
    if moments.seeds < 2 {
        return None;
    }
    let (n, m) = (moments.images as f64, moments.seeds as f64);
    let residual = moments.squares_residual / ((n - 1.0) * (m - 1.0));
    Some(SeedsAndImages {
        images: moments.squares_images / (n - 1.0) - residual / m,
        seeds: moments.squares_seeds / (m - 1.0) - residual / n,
        residual,
    })
}

/// The components of any list of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// One variance for each factor, in their order.
    pub factors: Vec<f64>,
    /// Variance that no factor explains.
    pub residual: f64,
}

/// The components of some values. A factor gives each value the number of its level, from 0. `None` where a factor has another number of levels
/// than there are values, or where the equations have no single solution: a factor of one level, two factors that always change together, or fewer
/// values than unknowns.
pub fn components(values: &[f64], factors: &[&[usize]]) -> Option<Components> {
    if values.is_empty() || factors.iter().any(|levels| levels.len() != values.len()) {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let unknowns = factors.len() + 1;
    // How many values each level of each factor has.
    let sizes: Vec<Vec<f64>> = factors.iter().map(|levels| sums(levels, |_| 1.0)).collect();
    // What the mean of all takes away of each component.
    let of_mean: Vec<f64> = sizes
        .iter()
        .map(|sizes| sizes.iter().map(|size| size * size).sum::<f64>() / count)
        .collect();
    let mut equations = Vec::with_capacity(unknowns);
    for (levels, own) in factors.iter().zip(&sizes) {
        let of_levels = sums(levels, |index| values[index] - mean);
        let squares: f64 = of_levels
            .iter()
            .zip(own)
            .filter(|&(_, &size)| size > 0.0)
            .map(|(sum, size)| sum * sum / size)
            .sum();
        let mut equation: Vec<f64> = factors
            .iter()
            .zip(&of_mean)
            .map(|(others, of_mean)| shared(levels, own, others) - of_mean)
            .collect();
        let filled = own.iter().filter(|&&size| size > 0.0).count();
        equation.push(filled as f64 - 1.0);
        equation.push(squares);
        equations.push(equation);
    }
    let mut total: Vec<f64> = of_mean.iter().map(|of_mean| count - of_mean).collect();
    total.push(count - 1.0);
    total.push(values.iter().map(|value| (value - mean).powi(2)).sum());
    equations.push(total);
    let mut solution = solve(equations)?;
    let residual = solution.pop()?;
    Some(Components {
        factors: solution,
        residual,
    })
}

/// The mean absolute difference of two different values among some; `None` for fewer than two. Unlike the range, it does not grow with how
/// many there are.
pub fn mean_absolute_difference(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    // In sorted order value i is subtracted n − 1 − i times, and added i times.
    let sum: f64 = sorted
        .iter()
        .enumerate()
        .map(|(index, value)| value * (2.0 * index as f64 - (count - 1.0)))
        .sum();
    Some(sum / (count * (count - 1.0) / 2.0))
}

/// The sum of something over the values of each level.
fn sums(levels: &[usize], of: impl Fn(usize) -> f64) -> Vec<f64> {
    let most = levels.iter().max().map_or(0, |most| most + 1);
    let mut sums = vec![0.0; most];
    for (index, &level) in levels.iter().enumerate() {
        sums[level] += of(index);
    }
    sums
}

/// Σ over the levels of one factor of Σ over those of another of (values in both)² / (values in the level of the first).
fn shared(levels: &[usize], sizes: &[f64], others: &[usize]) -> f64 {
    let mut both = std::collections::BTreeMap::new();
    for pair in levels.iter().zip(others) {
        *both.entry(pair).or_insert(0.0) += 1.0;
    }
    let terms = both
        .iter()
        .map(|((level, _), count)| count * count / sizes[**level]);
    terms.sum()
}

/// Solves equations, each its coefficients and then its right side, by elimination with pivots; `None` where they have no single solution.
fn solve(mut equations: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    /// Below this part of a row's largest coefficient a pivot is rounding.
    const LEAST: f64 = 1e-10;
    let unknowns = equations.len();
    for equation in &mut equations {
        let largest = equation[..unknowns]
            .iter()
            .fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest <= 0.0 {
            return None;
        }
        for value in equation {
            *value /= largest;
        }
    }
    for column in 0..unknowns {
        let pivot = (column..unknowns).max_by(|&a, &b| {
            equations[a][column]
                .abs()
                .total_cmp(&equations[b][column].abs())
        })?;
        equations.swap(column, pivot);
        if equations[column][column].abs() < LEAST {
            return None;
        }
        let row = equations[column].clone();
        for (index, other) in equations.iter_mut().enumerate() {
            if index != column {
                let factor = other[column] / row[column];
                for (value, of_row) in other.iter_mut().zip(&row) {
                    *value -= factor * of_row;
                }
            }
        }
    }
    let solution = equations.iter().enumerate();
    Some(
        solution
            .map(|(index, row)| row[unknowns] / row[index])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Roughly normal: the sum of twelve uniform numbers.
    fn normal(stream: &mut Stream) -> f64 {
        (0..12).map(|_| stream.next_double()).sum::<f64>() - 6.0
    }

    #[test]
    fn by_hand() {
        // [[1, 2], [3, 6]]: seeds' means 1.5 and 4.5, images' 2 and 4, of all 3; MS_images 2 · 2 = 4, MS_seeds 9, residual 4 · 0.25 = 1.
        let found = seeds_and_images(&[vec![1.0, 2.0], vec![3.0, 6.0]]).unwrap();
        assert!((found.residual - 1.0).abs() < 1e-14);
        assert!((found.images - 1.5).abs() < 1e-14 && (found.seeds - 4.0).abs() < 1e-14);
        assert_eq!(seeds_and_images(&[vec![1.0, 2.0]]), None);
        let difference = mean_absolute_difference(&[4.0, 1.0, 2.0]).unwrap();
        assert!((difference - 2.0).abs() < 1e-14);
        assert_eq!(mean_absolute_difference(&[1.0]), None);
    }

    #[test]
    fn the_general_method_gives_those_of_a_full_table() {
        let mut stream = Stream::new(1, "test");
        let table: Vec<Vec<f64>> = (0..4)
            .map(|_| (0..9).map(|_| normal(&mut stream)).collect())
            .collect();
        let special = seeds_and_images(&table).unwrap();
        let values: Vec<f64> = table.iter().flatten().copied().collect();
        let seeds: Vec<usize> = (0..36).map(|index| index / 9).collect();
        let images: Vec<usize> = (0..36).map(|index| index % 9).collect();
        let general = components(&values, &[&seeds, &images]).unwrap();
        assert!((general.factors[0] - special.seeds).abs() < 1e-12);
        assert!((general.factors[1] - special.images).abs() < 1e-12);
        assert!((general.residual - special.residual).abs() < 1e-12);
    }

    #[test]
    fn estimates_are_unbiased_with_unequal_levels() {
        // Three factors of 4, 5 and 3 levels with variances 4, 1 and 0, residual 0.25; a third of the cells is missing.
        let mut stream = Stream::new(2, "test");
        let mut sums = [0.0; 4];
        let mut squares = [0.0; 4];
        let tables = 2000;
        for _ in 0..tables {
            let effects: Vec<Vec<f64>> = [(4, 2.0), (5, 1.0), (3, 0.0)]
                .iter()
                .map(|&(levels, scale)| (0..levels).map(|_| scale * normal(&mut stream)).collect())
                .collect();
            let cells = (0..60_usize).filter(|cell| cell * 7 % 11 > 3);
            let levels = cells.map(|cell| [cell % 4, cell / 4 % 5, cell / 20]);
            let levels: Vec<[usize; 3]> = levels.collect();
            let values: Vec<f64> = levels
                .iter()
                .map(|[a, b, c]| {
                    effects[0][*a] + effects[1][*b] + effects[2][*c] + 0.5 * normal(&mut stream)
                })
                .collect();
            let factors: Vec<Vec<usize>> = (0..3)
                .map(|factor| levels.iter().map(|levels| levels[factor]).collect())
                .collect();
            let factors: Vec<&[usize]> = factors.iter().map(Vec::as_slice).collect();
            let found = components(&values, &factors).unwrap();
            let all = found.factors.into_iter().chain([found.residual]);
            for (index, value) in all.enumerate() {
                sums[index] += value;
                squares[index] += value * value;
            }
        }
        let tables = f64::from(tables);
        for (index, expected) in [4.0, 1.0, 0.0, 0.25].into_iter().enumerate() {
            let mean = sums[index] / tables;
            let error = ((squares[index] / tables - mean * mean) / tables).sqrt();
            assert!(
                (mean - expected).abs() < 4.0 * error,
                "{index}: {mean} ± {error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let values = [1.0, 2.0, 3.0, 5.0];
        assert_eq!(components(&values, &[&[0, 0, 0, 0]]), None);
        assert_eq!(components(&values, &[&[0, 0, 1, 1], &[0, 0, 1, 1]]), None);
        assert_eq!(components(&values, &[&[0, 1, 2, 3]]), None);
        assert_eq!(components(&values, &[&[0, 1]]), None);
        assert_eq!(components(&[], &[]), None);
        assert!(components(&values, &[&[0, 0, 1, 1]]).is_some());
    }
}
