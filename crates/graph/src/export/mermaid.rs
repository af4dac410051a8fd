//! A Mermaid flowchart, for Markdown.

use std::io::{self, Write};

use super::{
    escape::mermaid,
    source::{Node, Source},
};

pub(super) fn write(source: &dyn Source, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    for step in 0..source.step_count() {
        let Node { name, detail, .. } = source.step(step);
        writeln!(out, "  s{step}[\"{}<br/>{}\"]", mermaid(&name), mermaid(&detail))?;
    }
    for datum in (0..source.datum_count()).filter(|datum| !source.is_unread_log(*datum)) {
        let Node { name, detail, .. } = source.datum(datum);
        writeln!(out, "  d{datum}([\"{}<br/>{}\"])", mermaid(&name), mermaid(&detail))?;
    }
    for step in 0..source.step_count() {
        for read in source.reads(step).iter().filter(|edge| !source.is_unread_log(edge.datum)) {
            writeln!(out, "  d{} --> s{step}", read.datum)?;
        }
        for written in source.writes(step).iter().filter(|edge| !source.is_unread_log(edge.datum)) {
            writeln!(out, "  s{step} --> d{}", written.datum)?;
        }
    }
    Ok(())
}
