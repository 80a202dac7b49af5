//! What a query may be: one `SELECT` over the tables of the store, and nothing that changes something or reads elsewhere.
//!
//! The engine itself would do more: it opens files and addresses by table functions (`read_parquet('http://…')`), and takes `DROP` and
//! `DELETE` for changes of its own tables. So a query is taken apart by the same parser with the same settings first, and only what is
//! listed here passes: what the parser learns in later releases does not. `UNNEST` passes, because it spreads lists of the query itself.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};

use super::order::Order;
use super::{bounds, syntax};
use crate::message::Message;

/// Why a text is not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is SQL, but not a query that only reads the store.
    Refused(Message),
    /// It is not SQL, as far as the parser understands it.
    Unreadable(Message),
}

/// The names of the tables that a query reads, each once, and what it says of the order of its rows. Names that the query itself introduces
/// by `WITH` are among them.
///
/// # Errors
/// What is not one `SELECT`, and what reads from elsewhere.
pub(super) fn tables_of(sql: &str) -> Result<(Vec<String>, Order), Fault> {
    bounds::check(sql).map_err(Fault::Refused)?;
    // As the engine parses it: another reading of the same text could let through what this one does not see.
    let options = ParserOptions {
        trailing_commas: true,
        ..ParserOptions::default()
    };
    let unreadable = |error: sqlparser::parser::ParserError| {
        Fault::Unreadable(syntax::explain(sql, &error.to_string()))
    };
    let statements = Parser::new(&GenericDialect)
        .with_options(options)
        .try_with_sql(sql)
        .map_err(unreadable)?
        .parse_statements()
        .map_err(unreadable)?;
    let statement = match statements.as_slice() {
        [one] => one,
        [] => return Err(Fault::Refused(refused("the text holds no statement"))),
        several => {
            return Err(Fault::Refused(refused(format!(
                "a query is one statement, and this text holds {}",
                several.len()
            ))));
        }
    };
    let mut names = Names::default();
    match statement.visit(&mut names) {
        ControlFlow::Continue(()) => {
            let order = match statement {
                Statement::Query(query) => Order::of(query),
                // What else there is was refused.
                _ => Order::Open,
            };
            Ok((names.0, order))
        }
        ControlFlow::Break(message) => Err(Fault::Refused(*message)),
    }
}

fn refused(text: impl Into<String>) -> Message {
    Message::new(text).hint(
        "write one `SELECT …` or `WITH … SELECT …` over the tables of the cache, such as `results`; docs/querying.md lists them",
    )
}

/// Collects the tables, and stops at what is not allowed.
#[derive(Default)]
struct Names(Vec<String>);

type Flow = ControlFlow<Box<Message>>;

fn stop(message: Message) -> Flow {
    ControlFlow::Break(Box::new(message))
}

/// The first words of a statement, as people call it: `DROP TABLE`.
fn called(statement: &Statement) -> String {
    let text = statement.to_string();
    let words = text.split_whitespace().take(2);
    let words = words.take_while(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
    words.collect::<Vec<_>>().join(" ")
}

impl Visitor for Names {
    type Break = Box<Message>;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Flow {
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            other => {
                let text = format!(
                    "`{}` is not a query: `repro query` reads the cache and changes nothing",
                    called(other)
                );
                stop(match instead_of(other) {
                    Some(hint) => Message::new(text).hint(hint),
                    None => refused(text),
                })
            }
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        body(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return stop(refused(
                "`SELECT … INTO` makes a table, and `repro query` changes nothing",
            ));
        }
        grouping(select)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Table {
                name, args: None, ..
            } => {
                // The engine looks for the first part of a name with dots.
                let first = name.0.first().and_then(|part| part.as_ident());
                match first {
                    Some(name) if self.0.contains(&name.value) => {}
                    Some(name) => self.0.push(name.value.clone()),
                    None => return stop(refused(format!("`{factor}` is not the name of a table"))),
                }
                ControlFlow::Continue(())
            }
            TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            TableFactor::Table {
                name, args: Some(_), ..
            } => stop(
                Message::new(format!(
                    "the table function `{name}` is not available: a query reads the tables of the cache, and no other files or addresses"
                ))
                .hint("to join a file of your own, read both with Polars or PyArrow; docs/querying.md shows how"),
            ),
            other => stop(refused(format!(
                "`{}` is not available in a query",
                shortened(&other.to_string())
            ))),
        }
    }
}

/// What does the same as a statement that is not a query.
fn instead_of(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::ExplainTable { .. } | Statement::ShowColumns { .. } => {
            Some("`repro query --tables TABLE` lists the columns of a table")
        }
        Statement::ShowTables { .. } => Some("`repro query --tables` lists the tables"),
        Statement::Copy { .. } => Some(
            "write the `SELECT` alone, and `--output FILE` behind it, such as `--output results.csv`",
        ),
        _ => None,
    }
}

/// Refuses what the engine cannot group by, and windows over groups, at which it panics.
fn grouping(select: &Select) -> Flow {
    let GroupByExpr::Expressions(by, modifiers) = &select.group_by else {
        return ControlFlow::Continue(());
    };
    let sets = by.iter().find_map(|expression| match expression {
        Expr::Rollup(_) => Some("ROLLUP"),
        Expr::Cube(_) => Some("CUBE"),
        Expr::GroupingSets(_) => Some("GROUPING SETS"),
        _ => None,
    });
    if let Some(name) = sets.or((!modifiers.is_empty()).then_some("… WITH")) {
        return stop(
            Message::new(format!("`GROUP BY {name}` is not available")).hint(
                "write one `SELECT … GROUP BY …` for each level, with `UNION ALL` between them",
            ),
        );
    }
    if !by.is_empty() && select.projection.visit(&mut Windows).is_break() {
        return stop(
            Message::new("a window function (`OVER`) beside `GROUP BY` is not available").hint(
                "group in a query of its own: `SELECT *, row_number() OVER (ORDER BY mean) FROM (SELECT head, avg(value) AS mean FROM results GROUP BY head)`",
            ),
        );
    }
    ControlFlow::Continue(())
}

/// Stops at a window function.
struct Windows;

impl Visitor for Windows {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Function(function) if function.over.is_some() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Looks at what a query consists of; its parts are visited one by one.
fn body(expression: &SetExpr) -> Flow {
    match expression {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            body(left)?;
            body(right)
        }
        SetExpr::Insert(statement)
        | SetExpr::Update(statement)
        | SetExpr::Delete(statement)
        | SetExpr::Merge(statement) => stop(refused(format!(
            "`{}` is not a query: `repro query` reads the cache and changes nothing",
            called(statement)
        ))),
        SetExpr::Table(_) => stop(refused("`TABLE …` is not available in a query")),
    }
}

/// A piece of a query for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(MOST).collect();
    format!("{beginning}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        match tables_of(sql) {
            Err(Fault::Refused(message)) => message.to_string(),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn one_select_names_its_tables() {
        let tables = |sql: &str| tables_of(sql).unwrap().0;
        assert_eq!(tables("SELECT 1"), [""; 0]);
        assert_eq!(
            tables(
                "WITH best AS (SELECT * FROM results) SELECT * FROM best JOIN curves USING (a) \
                 WHERE a IN (SELECT id FROM predictions) UNION ALL SELECT * FROM (SELECT * FROM curves) c;"
            ),
            ["results", "best", "curves", "predictions"]
        );
        assert_eq!(
            tables("SELECT * FROM features_abcd CROSS JOIN UNNEST(feature) AS f(x)"),
            ["features_abcd"]
        );
        assert!(matches!(tables_of("SELEC 1"), Err(Fault::Unreadable(_))));
    }

    #[test]
    fn what_does_the_same_is_named() {
        for (sql, name, hint) in [
            ("SHOW TABLES", "`SHOW TABLES`", "`repro query --tables`"),
            (
                "DESCRIBE results",
                "`DESCRIBE`",
                "`repro query --tables TABLE`",
            ),
            ("COPY results TO 'x.csv'", "`COPY`", "`--output FILE`"),
            (
                "SELECT head, avg(value) FROM results GROUP BY ROLLUP(head)",
                "`GROUP BY ROLLUP` is not available",
                "UNION ALL",
            ),
            (
                "SELECT head, avg(value) FROM results GROUP BY CUBE(head, block)",
                "`GROUP BY CUBE` is not available",
                "UNION ALL",
            ),
            (
                "SELECT head, row_number() OVER (ORDER BY head) FROM results GROUP BY head",
                "beside `GROUP BY`",
                "in a query of its own",
            ),
        ] {
            let refusal = refusal(sql);
            assert!(
                refusal.contains(name) && refusal.contains(hint),
                "{sql}: {refusal}"
            );
        }
        let windows = "SELECT head, row_number() OVER (ORDER BY value) FROM results";
        assert_eq!(tables_of(windows).unwrap().0, ["results"]);
    }

    #[test]
    fn table_functions_are_found_wherever_they_stand() {
        for sql in [
            "SELECT * FROM read_parquet('a')",
            "SELECT * FROM READ_PARQUET('a')",
            "SELECT * FROM \"read_parquet\"('a')",
            "SELECT * FROM results JOIN read_ipc('a') b ON 1 = 1",
            "SELECT * FROM (SELECT * FROM read_ipc('a')) b",
            "SELECT * FROM (results JOIN read_ipc('a') b ON 1 = 1)",
            "SELECT (SELECT max(x) FROM read_csv('a')) FROM results",
            "SELECT * FROM results WHERE id IN (SELECT id FROM read_json('a'))",
            "SELECT * FROM results WHERE EXISTS (SELECT id FROM read_parquet('a'))",
            "SELECT * FROM results ORDER BY (SELECT max(x) FROM read_parquet('a'))",
            "SELECT * FROM results LIMIT (SELECT max(x) FROM read_parquet('a'))",
            "WITH a AS (SELECT * FROM read_parquet('a')) SELECT 1",
            "SELECT 1 UNION ALL SELECT * FROM read_parquet('a')",
            "SELECT * FROM results, LATERAL (SELECT * FROM read_parquet('a')) b",
            "SELECT * FROM generate_series(1, 3)",
        ] {
            let refusal = refusal(sql);
            assert!(refusal.contains("table function `"), "{sql}: {refusal}");
        }
        for sql in [
            "SELECT * FROM TABLE(read_parquet('a'))",
            "SELECT * FROM results, LATERAL read_parquet('a') b",
            "SELECT 1 UNION ALL TABLE results",
        ] {
            assert!(refusal(sql).contains("hint: "), "{sql}");
        }
    }

    #[test]
    fn whatever_changes_something_is_refused_by_its_name() {
        for (sql, name) in [
            ("DROP TABLE results", "`DROP TABLE`"),
            ("DELETE FROM results", "`DELETE FROM`"),
            ("TRUNCATE TABLE results", "`TRUNCATE TABLE`"),
            ("CREATE TABLE x AS SELECT * FROM results", "`CREATE TABLE`"),
            ("INSERT INTO results SELECT * FROM results", "`INSERT INTO`"),
            ("UPDATE results SET value = 1", "`UPDATE`"),
            ("EXPLAIN SELECT * FROM results", "`EXPLAIN SELECT`"),
            ("ALTER TABLE results RENAME TO other", "`ALTER TABLE`"),
            ("SELECT * INTO x FROM results", "INTO"),
            ("WITH a AS (DELETE FROM results) SELECT 1", "`DELETE FROM`"),
            ("SELECT 1; SELECT 2", "holds 2"),
            ("SELECT 1; DROP TABLE results", "holds 2"),
            ("", "no statement"),
            (" -- nothing", "no statement"),
        ] {
            let refusal = refusal(sql);
            assert!(refusal.contains(name), "{sql}: {refusal}");
            assert!(refusal.contains("hint: write one `SELECT"), "{refusal}");
        }
    }
}
