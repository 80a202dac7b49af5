//! The experiment's graph as a Mermaid flowchart, which GitHub draws in the reader's own colors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::ReportError;
use super::input::{Graph, GraphNode, GraphRole};
use crate::visible::as_words;

/// Mermaid refuses more than 500 edges, and a drawing is of no use long before.
const MOST_EDGES: usize = 300;

/// The flowchart, without its fence; `None` where it would be empty or too large to read.
///
/// # Errors
/// An edge that starts or ends at no node.
pub fn flowchart(graph: &Graph) -> Result<Option<String>, ReportError> {
    if graph.nodes.is_empty() || graph.nodes.len() > MOST_EDGES || graph.edges.len() > MOST_EDGES {
        return Ok(None);
    }
    let numbers: BTreeMap<&str, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(number, node)| (node.id.as_str(), number))
        .collect();
    let number = |id: &String| {
        numbers
            .get(id.as_str())
            .ok_or_else(|| ReportError::DanglingEdge(id.clone()))
    };
    let mut text = String::from("flowchart LR\n");
    for (number, node) in graph.nodes.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  n{number}{}", shape(node));
    }
    for edge in &graph.edges {
        let _ = writeln!(
            text,
            "  n{} --> n{}",
            number(&edge.from)?,
            number(&edge.to)?
        );
    }
    Ok(Some(text.trim_end().to_owned()))
}

/// The label within the brackets that Mermaid draws the shape from.
fn shape(node: &GraphNode) -> String {
    let label = escape(&node.label);
    match node.role {
        GraphRole::Dataset => format!("[(\"{label}\")]"),
        GraphRole::Model => format!("{{{{\"{label}\"}}}}"),
        GraphRole::Extraction => format!("[\"{label}\"]"),
        GraphRole::Head => format!("(\"{label}\")"),
        GraphRole::Metric => format!("([\"{label}\"])"),
        GraphRole::Pretraining => format!("[[\"{label}\"]]"),
        GraphRole::Samples => format!("[\\\"{label}\"\\]"),
        GraphRole::Report => format!("[/\"{label}\"/]"),
    }
}

/// Text within a quoted Mermaid label. Mermaid reads `#35;` as the character 35; everything that means something to Mermaid, to HTML or
/// to the fence around it is written so.
fn escape(label: &str) -> String {
    let mut escaped = String::new();
    for character in as_words(label).chars() {
        match character {
            letter if letter.is_alphanumeric() || " .,:-()/=+".contains(letter) => {
                escaped.push(letter);
            }
            '_' => escaped.push('_'),
            other if other.is_ascii() => {
                let _ = write!(escaped, "#{};", u32::from(other));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::input::GraphEdge;

    fn node(id: &str, role: GraphRole, label: &str) -> GraphNode {
        GraphNode {
            id: id.to_owned(),
            role,
            label: label.to_owned(),
        }
    }

    fn edge(from: &str, to: &str) -> GraphEdge {
        GraphEdge {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn roles_have_shapes_and_labels_are_escaped() {
        let graph = Graph {
            nodes: vec![
                node("dataset.x", GraphRole::Dataset, "x\"]; click <b>`"),
                node("model.gd", GraphRole::Model, "gd"),
                node("extraction.gd", GraphRole::Extraction, "gd: 78 features"),
            ],
            edges: vec![
                edge("dataset.x", "extraction.gd"),
                edge("model.gd", "extraction.gd"),
            ],
        };
        assert_eq!(
            flowchart(&graph).unwrap().unwrap(),
            "flowchart LR\n  n0[(\"x#34;#93;#59; click #60;b#62;#96;\")]\n  n1{{\"gd\"}}\n  n2[\"gd: 78 features\"]\n  n0 --> n2\n  n1 --> n2"
        );
    }

    #[test]
    fn an_edge_into_nothing_is_a_bug_and_an_empty_graph_is_not_drawn() {
        let graph = Graph {
            nodes: vec![node("a", GraphRole::Head, "a")],
            edges: vec![edge("a", "b")],
        };
        assert!(matches!(flowchart(&graph), Err(ReportError::DanglingEdge(id)) if id == "b"));
        assert_eq!(flowchart(&Graph::default()).unwrap(), None);
    }
}
