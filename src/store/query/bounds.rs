//! How much a query may hold. The engine goes down into an expression operator by operator, and would end the process where the stack does.

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::message::Message;

/// More operators and keywords in a text are refused: each may stand inside the one before it, and the engine goes down into them one by one.
const MOST_OPERATORS: usize = 2000;
/// More of `UNION`, `EXCEPT` and `INTERSECT` are refused: the engine's time grows with their cube, and a hundred take seconds.
const MOST_SETS: usize = 100;

/// Deeper texts are refused: the parser reads some of what is nested in two ways, one inside the other, so that its time doubles with every
/// level. At this depth it takes a second at most.
const DEEPEST: usize = 14;

/// Refuses a text that the engine could not work off. What cannot be taken apart is left to the parser, which says where.
///
/// # Errors
/// How many operators, sets or levels there are, and how many there may be.
pub(super) fn check(sql: &str) -> Result<(), Message> {
    const LIST: &str = "`x IN (1, 2, 3)` is one operator, in place of `x = 1 OR x = 2 OR x = 3`";
    const PARTS: &str = "ask in several queries, and put their answers together";
    const NAMES: &str = "give what is nested a name: `WITH part AS (SELECT …) SELECT … FROM part`";
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize()
        .unwrap_or_default();
    let (operators, sets) = counts(&tokens);
    for (count, most, what, hint) in [
        (operators, MOST_OPERATORS, "operators and keywords", LIST),
        (sets, MOST_SETS, "of UNION, EXCEPT and INTERSECT", PARTS),
        (
            depth(&tokens),
            DEEPEST,
            "levels, one inside the other",
            NAMES,
        ),
    ] {
        if count > most {
            let text = format!("the query has {count} {what}, and may have {most}");
            return Err(Message::new(text).hint(hint));
        }
    }
    Ok(())
}

/// How many operators and keywords there are, and how many of them put sets together.
fn counts(tokens: &[Token]) -> (usize, usize) {
    let (mut operators, mut sets) = (0, 0);
    for token in tokens {
        match token {
            Token::Word(word) => {
                operators += usize::from(word.keyword != Keyword::NoKeyword);
                let of_sets = [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT];
                sets += usize::from(of_sets.contains(&word.keyword));
            }
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Comma
            | Token::Period
            | Token::LParen
            | Token::RParen => {}
            _ => operators += 1,
        }
    }
    (operators, sets)
}

/// How deep it goes: brackets, `CASE` to `END`, and each part of a name behind a period. `POSITION` counts twice, because it is read in four
/// ways, and every `INTERVAL` from where it stands to the end, because what it is of may have no brackets.
fn depth(tokens: &[Token]) -> usize {
    // The depth outside of each bracket that is open.
    let mut open: Vec<usize> = Vec::new();
    let (mut here, mut deepest, mut intervals, mut joined) = (0, 0, 0, false);
    for token in tokens {
        let keyword = match token {
            Token::Whitespace(_) => continue,
            // Behind a period it is a name.
            Token::Word(word) if !joined => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let base = open.last().map_or(0, |outside| outside + 1);
        let joins = *token == Token::Period;
        match token {
            Token::Period => here += 1,
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(here);
                here += 1;
            }
            Token::RParen | Token::RBracket | Token::RBrace => here = open.pop().unwrap_or(0),
            _ if keyword == Keyword::CASE => {
                open.push(base);
                here = base + 1;
            }
            _ if keyword == Keyword::END => here = open.pop().unwrap_or(0),
            _ => {
                if !joined {
                    here = base;
                }
                intervals += usize::from(keyword == Keyword::INTERVAL);
                here += usize::from(keyword == Keyword::POSITION);
            }
        }
        joined = joins;
        deepest = deepest.max(here + intervals);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        check(sql).unwrap_err().text
    }

    #[test]
    fn long_lists_pass_and_long_chains_are_refused_with_their_length() {
        let list = vec!["'a', 1"; 5000].join(", ");
        assert!(check(&format!("SELECT 1 WHERE x IN ({list})")).is_ok());
        assert!(check("SELECT 'unfinished").is_ok());
        let chain = format!("SELECT 1{}", "+1".repeat(3000));
        assert_eq!(
            refusal(&chain),
            "the query has 3001 operators and keywords, and may have 2000"
        );
        let postfix = format!("SELECT 1{}", " IS NULL".repeat(1000));
        assert!(refusal(&postfix).contains("2001 operators"));
        let sets = vec!["SELECT 1"; 102].join(" UNION ALL ");
        assert!(refusal(&sets).contains("101 of UNION"));
    }

    #[test]
    fn what_is_nested_is_counted_where_it_is_deepest() {
        let deep = |sql: &str| depth(&Tokenizer::new(&GenericDialect, sql).tokenize().unwrap());
        for (sql, levels) in [
            ("SELECT 1 + 2 * 3", 0),
            (
                "SELECT a.b, c.d FROM a JOIN c ON a.b = c.d AND a.e = c.e",
                1,
            ),
            ("SELECT round(avg(a.value), 2), (1), (2)", 3),
            ("SELECT CASE WHEN a.x THEN (1) END, a.case, a.end", 2),
            ("SELECT s.f(t.g(u.h))", 5),
            ("SELECT b.c.d.e", 3),
            ("SELECT POSITION(1)", 2),
            ("SELECT INTERVAL - INTERVAL 'x', INTERVAL 'y'", 3),
            ("SELECT )))]}, a.b END END", 1),
        ] {
            assert_eq!(deep(sql), levels, "{sql}");
        }
        let nested = format!("SELECT {}1{}", "CAST(".repeat(15), ")".repeat(15));
        assert_eq!(
            refusal(&nested),
            "the query has 15 levels, one inside the other, and may have 14"
        );
    }
}
