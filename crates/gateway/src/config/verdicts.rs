//! Reads `risk` of a server: what an administrator says its tools are, where their definitions say something else.

use portcullis_base::{Classes, Digest, Label, Labels, printable};
use portcullis_policy::{AccessEntry, Misread, nearest};

use super::read::Node;
use crate::tools::{Verdict, Verdicts};

const EXAMPLE: &str = "{ refresh_cache: { classes: [write], reason: the cache is ours } }";

/// Reads all verdicts on the tools of one server.
pub(super) fn verdicts(node: &Node<'_>) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for (tool, node) in node.entries(EXAMPLE) {
        let mut section = node.section();
        let classes_node = section.take("classes");
        let classes = classes(&classes_node);
        if classes.is_none() {
            classes_node.problem("names no class", "example: classes: [read]");
        }
        let labels = labels(&section.take("labels"));
        let reason_node = section.take("reason");
        let reason =
            if reason_node.is_given() { reason_node.text("a text", "it only reads our cache") } else { String::new() };
        if reason.trim().is_empty() {
            reason_node.problem(
                "gives no reason",
                "say why the tool is not what it looks like; whoever comes after you will ask",
            );
        }
        let definition_node = section.take("definition");
        let definition = definition_node.is_given().then(|| definition(&definition_node)).flatten();
        section.finish();
        let classes = classes.unwrap_or_default();
        verdicts.insert(tool.into(), Verdict { classes, labels, reason: reason.into(), definition });
    }
    verdicts
}

/// A list of classes; `None` if there is no list.
pub(super) fn classes(node: &Node<'_>) -> Option<Classes> {
    node.is_given().then(|| {
        let words = node.texts("a list of classes", "[read, write]");
        words.iter().fold(Classes::NONE, |all, word| match AccessEntry::classes(word) {
            Ok(classes) => all.or(classes),
            Err(Misread { message, nearest }) => {
                let nearest = nearest.map_or_else(String::new, |nearest| format!("did you mean \"{nearest}\"?"));
                node.problem(message, nearest);
                all
            }
        })
    })
}

fn labels(node: &Node<'_>) -> Option<Labels> {
    node.is_given().then(|| {
        let words = node.texts("a list of labels", "[private_data]");
        let known = || Label::ALL.iter().map(|label| label.as_str());
        words.iter().fold(Labels::NONE, |all, word| {
            let Some(label) = Label::parse(word) else {
                let near = nearest(word, known()).map_or_else(
                    || format!("known: {}", known().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                node.problem(format!("there is no label \"{}\"", printable(word, 40)), near);
                return all;
            };
            all.with(label)
        })
    })
}

fn definition(node: &Node<'_>) -> Option<Digest> {
    let text = node.text("the digest of a definition", "5o0R2Qh4m0vVQH1o1WfXc0d0y6o3p0aYq1nW9l2c3d4");
    let digest = serde_json::from_value(text.as_str().into()).ok();
    if digest.is_none() {
        node.problem(
            format!("\"{}\" is no digest of a definition", printable(&text, 60)),
            "copy it from the record of a call of this tool",
        );
    }
    digest
}
