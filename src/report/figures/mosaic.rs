//! Images side by side: where each of them is, and all of them as one PNG file within the SVG file.
//!
//! Small images are enlarged by a whole factor, so that each of their pixels is a square of one size; images that are too wide for the page
//! are made smaller. Each has a rim of one pixel, so that a white image has an end on a light page and a black one on a dark page.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};

use super::canvas::{Anchor, Canvas, DrawResult, INSET, Words, draw, rounded, with_picture};
use super::lettering::{told_apart, width_of};
use super::scale::fitting;
use super::theme::{EDGE, MUTED};
use crate::report::error::ReportError;
use crate::report::input::ImageSheet;

/// The most images that a reader can tell apart.
const MOST_IMAGES: usize = 400;
/// The width of a card that is full, in CSS pixels.
const FULL: i32 = 760;
/// The width that a title needs.
const LEAST: i32 = 420;
/// The top of the images without labels.
const TOP: i32 = 82;
/// The height of a line of labels.
const LABEL: i32 = 22;
/// The font size of labels, in CSS pixels.
const LETTERS: f64 = 12.5;
/// Room for the labels of rows.
const MOST_ROW_LABEL: i32 = 160;
/// The largest factor by which an image is enlarged.
const MOST_ENLARGED: u32 = 8;
/// The least distance between two images, in CSS pixels.
const GAP: u32 = 4;

/// Draws a sheet of images, and gives the SVG file's text.
///
/// # Errors
/// More images than can be told apart, and a sheet that contradicts itself, which would be a bug of whoever made it.
pub fn paint(place: &str, sheet: &ImageSheet, words: Words<'_>) -> Result<String, ReportError> {
    let count = sheet.pixels.len();
    if count > MOST_IMAGES {
        return Err(ReportError::TooMany {
            place: place.to_owned(),
            count,
            what: "images",
            limit: MOST_IMAGES,
        });
    }
    let failed = |problem: &str| ReportError::Drawing {
        place: place.to_owned(),
        problem: problem.to_owned(),
    };
    let layout = Layout::of(sheet).ok_or_else(|| failed("the images do not fit their sheet"))?;
    let png = layout
        .png(sheet)
        .ok_or_else(|| failed("the images do not become a PNG file"))?;
    let svg = draw(place, layout.card(), words, |canvas| {
        layout.paint_rims(canvas, count)?;
        layout.paint_labels(canvas, sheet)
    })?;
    Ok(with_picture(
        &svg,
        (layout.left, layout.top),
        (
            layout.shown(layout.pixels_wide()),
            layout.shown(layout.pixels_high()),
        ),
        layout.factor >= 1.0,
        &png,
    ))
}

/// Where the images are. Lengths of the PNG file are in its own pixels.
struct Layout {
    /// Images in a row.
    columns: u32,
    /// Rows of images.
    rows: u32,
    /// Height and width of an image, in pixels.
    side: u32,
    /// The distance between two images, in pixels.
    gap: u32,
    /// CSS pixels per pixel.
    factor: f64,
    /// The left edge of the images, in CSS pixels.
    left: i32,
    /// Their upper edge, in CSS pixels.
    top: i32,
    /// The labels of the rows, as they are shown.
    row_labels: Vec<String>,
}

impl Layout {
    /// The layout of a sheet; `None` where its numbers contradict each other.
    fn of(sheet: &ImageSheet) -> Option<Self> {
        let count = u32::try_from(sheet.pixels.len()).ok()?;
        let bytes = u64::from(sheet.side) * u64::from(sheet.side) * u64::from(sheet.channels);
        let whole = |image: &Vec<u8>| image.len() as u64 == bytes;
        let sound = count > 0
            && matches!(sheet.channels, 1 | 3)
            && (1..=4096).contains(&sheet.side)
            && sheet.columns > 0
            && sheet.pixels.iter().all(whole);
        if !sound {
            return None;
        }
        let columns = sheet.columns.min(count);
        let labels: Vec<&str> = sheet.row_labels.iter().map(String::as_str).collect();
        let row_labels = told_apart(&labels, LETTERS, MOST_ROW_LABEL);
        let widest = row_labels
            .iter()
            .map(|label| width_of(label, LETTERS))
            .max();
        let left = INSET + widest.map_or(0, |widest| widest + 12);
        let room = f64::from(FULL - left - INSET);
        let gap = |factor: u32| GAP.div_ceil(factor);
        let wide = |gap: u32| f64::from(columns * sheet.side + (columns - 1) * gap);
        let enlarged = (1..=MOST_ENLARGED)
            .rev()
            .find(|factor| wide(gap(*factor)) * f64::from(*factor) <= room);
        let (gap, factor) = if let Some(factor) = enlarged {
            (gap(factor), f64::from(factor))
        } else {
            // As wide as the gaps would be at full size, in the smaller scale.
            let gap = rounded(f64::from(GAP) * wide(0) / room).unsigned_abs();
            (gap, room / wide(gap))
        };
        Some(Self {
            columns,
            rows: count.div_ceil(columns),
            side: sheet.side,
            gap,
            factor,
            left,
            top: TOP
                + if sheet.column_labels.is_empty() {
                    0
                } else {
                    LABEL
                },
            row_labels,
        })
    }

    fn pixels_wide(&self) -> u32 {
        self.columns * self.side + (self.columns - 1) * self.gap
    }

    fn pixels_high(&self) -> u32 {
        self.rows * self.side + (self.rows - 1) * self.gap
    }

    /// A length in CSS pixels.
    fn shown(&self, pixels: u32) -> i32 {
        rounded(f64::from(pixels) * self.factor)
    }

    /// Width and height of the card, in CSS pixels.
    fn card(&self) -> (i32, i32) {
        let width = self.left + self.shown(self.pixels_wide()) + INSET;
        let height = self.top + self.shown(self.pixels_high()) + INSET;
        (width.max(LEAST), height)
    }

    /// Where the columns or rows begin, in pixels.
    fn starts(&self, count: u32) -> impl Iterator<Item = u32> {
        let step = self.side + self.gap;
        (0..count).map(move |number| number * step)
    }

    /// Column and row of every place of the sheet, in pixels, in the order of the images.
    fn places(&self) -> impl Iterator<Item = (u32, u32)> {
        let rows = self.starts(self.rows);
        rows.flat_map(|y| self.starts(self.columns).map(move |x| (x, y)))
    }

    /// All images as one PNG file; what is between them is transparent.
    fn png(&self, sheet: &ImageSheet) -> Option<Vec<u8>> {
        let colors = usize::try_from(sheet.channels).ok()?;
        let (wide, side) = (
            usize::try_from(self.pixels_wide()).ok()?,
            usize::try_from(self.side).ok()?,
        );
        let values = colors + 1;
        let mut canvas = vec![0; wide * usize::try_from(self.pixels_high()).ok()? * values];
        for ((x, y), image) in self.places().zip(&sheet.pixels) {
            let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
            for (line, row) in image.chunks_exact(side * colors).enumerate() {
                let start = ((y + line) * wide + x) * values;
                let target = canvas.get_mut(start..start + side * values)?;
                let pixels = row.chunks_exact(colors);
                for (pixel, target) in pixels.zip(target.chunks_exact_mut(values)) {
                    let (color, opacity) = target.split_at_mut(colors);
                    color.copy_from_slice(pixel);
                    opacity.fill(u8::MAX);
                }
            }
        }
        let color = match sheet.channels {
            1 => ExtendedColorType::La8,
            _ => ExtendedColorType::Rgba8,
        };
        let mut file = Vec::new();
        PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive)
            .write_image(&canvas, self.pixels_wide(), self.pixels_high(), color)
            .ok()?;
        Some(file)
    }

    /// A rim around each image; the image is drawn over its inside.
    fn paint_rims(&self, canvas: &Canvas<'_>, count: usize) -> DrawResult {
        for (x, y) in self.places().take(count) {
            let (left, top) = (self.left + self.shown(x), self.top + self.shown(y));
            let (right, bottom) = (
                self.left + self.shown(x + self.side),
                self.top + self.shown(y + self.side),
            );
            canvas.block((left - 1, top - 1), (right + 1, bottom + 1), EDGE)?;
        }
        Ok(())
    }

    fn paint_labels(&self, canvas: &Canvas<'_>, sheet: &ImageSheet) -> DrawResult {
        let middle =
            |start: u32| rounded((f64::from(start) + f64::from(self.side) / 2.0) * self.factor);
        let texts: Vec<&str> = sheet.column_labels.iter().map(String::as_str).collect();
        let texts = told_apart(&texts, LETTERS, self.shown(self.side + self.gap).max(LABEL));
        let places: Vec<(i32, String)> = self
            .starts(self.columns)
            .map(|start| self.left + middle(start))
            .zip(texts)
            .collect();
        for index in fitting(&places, LETTERS) {
            if let Some((x, text)) = places.get(index) {
                let place = (*x, self.top - 13);
                canvas.text(text, place, LETTERS, MUTED, Anchor::Middle)?;
            }
        }
        let rows = self.starts(self.rows).zip(&self.row_labels);
        for (start, text) in rows {
            let place = (self.left - 12, self.top + middle(start));
            canvas.text(text, place, LETTERS, MUTED, Anchor::End)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(count: usize, side: u32, columns: u32, channels: u32) -> ImageSheet {
        let bytes = (side * side * channels) as usize;
        ImageSheet {
            channels,
            side,
            columns,
            pixels: vec![vec![200; bytes]; count],
            ..ImageSheet::default()
        }
    }

    const WORDS: Words<'_> = Words {
        title: "t",
        subtitle: "s",
        description: "d",
    };

    #[test]
    fn small_images_are_enlarged_by_a_whole_factor() {
        let layout = Layout::of(&sheet(64, 32, 8, 1)).unwrap();
        assert_eq!((layout.rows, layout.gap, layout.factor), (8, 2, 2.0));
        let layout = Layout::of(&sheet(1, 8, 5, 3)).unwrap();
        assert_eq!((layout.columns, layout.rows, layout.factor), (1, 1, 8.0));
    }

    #[test]
    fn wide_sheets_are_made_to_fit() {
        let wide = sheet(16, 256, 8, 3);
        let layout = Layout::of(&wide).unwrap();
        assert!(layout.factor < 1.0);
        assert_eq!(layout.card().0, FULL);
        let svg = paint("figure `a`", &wide, WORDS).unwrap();
        assert!(!svg.contains("pixelated"));
    }

    #[test]
    fn the_picture_holds_every_image_and_nothing_between_them() {
        for channels in [1, 3] {
            let sheet = sheet(3, 4, 2, channels);
            let png = Layout::of(&sheet).unwrap().png(&sheet).unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgba8();
            assert_eq!(picture.dimensions(), (9, 9));
            assert_eq!(picture.get_pixel(8, 3).0, [200, 200, 200, 255]);
            for (x, y) in [(4, 0), (0, 4), (8, 8)] {
                assert_eq!(picture.get_pixel(x, y).0[3], 0, "{x} {y}");
            }
        }
    }

    #[test]
    fn sheets_that_contradict_themselves_are_refused() {
        let short = ImageSheet {
            pixels: vec![vec![0; 3]],
            ..sheet(1, 2, 1, 1)
        };
        for bad in [
            short,
            sheet(0, 2, 1, 1),
            sheet(1, 2, 0, 1),
            sheet(1, 2, 1, 2),
            sheet(1, 0, 1, 1),
        ] {
            assert!(paint("figure `a`", &bad, WORDS).is_err(), "{bad:?}");
        }
        let error = paint("figure `a`", &sheet(401, 1, 20, 1), WORDS).unwrap_err();
        assert!(matches!(error, ReportError::TooMany { .. }), "{error}");
    }

    #[test]
    fn the_picture_lies_within_the_file() {
        let svg = paint("figure `a`", &sheet(2, 4, 2, 1), WORDS).unwrap();
        assert_eq!(svg.matches("<image ").count(), 1);
        assert!(svg.contains("href=\"data:image/png;base64,iVBORw0KGgo"));
        assert!(svg.contains("image-rendering:pixelated") && svg.ends_with("/>\n</svg>\n"));
    }
}
