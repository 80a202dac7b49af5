//! How much a query may hold. The engine goes down into an expression operator by operator, and would end the process where the stack does.

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::message::Message;

/// More operators and keywords in a text are refused: each may stand inside the one before it, and the engine goes down into them one by one.
const MOST_OPERATORS: usize = 2000;
/// More of `UNION`, `EXCEPT` and `INTERSECT` are refused: the engine's time grows with their cube, and a hundred take seconds.
const MOST_SETS: usize = 100;

/// Refuses a text that the engine could not work off. What cannot be taken apart is left to the parser, which says where.
///
/// # Errors
/// How many operators or sets there are, and how many there may be.
pub(super) fn check(sql: &str) -> Result<(), Message> {
    const LIST: &str = "`x IN (1, 2, 3)` is one operator, in place of `x = 1 OR x = 2 OR x = 3`";
    const PARTS: &str = "ask in several queries, and put their answers together";
    let (mut operators, mut sets) = (0_usize, 0_usize);
    for token in Tokenizer::new(&GenericDialect, sql)
        .tokenize()
        .unwrap_or_default()
    {
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
    for (count, most, what, hint) in [
        (operators, MOST_OPERATORS, "operators and keywords", LIST),
        (sets, MOST_SETS, "of UNION, EXCEPT and INTERSECT", PARTS),
    ] {
        if count > most {
            let text = format!("the query has {count} {what}, and may have {most}");
            return Err(Message::new(text).hint(hint));
        }
    }
    Ok(())
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
}
