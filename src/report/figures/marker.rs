//! Marks of series: a series has its own shape as well as its own color, so that color alone carries no meaning.

use plotters::element::{Circle, Polygon};
use plotters::style::Color;

use super::canvas::{Canvas, DrawResult, rounded};
use super::theme::{CARD, SERIES, Swatch};

/// As many series as there are shapes and colors.
pub const MOST_SERIES: usize = SERIES.len();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    TriangleDown,
    Cross,
    Plus,
    Star,
}

const SHAPES: [Shape; MOST_SERIES] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::Diamond,
    Shape::TriangleDown,
    Shape::Cross,
    Shape::Plus,
    Shape::Star,
];

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    shape: Shape,
    /// Light and dark version of its color.
    pub color: Swatch,
}

/// The mark of the series with this number, counted from zero. Beyond [`MOST_SERIES`] they repeat.
pub fn mark(series: usize) -> Mark {
    let pick = series % MOST_SERIES;
    Mark {
        shape: SHAPES.get(pick).copied().unwrap_or(Shape::Circle),
        color: SERIES.get(pick).copied().unwrap_or(CARD),
    }
}

impl Mark {
    /// Draws the mark. Place and size in units.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn draw(self, canvas: &Canvas<'_>, center: (i32, i32), radius: f64) -> DrawResult {
        self.fill(canvas, center, radius, self.color)
    }

    /// Draws a rim in the color of the card, so that marks on top of each other stay apart; the mark comes on top of it.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn rim(self, canvas: &Canvas<'_>, center: (i32, i32), radius: f64) -> DrawResult {
        self.fill(canvas, center, radius * 1.35, CARD)
    }

    fn fill(
        self,
        canvas: &Canvas<'_>,
        center: (i32, i32),
        radius: f64,
        color: Swatch,
    ) -> DrawResult {
        let style = color.color().filled();
        match self.shape {
            Shape::Circle => canvas
                .area
                .draw(&Circle::new(center, rounded(radius), style)),
            shape => {
                let place = |(x, y): &(f64, f64)| {
                    (
                        center.0 + rounded(x * radius),
                        center.1 + rounded(y * radius),
                    )
                };
                let corners: Vec<(i32, i32)> = shape.corners().iter().map(place).collect();
                canvas.area.draw(&Polygon::new(corners, style))
            }
        }
    }
}

impl Shape {
    /// Corners around the origin; y points down. Sizes are chosen so that all shapes look equally heavy beside a circle of radius 1.
    fn corners(self) -> Vec<(f64, f64)> {
        match self {
            Self::Circle => Vec::new(),
            Self::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => vec![(0.0, -1.25), (1.2, 0.85), (-1.2, 0.85)],
            Self::TriangleDown => vec![(0.0, 1.25), (1.2, -0.85), (-1.2, -0.85)],
            Self::Diamond => vec![(0.0, -1.35), (1.2, 0.0), (0.0, 1.35), (-1.2, 0.0)],
            Self::Plus => plus(),
            Self::Cross => {
                let turn = std::f64::consts::FRAC_1_SQRT_2;
                plus()
                    .into_iter()
                    .map(|(x, y)| ((x - y) * turn, (x + y) * turn))
                    .collect()
            }
            Self::Star => (0..10)
                .map(|corner| {
                    let radius = if corner % 2 == 0 { 1.45 } else { 0.62 };
                    let (sine, cosine) = (f64::from(corner) * std::f64::consts::PI / 5.0).sin_cos();
                    (radius * sine, -radius * cosine)
                })
                .collect(),
        }
    }
}

fn plus() -> Vec<(f64, f64)> {
    let (arm, reach) = (0.42, 1.25);
    vec![
        (-arm, -reach),
        (arm, -reach),
        (arm, -arm),
        (reach, -arm),
        (reach, arm),
        (arm, arm),
        (arm, reach),
        (-arm, reach),
        (-arm, arm),
        (-reach, arm),
        (-reach, -arm),
        (-arm, -arm),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_series_share_a_shape_or_a_color() {
        for left in 0..MOST_SERIES {
            for right in 0..left {
                assert_ne!(mark(left).shape, mark(right).shape);
                assert_ne!(mark(left).color, mark(right).color);
            }
        }
    }
}
