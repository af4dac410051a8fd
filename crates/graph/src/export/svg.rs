//! A picture.

use std::io::{self, Write};

use super::{
    escape::xml,
    layout::{Layout, PITCH, Place, number},
    source::{Node, Source},
};

/// Pixels.
const MARGIN: i64 = 20;
const GAP: i64 = 64;
const HEIGHT: i64 = 38;
/// About what a bold letter takes.
const LETTER: i64 = 8;
/// How much of a line is shown; all of it is in the node's tooltip.
const LETTERS: usize = 32;

/// A node with its place.
struct Placed {
    place: Place,
    x: i64,
    y: i64,
    width: i64,
}

pub(super) fn write(source: &dyn Source, out: &mut dyn Write) -> io::Result<()> {
    let layout = Layout::of(source);
    let tallest = layout.layers.iter().map(Vec::len).max().unwrap_or(0);
    let height = number(tallest) * PITCH + 2 * MARGIN;
    let mut placed = Vec::new();
    let mut at = vec![None; source.step_count() + source.datum_count()];
    let mut x = MARGIN;
    for layer in &layout.layers {
        let letters = layer.iter().map(|(place, _)| letters(&node(source, *place))).max();
        let width = letters.unwrap_or(0) * LETTER + 2 * LETTER;
        for (place, y) in layer {
            at[index(source, *place)] = Some(placed.len());
            placed.push(Placed { place: *place, x, y: height / 2 + y, width });
        }
        x += width + GAP;
    }
    let width = (x - GAP).max(MARGIN) + MARGIN;

    let title = xml(&source.title());
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(out, "<title>{title}</title>")?;
    writeln!(out, r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##)?;
    let arrow = r##"<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#666666"/></marker></defs>"##;
    writeln!(out, "{arrow}")?;
    writeln!(out, r##"<g fill="none" stroke="#666666" marker-end="url(#arrow)">"##)?;
    let find = |place: Place| at[index(source, place)].map(|i: usize| &placed[i]);
    for step in 0..source.step_count() {
        let own = Place::Step(step);
        for read in source.reads(step) {
            edge(find(Place::Datum(read.datum)), find(own), out)?;
        }
        for written in source.writes(step) {
            edge(find(own), find(Place::Datum(written.datum)), out)?;
        }
    }
    writeln!(out, "</g>")?;
    for placed in &placed {
        box_of(source, placed, out)?;
    }
    writeln!(out, "</svg>")
}

fn index(source: &dyn Source, place: Place) -> usize {
    match place {
        Place::Step(step) => step,
        Place::Datum(datum) => source.step_count() + datum,
    }
}

fn node(source: &dyn Source, place: Place) -> Node {
    match place {
        Place::Step(step) => source.step(step),
        Place::Datum(datum) => source.datum(datum),
    }
}

/// An edge; logs have no place.
fn edge(from: Option<&Placed>, to: Option<&Placed>, out: &mut dyn Write) -> io::Result<()> {
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    let (x1, y1, x2, y2) = (from.x + from.width, from.y, to.x, to.y);
    let bend = (x2 - x1) / 2;
    writeln!(out, r#"<path d="M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}"/>"#, x1 + bend, x2 - bend)
}

fn box_of(source: &dyn Source, placed: &Placed, out: &mut dyn Write) -> io::Result<()> {
    let Placed { place, x, y, width } = *placed;
    let Node { name, detail, .. } = node(source, place);
    let (class, radius, fill) = match place {
        Place::Step(_) => ("step", 3, "#dbe9f6"),
        Place::Datum(datum) if source.is_input(datum) => ("input", HEIGHT / 2, "#eeeeee"),
        Place::Datum(_) => ("output", HEIGHT / 2, "#ffffff"),
    };
    let (top, middle) = (y - HEIGHT / 2, x + width / 2);
    write!(out, r#"<g class="{class}"><title>{}"#, xml(&name))?;
    write!(out, " {}</title>", xml(&detail))?;
    write!(
        out,
        r##"<rect x="{x}" y="{top}" width="{width}" height="{HEIGHT}" rx="{radius}" fill="{fill}" stroke="#666666"/>"##
    )?;
    write!(
        out,
        r#"<text x="{middle}" y="{}" text-anchor="middle" font-weight="bold">{}</text>"#,
        y - 3,
        xml(&cut(&name))
    )?;
    writeln!(
        out,
        r#"<text x="{middle}" y="{}" text-anchor="middle">{}</text></g>"#,
        y + 13,
        xml(&cut(&detail))
    )
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LETTERS {
        return line.to_owned();
    }
    line.chars().take(LETTERS - 1).chain(['…']).collect()
}

/// How wide a node's text is, in letters; those of most other scripts are wider.
fn letters(node: &Node) -> i64 {
    let wide = |line: &str| {
        let line = cut(line);
        number(line.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum())
    };
    wide(&node.name).max(wide(&node.detail))
}
