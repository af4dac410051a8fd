//! `{parameters.NAME}` in configuration values.
//!
//! A value that is nothing else becomes the parameter's value, whatever that is; inside of
//! a longer text it becomes text. What was put in is not looked at again.

use std::collections::BTreeMap;

use super::{ConfigValue, FaultKind, part::names};

const START: &str = "{parameters.";

/// The parameters that a value uses.
pub(super) fn used(value: &ConfigValue) -> impl Iterator<Item = &str> {
    let mut rest = match value {
        ConfigValue::String(text) => text.as_str(),
        _ => "",
    };
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(START)?;
        let (name, after) = after.split_once('}')?;
        rest = after;
        Some(name)
    })
}

/// The value with all parameters put in.
pub(super) fn put_in(
    value: &ConfigValue,
    parameters: &BTreeMap<String, ConfigValue>,
) -> Result<ConfigValue, FaultKind> {
    let ConfigValue::String(text) = value else { return Ok(value.clone()) };
    let mut filled = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(START) {
        let Some((name, after)) = after.split_once('}').filter(|(name, _)| !name.is_empty()) else {
            return Err(FaultKind::ParameterSyntax(text.clone()));
        };
        let value = parameters.get(name).ok_or_else(|| FaultKind::NoSuch {
            what: "parameter",
            name: name.to_owned(),
            known: names(parameters.keys()),
        })?;
        if before.is_empty() && after.is_empty() && filled.is_empty() {
            return Ok(value.clone());
        }
        filled.push_str(before);
        filled.push_str(&value.to_string());
        rest = after;
    }
    filled.push_str(rest);
    Ok(ConfigValue::String(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_put_in_once() {
        let parameters = BTreeMap::from([
            ("n".to_owned(), ConfigValue::Integer(3)),
            ("text".to_owned(), ConfigValue::String("{parameters.n}".to_owned())),
        ]);
        let put = |text: &str| {
            let value = ConfigValue::String(text.to_owned());
            put_in(&value, &parameters).map_err(|fault| fault.to_string())
        };
        let text = |text: &str| Ok(ConfigValue::String(text.to_owned()));
        assert_eq!(put("{parameters.n}"), Ok(ConfigValue::Integer(3)));
        assert_eq!(put("{parameters.n}{parameters.n}"), text("33"));
        assert_eq!(put("-{parameters.n}-"), text("-3-"));
        assert_eq!(put("{parameters.text}"), text("{parameters.n}"));
        assert_eq!(put("{n} {parameter.n} }"), text("{n} {parameter.n} }"));
        assert_eq!(
            put("{parameters.m}"),
            Err("there is no parameter `m`; there is n, text".to_owned())
        );
        for bad in ["{parameters.n", "{parameters.}"] {
            let expected = format!("`{{parameters.` without a name and `}}` in {bad:?}");
            assert_eq!(put(bad), Err(expected));
        }
        let value = ConfigValue::String("{parameters.a}, {parameters.b}".to_owned());
        assert_eq!(used(&value).collect::<Vec<_>>(), ["a", "b"]);
    }
}
