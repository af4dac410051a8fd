//! DOT, the language of Graphviz.

use std::io::{self, Write};

use super::{
    escape::dot,
    source::{Node, Source},
};

pub(super) fn write(source: &dyn Source, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph \"{}\" {{", dot(&source.title()))?;
    writeln!(out, "  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=11];")?;
    writeln!(out, "  node [shape=box, style=filled, fillcolor=\"#dbe9f6\"];")?;
    for step in 0..source.step_count() {
        let Node { name, detail, .. } = source.step(step);
        let id = dot(&source.step_id(step));
        writeln!(out, "  \"{id}\" [label=\"{}\\n{}\"];", dot(&name), dot(&detail))?;
    }
    writeln!(out, "  node [shape=ellipse, fillcolor=\"#ffffff\"];")?;
    for datum in (0..source.datum_count()).filter(|datum| !source.is_unread_log(*datum)) {
        let Node { name, detail, .. } = source.datum(datum);
        let id = dot(&source.datum_id(datum));
        let fill = if source.is_input(datum) { ", fillcolor=\"#eeeeee\"" } else { "" };
        writeln!(out, "  \"{id}\" [label=\"{}\\n{}\"{fill}];", dot(&name), dot(&detail))?;
    }
    for step in 0..source.step_count() {
        let id = dot(&source.step_id(step));
        for read in source.reads(step).iter().filter(|edge| !source.is_unread_log(edge.datum)) {
            writeln!(out, "  \"{}\" -> \"{id}\";", dot(&source.datum_id(read.datum)))?;
        }
        for written in source.writes(step).iter().filter(|edge| !source.is_unread_log(edge.datum)) {
            writeln!(out, "  \"{id}\" -> \"{}\";", dot(&source.datum_id(written.datum)))?;
        }
    }
    writeln!(out, "}}")
}
