//! What stands in the place of a figure whose content is not there yet, so that the rest of a report can be read before all is done.

use super::RenderedFigure;
use super::canvas::{Anchor, INSET, Words, draw};
use super::theme::MUTED;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::spec::fields::Spanned;

/// Width and height, in CSS pixels.
const SIZE: (i32, i32) = (760, 120);

/// A card that says why it is empty: `why` is plain words with names in backticks. Where the results are from a file, which holds neither
/// curves nor images, or the images are not on disk any more, the figure that an earlier run drew stays.
///
/// # Errors
/// The drawing library gave up.
pub(super) fn pending(
    input: &ReportInput,
    file: &Spanned<String>,
    title: &str,
    why: &str,
) -> Result<RenderedFigure, ReportError> {
    let is_drawn = input.drawn.contains(&file.value);
    let why = match &input.results_file {
        None if is_drawn => format!("Drawn by an earlier run: {why}"),
        None => why.to_owned(),
        Some(from) if is_drawn => format!(
            "Drawn by an earlier run: what it shows is not in `{}`, which the rest of this report is from",
            from.path
        ),
        Some(from) => format!(
            "not available: what it shows is not in `{}`, which this report is from",
            from.path
        ),
    };
    let plain = why.replace('`', "");
    let svg = if is_drawn {
        None
    } else {
        let words = Words {
            title,
            subtitle: "nothing to show",
            description: &plain,
        };
        let place = format!("figure `{}`", file.value);
        Some(draw(&place, SIZE, words, |canvas| {
            canvas.text(&plain, (INSET, 88), 12.5, MUTED, Anchor::Start)
        })?)
    };
    Ok(RenderedFigure {
        title: title.to_owned(),
        file: file.value.clone(),
        alternative: if is_drawn {
            title.to_owned()
        } else {
            format!("Nothing to show: {plain}")
        },
        caption: markdown::prose(&why),
        notes: Vec::new(),
        fixed: Vec::new(),
        sql: None,
        rows: Vec::new(),
        data: None,
        artifact: None,
        svg,
    })
}
