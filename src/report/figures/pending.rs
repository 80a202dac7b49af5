//! What stands in the place of a figure whose content is not there yet, so that the rest of a report can be read before all is done.

use super::RenderedFigure;
use super::canvas::{Anchor, INSET, Words, draw};
use super::theme::MUTED;
use crate::report::error::ReportError;
use crate::report::markdown;
use crate::spec::fields::Located;

/// Width and height, in CSS pixels.
const SIZE: (i32, i32) = (760, 120);

/// A card that says why it is empty: `why` is plain words with names in backticks.
///
/// # Errors
/// The drawing library gave up.
pub(super) fn pending(
    file: &Located<String>,
    title: &str,
    why: &str,
) -> Result<RenderedFigure, ReportError> {
    let plain = why.replace('`', "");
    let words = Words {
        title,
        subtitle: "nothing to show yet",
        description: &plain,
    };
    let place = format!("figure `{}`", file.value);
    let svg = draw(&place, SIZE, words, |canvas| {
        canvas.text(&plain, (INSET, 88), 12.5, MUTED, Anchor::Start)
    })?;
    Ok(RenderedFigure {
        title: title.to_owned(),
        file: file.value.clone(),
        alternative: format!("Nothing to show yet: {plain}"),
        caption: markdown::prose(why),
        notes: Vec::new(),
        fixed: Vec::new(),
        sql: None,
        artifact: None,
        svg,
    })
}
