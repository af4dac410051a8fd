//! Two universes side by side.

use pantler_core::{Element, Universe};

/// The first thing in which the universe `theirs` of a repository differs from `ours`, with
/// which a workspace was made; `None` if they are the same.
pub(super) fn difference(theirs: &Universe, ours: &Universe) -> Option<String> {
    if theirs == ours {
        return None;
    }
    if theirs.name() != ours.name() {
        return Some(format!("it is called {}, not {}", theirs.name(), ours.name()));
    }
    let has = |universe: &Universe, element: &Element| {
        universe.elements().iter().any(|known| known.name == element.name)
    };
    if let Some(element) = ours.elements().iter().find(|element| !has(theirs, element)) {
        return Some(format!("it has no element {}", element.name));
    }
    if let Some(element) = theirs.elements().iter().find(|element| !has(ours, element)) {
        return Some(format!("it has an element {} besides", element.name));
    }
    let pairs = ours.elements().iter().filter_map(|element| {
        let other = theirs.elements().iter().find(|other| other.name == element.name)?;
        Some((element, other))
    });
    for (ours, theirs) in pairs {
        if let Some(what) = of_element(theirs, ours) {
            return Some(format!("the element {} has {what}", ours.name));
        }
    }
    Some("its elements have another order".to_owned())
}

fn of_element(theirs: &Element, ours: &Element) -> Option<String> {
    if theirs.key != ours.key {
        return Some("a key of another type".to_owned());
    }
    if theirs.requires != ours.requires {
        return Some("other required dimensions".to_owned());
    }
    if theirs.implies != ours.implies {
        return Some("other implied dimensions".to_owned());
    }
    if let Some(field) = ours.metadata.iter().find(|field| !theirs.metadata.contains(field)) {
        return Some(format!("no metadata {}, or of another type", field.name));
    }
    (theirs != ours).then(|| "other metadata".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universe(elements: &str) -> Universe {
        let text = format!("version: 1\nname: u\nelements:\n{elements}");
        Universe::from_yaml(&text).unwrap()
    }

    #[test]
    fn the_first_difference_is_named() {
        let ours = universe("  a: {key: string}\n  b: {key: integer, requires: [a]}\n");
        let says = |elements: &str| difference(&universe(elements), &ours);
        assert_eq!(says("  a: {key: string}\n  b: {key: integer, requires: [a]}\n"), None);
        for (elements, expected) in [
            ("  a: {key: string}\n", "it has no element b"),
            (
                "  a: {key: integer}\n  b: {key: integer, requires: [a]}\n",
                "the element a has a key",
            ),
            ("  a: {key: string}\n  b: {key: integer}\n", "the element b has other required"),
            (
                "  a: {key: string}\n  b: {key: integer, requires: [a]}\n  c: {key: string}\n",
                "it has an element c besides",
            ),
        ] {
            let said = says(elements).unwrap();
            assert!(said.contains(expected), "{said}");
        }
    }
}
