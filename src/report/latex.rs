//! Tables as LaTeX, for papers: `booktabs`, and nothing else beside the kernel.
//!
//! The Markdown of cells is made here too, so that only what `markdown.rs` and the tables write has to be understood: escapes, entities,
//! bold, code, raised and lowered text.

use std::fmt::Write as _;

use super::tables::{Block, RenderedTable};

/// A table environment with a caption, a label and, below the tabular, the notes. `label` is made of letters, digits, `-` and `:`.
pub fn table(table: &RenderedTable, label: &str) -> String {
    let mut text = String::from("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "  \\caption{{{}. {}}}\n  \\label{{tab:{label}}}",
        plain(&table.title),
        inline(&table.caption)
    );
    for (number, block) in table.body.blocks.iter().enumerate() {
        if number > 0 {
            text.push_str("\n  \\medskip\n\n");
        }
        tabular(&mut text, block);
    }
    if !table.notes.is_empty() {
        text.push_str("\n  \\medskip\n\n  \\footnotesize\n");
        for note in &table.notes {
            let _ = writeln!(text, "  {}\\par", inline(note));
        }
    }
    text.push_str("\\end{table}\n");
    text
}

fn tabular(text: &mut String, block: &Block) {
    let columns: String = block
        .numeric
        .iter()
        .map(|numeric| if *numeric { 'r' } else { 'l' })
        .collect();
    let heads: Vec<String> = block.heads.iter().map(|head| inline(head)).collect();
    let _ = writeln!(
        text,
        "  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n    {} \\\\\n    \\midrule",
        heads.join(" & ")
    );
    for line in &block.lines {
        let cells = line.iter().zip(&block.numeric);
        let cells = cells.map(|(cell, numeric)| match cell.text.strip_prefix('-') {
            Some(number) if *numeric => format!("$-${}", inline(number)),
            _ => inline(&cell.text),
        });
        let _ = writeln!(text, "    {} \\\\", cells.collect::<Vec<_>>().join(" & "));
    }
    text.push_str("    \\bottomrule\n  \\end{tabular}\n");
}

/// What tags of HTML become; they are those that tables write.
const TAGS: [(&str, &str); 9] = [
    ("<sup>", "\\textsuperscript{"),
    ("</sup>", "}"),
    ("<sub>", "{"),
    ("</sub>", "}"),
    ("<code>", "\\texttt{"),
    ("</code>", "}"),
    ("<span>", ""),
    ("</span>", ""),
    ("<br>", " "),
];

/// Markdown within a line as LaTeX.
fn inline(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    let mut is_bold = false;
    while let Some(character) = rest.chars().next() {
        let tag = TAGS.iter().find(|(tag, _)| rest.starts_with(tag));
        if let Some((tag, written)) = tag {
            text.push_str(written);
            rest = &rest[tag.len()..];
        } else if let Some(after) = rest.strip_prefix("**") {
            text.push_str(if is_bold { "}" } else { "\\textbf{" });
            is_bold = !is_bold;
            rest = after;
        } else if let Some((code, after)) =
            rest.strip_prefix('`').and_then(|rest| rest.split_once('`'))
        {
            let _ = write!(text, "\\texttt{{{}}}", plain(code));
            rest = after;
        } else if let Some((meant, after)) = entity(rest) {
            push(&mut text, meant);
            rest = after;
        } else {
            let escaped = rest
                .strip_prefix('\\')
                .and_then(|after| after.chars().next());
            let (meant, length) = match escaped {
                Some(meant) => (meant, 1 + meant.len_utf8()),
                None => (character, character.len_utf8()),
            };
            push(&mut text, meant);
            rest = &rest[length..];
        }
    }
    if is_bold {
        text.push('}');
    }
    text
}

/// The character that an entity at the begin of a text means, and what follows it.
fn entity(text: &str) -> Option<(char, &str)> {
    let (name, rest) = text.strip_prefix('&')?.split_once(';')?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        _ => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
    };
    Some((character, rest))
}

/// Plain text as LaTeX.
fn plain(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut written, character);
    }
    written
}

/// One character, whatever it means in LaTeX.
fn push(text: &mut String, character: char) {
    match character {
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
            text.push('\\');
            text.push(character);
        }
        '\\' => text.push_str("\\textbackslash{}"),
        '~' => text.push_str("\\textasciitilde{}"),
        '^' => text.push_str("\\textasciicircum{}"),
        '<' => text.push_str("\\textless{}"),
        '>' => text.push_str("\\textgreater{}"),
        '|' => text.push_str("\\textbar{}"),
        '"' => text.push_str("\\textquotedbl{}"),
        '“' => text.push_str("``"),
        '”' => text.push_str("''"),
        '–' => text.push_str("--"),
        '−' => text.push_str("$-$"),
        '±' => text.push_str("$\\pm$"),
        '×' => text.push_str("$\\times$"),
        '√' => text.push_str("$\\surd$"),
        '\n' | '\r' | '\t' => text.push(' '),
        other => text.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::markdown;
    use crate::report::tables::{Body, TableCell};

    #[test]
    fn a_table_is_whole_and_escaped() {
        let cell = |text: &str| TableCell::from(text.to_owned());
        let rendered = RenderedTable {
            title: "50 % & more".to_owned(),
            caption: "`top_1`, in percent.".to_owned(),
            body: Body::of(
                vec!["model".to_owned(), "mean".to_owned()],
                vec![false, true],
                vec![
                    vec![cell("a\\|b"), cell("**83.00 ± 3.61**<sup>1</sup>")],
                    vec![cell("-x"), cell("-1.50")],
                ],
            ),
            notes: vec!["<sup>1</sup> 1 result instead of 2.".to_owned()],
            fixed: Vec::new(),
            sql: String::new(),
        };
        assert_eq!(
            table(&rendered, "example:1"),
            "% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{50 \\% \\& more. \\texttt{top\\_1}, in percent.}\n  \\label{tab:example:1}\n  \\begin{tabular}{lr}\n    \\toprule\n    model & mean \\\\\n    \\midrule\n    a\\textbar{}b & \\textbf{83.00 $\\pm$ 3.61}\\textsuperscript{1} \\\\\n    -x & $-$1.50 \\\\\n    \\bottomrule\n  \\end{tabular}\n\n  \\medskip\n\n  \\footnotesize\n  \\textsuperscript{1} 1 result instead of 2.\\par\n\\end{table}\n"
        );
    }

    #[test]
    fn what_was_escaped_for_markdown_is_what_was_typed() {
        let typed = "a_b \\input{x} <script> 5% $x$ #1 ~^ `c` *d* [e](f) @g";
        assert_eq!(inline(&markdown::escape(typed)), plain(typed));
        assert_eq!(
            inline(&markdown::code("a|b_c")),
            "\\texttt{a\\textbar{}b\\_c}"
        );
    }
}
