//! `block` of an extraction: which outputs of its model are wanted.

use crate::models::{self, BlockIndex, BlockInfo, Model};
use crate::spec::{Count, Custom, Diagnostic, Fields, Key, Shape, Value, Wanted};

const BLOCK_NUMBER: Key<Count> = Key::count("block", 0..=u32::MAX);
/// The key that [`parse_blocks`] reads.
pub(in crate::graph) const BLOCK: Key<Custom> = Key::custom("block", "the number of a block, or \"all\"")
    .optional("none, for imported features")
    .shapes(&[Shape::Value(&BLOCK_NUMBER), Shape::Word("all")])
    .doc(
        "Block b whose output is the feature, numbered from 1, as in the paper; 0 is what comes before, of a network that offers it. `repro list models NAME` shows all. A network needs it.",
    );

/// The blocks that a table names; reports those that its model does not have.
pub(super) fn parse_blocks<'m>(fields: &Fields<'_>, model: &'m dyn Model) -> Vec<&'m BlockInfo> {
    let blocks = model.blocks();
    let Some(node) = fields.given(&BLOCK) else {
        if !fields.has(BLOCK.name) {
            fields.missing(&BLOCK);
        }
        return Vec::new();
    };
    let (variant, range) = (model.variant(), models::block_range(model));
    match &node.value {
        Value::Text(text) if text == "all" => blocks.iter().collect(),
        Value::Integer(wanted) => {
            let found = u32::try_from(*wanted).ok().and_then(|index| {
                let index = BlockIndex(index);
                blocks.iter().find(|block| block.index == index)
            });
            if found.is_none() {
                fields.report(
                    Diagnostic::new(
                        "graph::block-out-of-range",
                        node.span,
                        format!("block {wanted} does not exist in model `{variant}`"),
                        "no such block",
                    )
                    .hint(format!(
                        "it has the blocks {} to {}; `repro list models {variant}` shows them",
                        range.start(),
                        range.end()
                    )),
                );
            }
            found.into_iter().collect()
        }
        Value::Text(text) => {
            let hint = hint_of_block(text, model);
            let message = format!(
                "`block` of {} must be an integer or \"all\", not `{text}`",
                fields.context()
            );
            fields.report(
                Diagnostic::new("spec::wrong-type", node.span, message, "a string here").hint(hint),
            );
            Vec::new()
        }
        other => {
            let words = (Wanted::Integer, "an integer or \"all\"");
            fields.wrong_type_at(node.span, BLOCK.name, words, other);
            Vec::new()
        }
    }
}

/// Which block may be meant by a text: `all`, a number in quotation marks, or the name of a module as PyTorch has it.
fn hint_of_block(text: &str, model: &dyn Model) -> String {
    let (blocks, range) = (model.blocks(), models::block_range(model));
    if text.eq_ignore_ascii_case("all") {
        return "did you mean `\"all\"`?".to_owned();
    }
    if let Ok(number) = text.trim().parse::<u32>() {
        return format!("take the quotation marks off: `block = {number}`");
    }
    // The number of a list of modules is a part of the name: `output_blocks.5` begins `output_blocks.5.0`.
    let is_of = |block: &&BlockInfo| {
        let inner = text.strip_prefix(block.path.as_str());
        block.path == text || inner.is_some_and(|inner| inner.starts_with('.'))
    };
    if let Some(block) = blocks.iter().find(is_of) {
        return format!("`{}` is `block = {}`", block.path, block.index.0);
    }
    let within = |block: &&BlockInfo| {
        let inner = block.path.strip_prefix(text);
        inner.is_some_and(|inner| inner.starts_with('.'))
    };
    let numbers: Vec<String> = blocks
        .iter()
        .filter(within)
        .map(|block| block.index.0.to_string())
        .collect();
    match numbers.as_slice() {
        [] => format!(
            "blocks are numbered from {} to {}; `repro list models {}` shows their modules",
            range.start(),
            range.end(),
            model.variant()
        ),
        [one] => format!("`{text}` is `block = {one}`"),
        several => format!("`{text}` has the blocks {}", several.join(", ")),
    }
}
