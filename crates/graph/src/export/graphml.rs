//! `GraphML`: the nodes are named by id, the edges go with the data.

use std::io::{self, Write};

use super::{
    escape::xml,
    source::{Attribute, Node, Source},
};

pub(super) fn write(source: &dyn Source, out: &mut dyn Write) -> io::Result<()> {
    let attributes = source.attributes();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(out, r#"<graphml xmlns="http://graphml.graphdrawing.org/xmlns">"#)?;
    for Attribute { name, is_boolean } in attributes {
        let kind = if *is_boolean { "boolean" } else { "string" };
        writeln!(out, r#"<key id="{name}" for="node" attr.name="{name}" attr.type="{kind}"/>"#)?;
    }
    let connection =
        r#"<key id="connection" for="edge" attr.name="connection" attr.type="string"/>"#;
    writeln!(out, "{connection}")?;
    writeln!(out, r#"<key id="title" for="graph" attr.name="title" attr.type="string"/>"#)?;
    writeln!(out, r#"<graph edgedefault="directed">"#)?;
    writeln!(out, r#"<data key="title">{}</data>"#, xml(&source.title()))?;
    for step in 0..source.step_count() {
        node(&source.step_id(step), &source.step(step), attributes, out)?;
    }
    for datum in 0..source.datum_count() {
        node(&source.datum_id(datum), &source.datum(datum), attributes, out)?;
    }
    for step in 0..source.step_count() {
        let id = source.step_id(step);
        for read in source.reads(step) {
            edge(&source.datum_id(read.datum), &id, read.connection, out)?;
        }
        for written in source.writes(step) {
            edge(&id, &source.datum_id(written.datum), written.connection, out)?;
        }
    }
    writeln!(out, "</graph>\n</graphml>")
}

fn node(id: &str, node: &Node, attributes: &[Attribute], out: &mut dyn Write) -> io::Result<()> {
    write!(out, r#"<node id="{}">"#, xml(id))?;
    for (attribute, value) in attributes.iter().zip(&node.values) {
        if let Some(value) = value {
            write!(out, r#"<data key="{}">{}</data>"#, attribute.name, xml(value))?;
        }
    }
    writeln!(out, "</node>")
}

fn edge(from: &str, to: &str, connection: &str, out: &mut dyn Write) -> io::Result<()> {
    let [from, to, connection] = [from, to, connection].map(xml);
    writeln!(
        out,
        r#"<edge source="{from}" target="{to}"><data key="connection">{connection}</data></edge>"#
    )
}
