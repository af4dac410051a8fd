//! Text of a graph inside the text of a format. Values of data IDs are any text
//! without control characters.

use std::fmt::Write as _;

/// For content and attribute values of XML. What XML 1.0 cannot hold becomes U+FFFD.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // Written as they are, a reader would take them for spaces.
            '\t' | '\n' | '\r' => number(&mut escaped, "&#", c),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// For a string in double quotes of DOT, where `\n`, `\N` and the like mean something.
pub(super) fn dot(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            // Graphviz takes these for HTML's, even in plain strings.
            '&' => escaped.push_str("&amp;"),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// For a string in double quotes of Mermaid, which has numbers of characters only.
pub(super) fn mermaid(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '\'' | '`' | '\\' | '%' | ';' | '\u{2028}'
            | '\u{2029}' => number(&mut escaped, "#", c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn number(escaped: &mut String, start: &str, c: char) {
    write!(escaped, "{start}{};", u32::from(c)).expect("a string takes text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_escaped() {
        let text = "<&\">'\\ #1;";
        assert_eq!(xml(text), "&lt;&amp;&quot;&gt;&apos;\\ #1;");
        assert_eq!(dot(text), "<&amp;\\\">'\\\\ #1;");
        assert_eq!(mermaid(text), "#60;#38;#34;#62;#39;#92; #35;1#59;");
        assert_eq!(xml("a\nb\u{1}\u{ffff}é"), "a&#10;b\u{fffd}\u{fffd}é");
        assert_eq!(dot("a\nb\u{1}"), "a\\nb\u{fffd}");
        assert_eq!(mermaid("a\u{2028}b\nc"), "a#8232;b\u{fffd}c");
    }
}
