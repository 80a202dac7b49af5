//! Tests of comments: what fits, what is left out, and what is said of it.

use super::*;
use crate::report::axes::KnownAxes;
use crate::report::testing::{input, parsed, row, with};

fn section(name: &str, rank: u8, characters: usize) -> Section {
    Section {
        name: name.to_owned(),
        rank,
        text: "é".repeat(characters) + "\n",
    }
}

#[test]
fn a_small_comment_has_all_sections_in_their_order() {
    let sections = vec![section("a", 0, 3), section("b", 4, 2)];
    assert_eq!(
        fitted("top\n", sections, "end\n"),
        "top\n\nééé\n\néé\n\nend\n"
    );
}

#[test]
fn what_does_not_fit_is_left_out_from_the_least_important_and_named() {
    let mut sections = vec![section("first", 0, 30_000), section("claims", 1, 20_000)];
    for number in 0..30 {
        sections.push(section(&format!("table {number}"), 4, 3_000));
    }
    sections.push(section("figures", 3, 500));
    let text = fitted("top\n", sections, "end\n");
    let characters = text.chars().count();
    assert!(characters < MOST_CHARACTERS, "{characters}");
    // As much as there is room for: 4 of the tables.
    assert_eq!(text.matches('é').count(), 30_000 + 20_000 + 500 + 4 * 3_000);
    let said = "Left out, because a comment holds 65,536 characters: table 4, table 5,";
    assert!(text.contains(said), "{}", text.replace('é', ""));
    assert!(text.contains("table 13 and 16 more. All of it is in the report.\n\nend\n"));
}

#[test]
fn a_section_that_is_too_large_by_itself_is_left_out() {
    let sections = vec![section("first", 0, 70_000), section("second", 4, 10)];
    let text = fitted("top\n", sections, "end\n");
    assert!(text.starts_with("top\n\nLeft out,"), "{text}");
    assert!(text.contains("first and second"), "{text}");
    let text = fitted(&"x".repeat(70_000), Vec::new(), "end\n");
    assert_eq!(text.chars().count(), MOST_CHARACTERS - 1);
}

#[test]
fn a_huge_report_fits_and_says_what_it_leaves_out() {
    let blocks = (1..=100_u32).flat_map(|block| {
        let at = move |timestep: u32| {
            let axes = [("block", block.into()), ("timestep", timestep.into())];
            with(row(0, f64::from(block) / 100.0), axes)
        };
        [10, 50, 90].map(at)
    });
    let input = input(blocks.collect());
    let table = |title: &str| {
        format!(
            "[[table]]\nkind = \"grid\"\ntitle = \"{title}\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\n"
        )
    };
    let titles = (0..40).map(|number| format!("Table {number} of <b>"));
    let text: String = titles.map(|title| table(&title)).collect();
    let (config, errors) = parsed(&text, |fields| {
        ReportConfig::parse(fields, "example", &KnownAxes::default())
    });
    assert!(errors.is_empty(), "{errors:?}");
    let changes = Changes {
        sentence: "1 of 300 cells changed".to_owned(),
        text: "block 1 changed".to_owned(),
    };
    let text = comment(&input, &config.unwrap(), Some(&changes)).unwrap();
    let characters = text.chars().count();
    // Within a table of the most that there is room for.
    assert!(
        (60_000..MOST_CHARACTERS).contains(&characters),
        "{characters}"
    );
    assert!(text.starts_with("<!-- repro comment: example -->\n### An example\n"));
    assert!(
        text.contains("#### Table 0 of &lt;b&gt;\n\n| block |"),
        "{text}"
    );
    assert!(
        text.contains("\n**Changes:** 1 of 300 cells changed.\n"),
        "{text}"
    );
    assert!(
        text.contains("#### What changed\n\nblock 1 changed\n"),
        "{text}"
    );
    assert!(
        text.contains("<details><summary>Table 1 of &lt;b&gt;</summary>"),
        "{text}"
    );
    let (_, said) = text
        .split_once("Left out, because a comment holds 65,536 characters: ")
        .unwrap();
    assert!(
        said.contains(" more. All of it is in the report.\n"),
        "{said}"
    );
    assert!(said.contains("`reports/example.md`"), "{said}");
    // Whole tables, and none of them twice.
    let shown = text.matches("</summary>\n\n`top1`").count();
    assert!(shown > 5 && shown < 39, "{shown}");
    assert_eq!(
        text.matches("<details>").count(),
        text.matches("</details>").count()
    );
}

#[test]
fn no_name_ends_the_marker() {
    assert_eq!(
        marker("quick-start.1"),
        "<!-- repro comment: quick-start.1 -->"
    );
    assert_eq!(marker("a --> b"), "<!-- repro comment: a-----b -->");
}
