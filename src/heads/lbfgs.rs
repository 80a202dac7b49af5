//! L-BFGS: minimizes a smooth function of many numbers from its values and gradients.
//!
//! # Reference
//! Nocedal and Wright 2006, Algorithms 7.4 and 7.5 (the direction), 3.5 and 3.6 (a step that meets the strong Wolfe conditions),
//! with their constants 1e-4 and 0.9.
//!
//! # Deviations
//! A trial within a bracket is the minimum of the cubic through both ends, kept a tenth of the bracket away from either, or the
//! middle where there is no such minimum.

use std::collections::VecDeque;

use tch::{Kind, Tensor};

use super::fitting::Iteration;

/// Pairs of changes that the direction is made from.
const HISTORY: usize = 10;
const SUFFICIENT_DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Trials of one search for a step.
const MOST_TRIALS: usize = 40;

/// The value of a function at a point, and its gradient there, in the shape of the point.
pub(super) type Evaluated = (f64, Tensor);

/// When to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest absolute value in the gradient that counts as none.
    pub tolerance: f64,
    /// Most iterations.
    pub iterations: u32,
}

/// Minimizes `function` from `start`, a vector in 64 bits, and gives the last point, and the value and the gradient at the start and
/// after each iteration; values never rise. Ends early where rounding leaves no downward step.
///
/// # Errors
/// Those of the function.
pub(super) fn minimize<E>(
    start: Tensor,
    limits: Limits,
    function: &dyn Fn(&Tensor) -> Result<Evaluated, E>,
) -> Result<(Tensor, Vec<Iteration>), E> {
    let mut point = start;
    let (mut value, mut gradient) = function(&point)?;
    let reached = |objective: f64, gradient: &Tensor| Iteration {
        objective,
        gradient: gradient.abs().max().double_value(&[]),
    };
    let mut here = reached(value, &gradient);
    let mut curve = vec![here];
    let mut history = History::default();
    for iteration in 0..limits.iterations {
        if here.gradient <= limits.tolerance {
            break;
        }
        let mut direction = history.direction(&gradient);
        let mut slope = inner(&gradient, &direction);
        if slope >= 0.0 {
            // The curvature that was remembered is of no use here.
            history = History::default();
            direction = -&gradient;
            slope = inner(&gradient, &direction);
        }
        let begin = Trial {
            step: 0.0,
            value,
            slope,
            gradient: gradient.shallow_clone(),
        };
        // Nothing is known of the scale before the first step.
        let first = if iteration == 0 {
            (1.0 / inner(&gradient, &gradient).sqrt()).min(1.0)
        } else {
            1.0
        };
        let found = search(&begin, first, &|step| {
            let (value, gradient) = function(&(&point + &direction * step))?;
            Ok(Trial {
                step,
                value,
                slope: inner(&gradient, &direction),
                gradient,
            })
        })?;
        if found.step <= 0.0 || found.value > value {
            break;
        }
        history.remember(&direction * found.step, &found.gradient - &gradient);
        point += &direction * found.step;
        (value, gradient) = (found.value, found.gradient);
        here = reached(value, &gradient);
        curve.push(here);
    }
    Ok((point, curve))
}

fn inner(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).sum(Kind::Double).double_value(&[])
}

/// The last changes of the point and of the gradient, the newest one last.
#[derive(Default)]
struct History {
    pairs: VecDeque<(Tensor, Tensor)>,
}

impl History {
    fn remember(&mut self, point: Tensor, gradient: Tensor) {
        if inner(&point, &gradient) <= 1e-12 * inner(&gradient, &gradient) {
            return;
        }
        if self.pairs.len() == HISTORY {
            self.pairs.pop_front();
        }
        self.pairs.push_back((point, gradient));
    }

    /// The negative gradient under an estimate of the inverse Hessian.
    fn direction(&self, gradient: &Tensor) -> Tensor {
        let mut direction = -gradient;
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (point, change) in self.pairs.iter().rev() {
            let share = inner(point, &direction) / inner(point, change);
            direction -= change * share;
            shares.push(share);
        }
        if let Some((point, change)) = self.pairs.back() {
            direction *= inner(point, change) / inner(change, change);
        }
        for ((point, change), share) in self.pairs.iter().zip(shares.iter().rev()) {
            let other = inner(change, &direction) / inner(point, change);
            direction += point * (share - other);
        }
        direction
    }
}

/// The function along a direction.
struct Trial {
    step: f64,
    value: f64,
    /// The derivative along the direction.
    slope: f64,
    gradient: Tensor,
}

/// Tries a step.
type At<'a, E> = &'a dyn Fn(f64) -> Result<Trial, E>;

/// A step that meets the strong Wolfe conditions, or the best one where none is found in the trials that it may make.
fn search<E>(begin: &Trial, first: f64, at: At<'_, E>) -> Result<Trial, E> {
    let mut previous = begin.copy();
    let mut step = first;
    for trial in 0..MOST_TRIALS {
        let here = at(step)?;
        if !here.decreases_enough(begin) || (trial > 0 && here.value >= previous.value) {
            return within(begin, previous, here, at);
        }
        if here.is_flat_enough(begin) {
            return Ok(here);
        }
        if here.slope >= 0.0 {
            return within(begin, here, previous, at);
        }
        previous = here;
        step *= 2.0;
    }
    Ok(previous)
}

/// The same between two trials, of which `low` has the lower value and goes down toward `high`.
fn within<E>(begin: &Trial, mut low: Trial, mut high: Trial, at: At<'_, E>) -> Result<Trial, E> {
    for _ in 0..MOST_TRIALS {
        let here = at(low.between(&high))?;
        if !here.decreases_enough(begin) || here.value >= low.value {
            high = here;
        } else {
            if here.is_flat_enough(begin) {
                return Ok(here);
            }
            if here.slope * (high.step - low.step) >= 0.0 {
                high = low;
            }
            low = here;
        }
        if (high.step - low.step).abs() <= 1e-12 * low.step.max(1e-12) {
            break;
        }
    }
    Ok(low)
}

impl Trial {
    fn copy(&self) -> Self {
        Self {
            gradient: self.gradient.shallow_clone(),
            ..*self
        }
    }

    /// NaN never does.
    fn decreases_enough(&self, begin: &Self) -> bool {
        self.value <= begin.value + SUFFICIENT_DECREASE * self.step * begin.slope
    }

    fn is_flat_enough(&self, begin: &Self) -> bool {
        self.slope.abs() <= -CURVATURE * begin.slope
    }

    /// Where to try next between this trial and another.
    fn between(&self, other: &Self) -> f64 {
        let width = other.step - self.step;
        let middle = self.step + width / 2.0;
        let chord = self.slope + other.slope - 3.0 * (other.value - self.value) / width;
        let root = (chord * chord - self.slope * other.slope).sqrt() * width.signum();
        let share = (other.slope + root - chord) / (other.slope - self.slope + 2.0 * root);
        let minimum = other.step - width * share;
        let (from, to) = (self.step + 0.1 * width, self.step + 0.9 * width);
        if minimum.is_finite() {
            minimum.clamp(from.min(to), from.max(to))
        } else {
            middle
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const LIMITS: Limits = Limits {
        tolerance: 1e-9,
        iterations: 200,
    };

    /// Minimizes a function that has no errors.
    fn lowest(
        start: Tensor,
        limits: Limits,
        function: &dyn Fn(&Tensor) -> Evaluated,
    ) -> (Tensor, Vec<f64>) {
        let function = |point: &Tensor| Ok::<_, Infallible>(function(point));
        let Ok((point, curve)) = minimize(start, limits, &function);
        (point, curve.iter().map(|one| one.objective).collect())
    }

    /// Rosenbrock's valley in pairs of coordinates, with the minimum 0 at ones.
    fn valley(point: &Tensor) -> Evaluated {
        let point = point.detach().set_requires_grad(true);
        let pairs = point.view([-1, 2]);
        let (x, y) = (pairs.select(1, 0), pairs.select(1, 1));
        let value = ((&y - x.square()).square() * 100.0 + (&x - 1.0).square()).sum(Kind::Double);
        value.backward();
        (value.double_value(&[]), point.grad())
    }

    #[test]
    fn the_valley_s_bottom_is_found() {
        let start = Tensor::from_slice(&[-1.2, 1.0, 0.0, 3.0, -5.0, -5.0]);
        let (point, curve) = lowest(start, LIMITS, &valley);
        let off = (point - 1.0).abs().max().double_value(&[]);
        assert!(off < 1e-8, "{off}");
        assert!(curve.windows(2).all(|pair| pair[1] <= pair[0]), "{curve:?}");
        assert!(curve.len() < 120, "{}", curve.len());
    }

    #[test]
    fn a_minimum_and_a_limit_end_it() {
        let (point, curve) = lowest(Tensor::from_slice(&[1.0, 1.0]), LIMITS, &valley);
        assert_eq!(
            (Vec::<f64>::try_from(point).unwrap(), curve),
            (vec![1.0, 1.0], vec![0.0])
        );
        let limits = Limits {
            iterations: 3,
            ..LIMITS
        };
        let (_, curve) = lowest(Tensor::from_slice(&[-1.2, 1.0]), limits, &valley);
        assert_eq!(curve.len(), 4);
    }

    #[test]
    fn a_step_into_what_is_no_number_is_taken_back() {
        // x - ln x, which is NaN below 0; the first step from 0.01 would go far beyond.
        let function = |point: &Tensor| {
            let value = (point - point.log()).sum(Kind::Double).double_value(&[]);
            (value, 1.0 - point.reciprocal())
        };
        for start in [0.01, 30.0] {
            let (point, _) = lowest(Tensor::from_slice(&[start]), LIMITS, &function);
            let off = (point - 1.0).abs().double_value(&[0]);
            assert!(off < 1e-8, "{off}");
        }
    }
}
