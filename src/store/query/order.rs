//! Whether the rows of a query come in an order that the query states.

use sqlparser::ast::{Query, SetExpr};

/// What a query says of the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It has an `ORDER BY`.
    Stated,
    /// It has none, and gives all rows.
    Open,
    /// It has none, and a `LIMIT`: which rows it gives is open, too.
    CutAnywhere,
}

impl Order {
    pub(super) fn of(query: &Query) -> Self {
        if query.order_by.is_some() {
            return Self::Stated;
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return Self::CutAnywhere;
        }
        match query.body.as_ref() {
            // In parentheses.
            SetExpr::Query(query) => Self::of(query),
            _ => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::tables_of;
    use super::*;

    #[test]
    fn an_order_is_stated_or_not() {
        for (sql, order) in [
            ("SELECT a FROM results ORDER BY a LIMIT 3", Order::Stated),
            ("(SELECT a FROM results ORDER BY a)", Order::Stated),
            ("SELECT a FROM results", Order::Open),
            (
                "SELECT a FROM (SELECT a FROM results ORDER BY a) b",
                Order::Open,
            ),
            ("SELECT a FROM results LIMIT 1", Order::CutAnywhere),
        ] {
            assert_eq!(tables_of(sql).unwrap().1, order, "{sql}");
        }
    }
}
