//! Patterns of files: `data/{city}/{month}.csv`.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_core::ElementName;

/// A path with a placeholder for each dimension of a dataset type.
///
/// A placeholder stands for one or more characters inside one part of the path;
/// where several fit, the first takes as little as possible. `*` stands for any
/// characters inside one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern {
    text: String,
    parts: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Dimension(String),
    Any,
}

/// A file that fits, with the texts of its dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchedFile {
    /// The file.
    pub path: Utf8PathBuf,
    /// Dimension → text.
    pub values: BTreeMap<String, String>,
}

impl FilePattern {
    /// Checks a pattern: every dimension stands in it once, and nothing else.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str, dimensions: &[ElementName]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut seen = BTreeSet::new();
        for part in text.split('/') {
            parts.push(parse_part(part, &mut seen)?);
        }
        for name in &seen {
            if !dimensions.iter().any(|d| d.as_str() == name) {
                return Err(format!("`{{{name}}}` is not one of the dimensions"));
            }
        }
        for dimension in dimensions {
            if !seen.contains(dimension.as_str()) {
                return Err(format!("it has no `{{{dimension}}}`"));
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Finds the files below `dir` that fit, in the order of their paths.
    ///
    /// # Errors
    /// The folder that cannot be listed, and why.
    pub fn find(&self, dir: &Utf8Path) -> Result<Vec<MatchedFile>, (Utf8PathBuf, std::io::Error)> {
        let mut found = Vec::new();
        descend(dir.to_owned(), &self.parts, &BTreeMap::new(), &mut found)?;
        Ok(found)
    }
}

fn parse_part(part: &str, seen: &mut BTreeSet<String>) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}', '*']) {
        if at > 0 {
            pieces.push(Piece::Literal(rest[..at].to_owned()));
        }
        match rest.as_bytes()[at] {
            b'*' => {
                pieces.push(Piece::Any);
                rest = &rest[at + 1..];
            }
            b'{' => {
                let end = rest[at..].find('}').ok_or("a `{` has no `}`")? + at;
                let name = &rest[at + 1..end];
                if !seen.insert(name.to_owned()) {
                    return Err(format!("`{{{name}}}` stands in it twice"));
                }
                pieces.push(Piece::Dimension(name.to_owned()));
                rest = &rest[end + 1..];
            }
            _ => return Err("a `}` has no `{`".to_owned()),
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

fn descend(
    at: Utf8PathBuf,
    parts: &[Vec<Piece>],
    values: &BTreeMap<String, String>,
    found: &mut Vec<MatchedFile>,
) -> Result<(), (Utf8PathBuf, std::io::Error)> {
    let Some((part, deeper)) = parts.split_first() else {
        if at.is_file() {
            found.push(MatchedFile { path: at, values: values.clone() });
        }
        return Ok(());
    };
    if let [Piece::Literal(name)] = &part[..] {
        return descend(at.join(name), deeper, values, found);
    }
    if part.is_empty() {
        return descend(at.join("/"), deeper, values, found);
    }
    let entries = match at.read_dir_utf8() {
        Ok(entries) => entries,
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(e) => return Err((at, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| (at.clone(), e))?;
        names.push(entry.file_name().to_owned());
    }
    names.sort();
    for name in names {
        let mut deeper_values = values.clone();
        if matches(part, &name, &mut deeper_values) {
            descend(at.join(&name), deeper, &deeper_values, found)?;
        }
    }
    Ok(())
}

/// Whether `text` fits `pieces`; the values of dimensions go into `values`.
fn matches(pieces: &[Piece], text: &str, values: &mut BTreeMap<String, String>) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return text.is_empty() };
    match piece {
        Piece::Literal(literal) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| matches(rest, text, values))
        }
        Piece::Any => ends(text, 0).any(|end| matches(rest, &text[end..], values)),
        Piece::Dimension(name) => ends(text, 1).any(|end| {
            values.insert(name.clone(), text[..end].to_owned());
            matches(rest, &text[end..], values)
        }),
    }
}

/// The character boundaries of `text` that leave at least `min` characters before them.
fn ends(text: &str, min: usize) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(i, _)| i).chain([text.len()]).skip(min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(names: &[&str]) -> Vec<ElementName> {
        names.iter().map(|n| ElementName::new(n).expect("a name")).collect()
    }

    #[test]
    fn placeholders_take_values() {
        let pattern = FilePattern::parse("{city}-{month}.csv", &dimensions(&["city", "month"]))
            .expect("a pattern");
        let mut values = BTreeMap::new();
        assert!(matches(&pattern.parts[0], "san-jose-01.csv", &mut values));
        assert_eq!(values["city"], "san");
        assert_eq!(values["month"], "jose-01");
        assert!(!matches(&pattern.parts[0], "-01.csv", &mut BTreeMap::new()));
        assert!(!matches(&pattern.parts[0], "oslo-01.txt", &mut BTreeMap::new()));
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| FilePattern::parse(text, &dimensions(&["city"])).map(|_| ());
        assert_eq!(fault("a.csv"), Err("it has no `{city}`".to_owned()));
        assert_eq!(
            fault("{city}/{day}.csv"),
            Err("`{day}` is not one of the dimensions".to_owned())
        );
        assert_eq!(fault("{city}/{city}"), Err("`{city}` stands in it twice".to_owned()));
        assert_eq!(fault("{city"), Err("a `{` has no `}`".to_owned()));
    }

    #[test]
    fn files_are_found_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(dir.path()).expect("UTF-8");
        for path in ["data/oslo/02.csv", "data/oslo/01.csv", "data/bergen/01.csv", "data/x.txt"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::File::create(path).expect("a file");
        }
        let pattern =
            FilePattern::parse("data/{city}/{month}.csv", &dimensions(&["city", "month"]))
                .expect("a pattern");
        let found = pattern.find(root).expect("listed");
        let paths: Vec<_> =
            found.iter().map(|f| f.path.strip_prefix(root).expect("below").as_str()).collect();
        assert_eq!(paths, ["data/bergen/01.csv", "data/oslo/01.csv", "data/oslo/02.csv"]);
    }
}
