//! The paper that figures are drawn on, and the lettering.
//!
//! A drawing has [`UNITS`] units per CSS pixel, since the drawing library places everything on whole units.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, TextStyle};

use super::lettering::shortened;
use super::theme::{CARD, EDGE, INK, MUTED, Swatch, style_sheet};
use crate::report::error::ReportError;
use crate::visible::as_words;

/// Units of a drawing per CSS pixel.
pub const UNITS: i32 = 4;

/// The drawing library's size of a font is 1.24 times the one that it writes into the file.
const FONT_FACTOR: f64 = 1.24;

/// Where text begins, from the left edge, in CSS pixels.
pub const INSET: i32 = 24;

/// The errors of the drawing library.
pub type DrawResult = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Where a text stands in relation to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// The texts of an SVG file.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// The title, which is also drawn.
    pub title: &'a str,
    /// The line below the title; shortened where it has no room.
    pub subtitle: &'a str,
    /// The whole figure in words, for screen readers.
    pub description: &'a str,
}

/// A drawing area with a point of origin at the top left and [`UNITS`] units per pixel.
pub struct Canvas<'a> {
    /// The drawing library's own area, for its own elements.
    pub area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a figure of this width and height in CSS pixels, and gives the SVG file's text.
///
/// # Errors
/// The drawing library gave up, which would be a bug.
pub fn draw(
    place: &str,
    (width, height): (i32, i32),
    words: Words<'_>,
    paint: impl FnOnce(&Canvas<'_>) -> DrawResult,
) -> Result<String, ReportError> {
    let failed = |problem: String| ReportError::Drawing {
        place: place.to_owned(),
        problem,
    };
    let side = |pixels: i32| {
        u32::try_from(pixels * UNITS).map_err(|_| failed(format!("a side of {pixels} pixels")))
    };
    let size = (side(width)?, side(height)?);
    let mut drawing = String::new();
    {
        let canvas = Canvas {
            area: SVGBackend::with_string(&mut drawing, size).into_drawing_area(),
        };
        title(&canvas, width, words)
            .and_then(|()| paint(&canvas))
            .and_then(|()| canvas.area.present())
            .map_err(|error| failed(error.to_string()))?;
    }
    // What the library writes is one `<svg …>` element; its opening tag is replaced.
    let body = drawing
        .split_once(">\n")
        .map(|(_, body)| body)
        .ok_or_else(|| failed("no opening tag".to_owned()))?;
    Ok(document((width, height), words, body))
}

/// A drawing with a picture laid upon it: a PNG file within the SVG file, since a page that shows the one does not fetch the other. Place and
/// size are in CSS pixels. A picture that is `enlarged` keeps its pixels as squares; else it is smoothed.
pub fn with_picture(
    svg: &str,
    place: (i32, i32),
    size: (i32, i32),
    enlarged: bool,
    png: &[u8],
) -> String {
    let ((x, y), (width, height)) = (units(place), units(size));
    let style = if enlarged {
        " style=\"image-rendering:pixelated\""
    } else {
        ""
    };
    let picture = format!(
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\"{style} href=\"data:image/png;base64,{}\"/>\n</svg>\n",
        BASE64.encode(png)
    );
    match svg.rsplit_once("</svg>") {
        Some((drawing, _)) => format!("{drawing}{picture}"),
        None => svg.to_owned(),
    }
}

/// The file: an opening tag of our own, the words, the style sheet, the card, and the drawing.
fn document((width, height): (i32, i32), words: Words<'_>, body: &str) -> String {
    let (units_wide, units_high) = (width * UNITS, height * UNITS);
    let (inner_wide, inner_high, radius) = (units_wide - UNITS, units_high - UNITS, 10 * UNITS);
    let card = format!(
        "<rect x=\"{half}\" y=\"{half}\" width=\"{inner_wide}\" height=\"{inner_high}\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"{UNITS}\"/>\n",
        half = UNITS / 2,
        fill = CARD.light_code(),
        edge = EDGE.light_code(),
    );
    let drawing = format!("{card}{body}");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title description\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {units_wide} {units_high}\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n<style>\n{}</style>\n{drawing}",
        escape(words.title),
        escape(words.description),
        style_sheet(&drawing),
    )
}

fn title(canvas: &Canvas<'_>, width: i32, words: Words<'_>) -> DrawResult {
    let room = width - 2 * INSET;
    canvas.bold(&shortened(words.title, 17.0, room), (INSET, 32), 17.0)?;
    canvas.text(
        &shortened(words.subtitle, 12.5, room),
        (INSET, 54),
        12.5,
        MUTED,
        Anchor::Start,
    )
}

impl Canvas<'_> {
    /// A text whose middle line runs through a point; place and size in CSS pixels.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn text(
        &self,
        text: &str,
        place: (i32, i32),
        size: f64,
        color: Swatch,
        anchor: Anchor,
    ) -> DrawResult {
        self.lettering(text, place, size, color, anchor, FontStyle::Normal)
    }

    /// A bold text that begins at a point.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn bold(&self, text: &str, place: (i32, i32), size: f64) -> DrawResult {
        self.lettering(text, place, size, INK, Anchor::Start, FontStyle::Bold)
    }

    /// A straight line between two points, in CSS pixels, one pixel wide.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn rule(&self, from: (i32, i32), to: (i32, i32), color: Swatch) -> DrawResult {
        let style = color.color().stroke_width(UNITS.unsigned_abs());
        self.area
            .draw(&PathElement::new(vec![units(from), units(to)], style))
    }

    /// A filled rectangle between two corners, in CSS pixels.
    ///
    /// # Errors
    /// The drawing library gave up.
    pub fn block(&self, from: (i32, i32), to: (i32, i32), color: Swatch) -> DrawResult {
        self.area.draw(&Rectangle::new(
            [units(from), units(to)],
            color.color().filled(),
        ))
    }

    fn lettering(
        &self,
        text: &str,
        place: (i32, i32),
        size: f64,
        color: Swatch,
        anchor: Anchor,
        style: FontStyle,
    ) -> DrawResult {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let font = FontDesc::new(
            FontFamily::SansSerif,
            size * f64::from(UNITS) * FONT_FACTOR,
            style,
        )
        .transform(FontTransform::None);
        let color = color.color();
        let style = TextStyle::from(font)
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area
            .draw(&Text::new(as_words(text).into_owned(), units(place), style))
    }
}

/// A point in units, from one in CSS pixels.
pub fn units((x, y): (i32, i32)) -> (i32, i32) {
    (x * UNITS, y * UNITS)
}

/// A number as whole pixels or units; a drawing is nowhere near the limits of the type.
pub fn rounded(value: f64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float becomes the nearest integer of the type, which is what is wanted"
    )]
    let whole = value.round() as i32;
    whole
}

/// Text within an XML element.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in as_words(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_shows_and_escapes_it() {
        let words = Words {
            title: "a < b & \"c\"",
            subtitle: "<script>",
            description: "one\ntwo",
        };
        let svg = draw("figure", (200, 100), words, |_| Ok(())).unwrap();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\""));
        assert!(svg.contains("<title id=\"title\">a &lt; b &amp; \"c\"</title>"));
        assert!(svg.contains("<desc id=\"description\">one two</desc>"));
        assert!(svg.contains("prefers-color-scheme:dark") && !svg.contains("<script>"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
