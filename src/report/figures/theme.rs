//! Colors, each once for light pages and once for dark ones.
//!
//! A figure is drawn in the light colors. Each of them is used for one purpose only, so that a style sheet within the SVG can replace it
//! by its dark counterpart where the reader's system asks for dark pages. The series colors are those of Okabe and Ito ("Color Universal
//! Design", 2008), which people with any of the common color blindnesses can tell apart; their yellow and black, which vanish on white and
//! on black, are replaced by an olive and a gray.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// One color in its two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swatch {
    /// On light pages; this is what is drawn with.
    pub light: (u8, u8, u8),
    /// On dark pages.
    pub dark: (u8, u8, u8),
}

impl Swatch {
    /// The light version as the drawing library takes it.
    pub fn color(self) -> RGBColor {
        let (red, green, blue) = self.light;
        RGBColor(red, green, blue)
    }

    /// The light version as it stands in an SVG file.
    pub fn light_code(self) -> String {
        code(self.light)
    }
}

const fn swatch(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Swatch {
    Swatch { light, dark }
}

/// The card that the figure is on.
pub const CARD: Swatch = swatch((255, 255, 255), (13, 17, 23));
/// The card's edge.
pub const EDGE: Swatch = swatch((209, 217, 224), (61, 68, 77));
/// Titles and values.
pub const INK: Swatch = swatch((31, 35, 40), (240, 246, 252));
/// Labels of axes.
pub const MUTED: Swatch = swatch((89, 99, 110), (145, 152, 161));
/// Grid lines.
pub const GRID: Swatch = swatch((232, 236, 240), (38, 44, 54));
/// The base line of a figure.
pub const BASE: Swatch = swatch((175, 184, 193), (101, 108, 118));

/// Near-black and near-white, for values on the steps of [`ramp`]: by what suits the step on light pages, then on dark ones. The light
/// versions differ by a hair, since each color has one purpose.
const ON_RAMP: [[Swatch; 2]; 2] = [
    [
        swatch((2, 4, 8), (2, 4, 8)),
        swatch((2, 4, 9), (254, 255, 255)),
    ],
    [
        swatch((254, 255, 255), (2, 4, 8)),
        swatch((254, 255, 254), (254, 255, 255)),
    ],
];

/// Colors of series, in the order of use.
pub const SERIES: [Swatch; 8] = [
    swatch((0, 114, 178), (76, 166, 232)),
    swatch((213, 94, 0), (255, 140, 77)),
    swatch((0, 158, 115), (46, 196, 152)),
    swatch((204, 121, 167), (233, 164, 205)),
    swatch((230, 159, 0), (255, 196, 77)),
    swatch((86, 180, 233), (148, 212, 255)),
    swatch((77, 77, 77), (201, 209, 217)),
    swatch((133, 110, 0), (216, 196, 77)),
];

/// Steps of the color scale of a heat map.
pub const STEPS: usize = 13;

/// Where the ramp passes, from low to high: pale to deep on light pages, deep to bright on dark ones.
const RAMP_LIGHT: [(u8, u8, u8); 3] = [(230, 240, 250), (90, 156, 214), (8, 48, 107)];
const RAMP_DARK: [(u8, u8, u8); 3] = [(20, 36, 58), (38, 98, 160), (178, 218, 255)];

/// The color scale of a heat map, from low to high.
pub fn ramp() -> [Swatch; STEPS] {
    std::array::from_fn(|step| Swatch {
        light: between(RAMP_LIGHT, step),
        dark: between(RAMP_DARK, step),
    })
}

/// The color of text on a step of the ramp: the one of near-black and near-white that stands out more.
pub fn on_ramp(step: Swatch) -> Swatch {
    let [dark_text, light_text] = [(2, 4, 8), (254, 255, 255)];
    let wants_light = |ground| contrast(light_text, ground) > contrast(dark_text, ground);
    let [on_pale, on_deep] = ON_RAMP;
    let [dark_page_pale, dark_page_deep] = if wants_light(step.light) {
        on_deep
    } else {
        on_pale
    };
    if wants_light(step.dark) {
        dark_page_deep
    } else {
        dark_page_pale
    }
}

/// Relative luminance, by WCAG 2.
fn luminance((red, green, blue): (u8, u8, u8)) -> f64 {
    let linear = |byte: u8| {
        let share = f64::from(byte) / 255.0;
        if share <= 0.04045 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

/// Contrast ratio of two colors, by WCAG 2: from 1 to 21.
fn contrast(left: (u8, u8, u8), right: (u8, u8, u8)) -> f64 {
    let (left, right) = (luminance(left), luminance(right));
    (left.max(right) + 0.05) / (left.min(right) + 0.05)
}

fn between(stops: [(u8, u8, u8); 3], step: usize) -> (u8, u8, u8) {
    let [low, middle, high] = stops;
    let position = 2.0 * step as f64 / (STEPS - 1) as f64;
    let (from, to, share) = if position <= 1.0 {
        (low, middle, position)
    } else {
        (middle, high, position - 1.0)
    };
    let mix = |from: u8, to: u8| {
        let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of two bytes is a byte"
        )]
        let byte = mixed.round() as u8;
        byte
    };
    (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// The style sheet that an SVG file needs: lettering, and the dark version of every color that it uses.
pub fn style_sheet(svg: &str) -> String {
    let mut sheet = String::from(
        "text{font-family:system-ui,-apple-system,\"Segoe UI\",\"Noto Sans\",Helvetica,Arial,sans-serif;font-variant-numeric:tabular-nums}\n\
         text[font-weight=bold]{font-weight:600}\n\
         polyline{stroke-linejoin:round;stroke-linecap:round}\n\
         @media (prefers-color-scheme:dark){\n",
    );
    for swatch in swatches() {
        let (light, dark) = (swatch.light_code(), code(swatch.dark));
        for property in ["fill", "stroke"] {
            if svg.contains(&format!("{property}=\"{light}\"")) {
                // Writing to a String does not fail.
                let _ = writeln!(sheet, "[{property}=\"{light}\"]{{{property}:{dark}}}");
            }
        }
    }
    sheet.push_str("}\n");
    sheet
}

fn swatches() -> Vec<Swatch> {
    let mut swatches = vec![CARD, EDGE, INK, MUTED, GRID, BASE];
    swatches.extend(ON_RAMP.into_iter().flatten());
    swatches.extend(SERIES);
    swatches.extend(ramp());
    swatches
}

fn code((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_light_color_has_one_purpose() {
        let distinct: BTreeSet<String> = swatches()
            .iter()
            .map(|swatch| swatch.light_code())
            .collect();
        assert_eq!(distinct.len(), swatches().len());
    }

    #[test]
    fn text_can_be_read_on_light_and_on_dark() {
        for text in [INK, MUTED] {
            assert!(
                contrast(text.light, CARD.light) >= 4.5 && contrast(text.dark, CARD.dark) >= 4.5,
                "{text:?}"
            );
        }
        for step in ramp() {
            let text = on_ramp(step);
            let (light, dark) = (
                contrast(text.light, step.light),
                contrast(text.dark, step.dark),
            );
            assert!(
                light >= 4.5 && dark >= 4.5,
                "{step:?}: {light:.2} and {dark:.2}"
            );
        }
    }

    #[test]
    fn series_can_be_seen_on_light_and_on_dark() {
        for series in SERIES {
            let (light, dark) = (
                contrast(series.light, CARD.light),
                contrast(series.dark, CARD.dark),
            );
            assert!(
                light >= 2.0 && dark >= 5.0,
                "{series:?}: {light:.2} and {dark:.2}"
            );
        }
    }

    #[test]
    fn the_style_sheet_holds_what_is_used() {
        let sheet = style_sheet("<path fill=\"#FFFFFF\"/>");
        assert!(sheet.contains("[fill=\"#FFFFFF\"]{fill:#0D1117}"));
        assert!(!sheet.contains("stroke=") && !sheet.contains("#1F2328"));
    }
}
