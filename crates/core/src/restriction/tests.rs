use proptest::prelude::*;

use super::*;

fn universe() -> Universe {
    Universe::from_yaml(
        "
version: 1
name: test
elements:
  instrument: {key: string}
  visit: {key: integer, requires: [instrument]}
  night: {key: integer}
",
    )
    .expect("it reads")
}

fn holds(text: &str, instrument: &str, visit: i64) -> bool {
    let restriction = Restriction::parse(text, &universe()).expect(text);
    // What is printed reads as the same.
    let again = Restriction::parse(&restriction.to_string(), &universe()).expect("it was printed");
    let values = [
        ("instrument", KeyValue::String(instrument.into())),
        ("visit", KeyValue::Integer(visit)),
        ("night", KeyValue::Integer(visit / 10)),
    ];
    let value =
        |name: &ElementName| values.iter().find(|(n, _)| *n == name.as_str()).map(|(_, v)| v);
    let all = |r: &Restriction| r.parts().iter().all(|part| part.holds(&value));
    assert_eq!(all(&restriction), all(&again), "{restriction} and {again}");
    all(&restriction)
}

#[test]
fn comparisons_words_and_ranges() {
    assert!(holds("visit = 3", "cam", 3));
    assert!(!holds("visit <> 3", "cam", 3));
    assert!(holds("visit >= 3 and instrument == 'cam'", "cam", 3));
    assert!(holds("NOT visit IN (1, 5..9:2)", "cam", 6));
    assert!(holds("visit not in (1, 5..9:2)", "cam", 8));
    assert!(holds("visit IN (1, 5..9:2)", "cam", 9));
    assert!(holds("visit in (-3..-1)", "cam", -2));
    assert!(holds("(visit < 3 or visit > 5) and not (night = 1)", "cam", 7));
    assert!(!holds("(visit < 3 or visit > 5) and not (night = 0)", "cam", 7));
    assert!(holds("instrument in ('it''s', 'x')", "it's", 0));
    assert!(holds("visit = 1 or visit = 2 and night = 0", "cam", 1));
    assert!(holds("visit in (-9223372036854775808..9223372036854775807:7)", "c", i64::MIN + 7));
}

#[test]
fn parts_name_their_dimensions() -> Result<(), RestrictionError> {
    let text = "visit > 1 and (night = 2 or instrument = 'a') and instrument != 'b'";
    let restriction = Restriction::parse(text, &universe())?;
    let names: Vec<Vec<&str>> = restriction
        .parts()
        .iter()
        .map(|part| part.dimensions().iter().map(ElementName::as_str).collect())
        .collect();
    assert_eq!(names, [vec!["visit"], vec!["instrument", "night"], vec!["instrument"]]);
    Ok(())
}

#[test]
fn what_cannot_be_read_is_shown() {
    let shown = |text: &str| match Restriction::parse(text, &universe()) {
        Ok(read) => panic!("{text} was read as {read}"),
        Err(error) => error.to_string(),
    };
    insta::assert_snapshot!(shown("visit > 3 ant night = 2"), @"
    expected AND, OR or the end here
      visit > 3 ant night = 2
                ^
    ");
    insta::assert_snapshot!(shown("vist = 3"), @"
    no dimension is called `vist`; there are instrument, visit, night
      vist = 3
      ^
    ");
    insta::assert_snapshot!(shown("instrument = cam"), @"
    put quotes around it: 'cam'
      instrument = cam
                   ^
    ");
    insta::assert_snapshot!(shown("visit = 'x'"), @r#"
    `visit`: expected an integer, found "x"
      visit = 'x'
              ^
    "#);
    insta::assert_snapshot!(shown("night in (3..1)"), @"
    the range ends before it begins, at 3
      night in (3..1)
                   ^
    ");
    insta::assert_snapshot!(shown("(visit = 1"), @"
    expected `)`, AND or OR here
      (visit = 1
                ^
    ");
    insta::assert_snapshot!(shown("instrument = 'ü' and visit = 'open"), @"
    this string has no end
      instrument = 'ü' and visit = 'open
                                   ^
    ");
    insta::assert_snapshot!(shown(""), @"
    expected the name of a dimension here
      
      ^
    ");
    insta::assert_snapshot!(shown("visit = 99999999999999999999"), @"
    expected a number
      visit = 99999999999999999999
              ^
    ");
    assert!(shown(&"(".repeat(100_000)).contains("nests deeper"));
    assert!(shown(&"not ".repeat(100_000)).contains("nests deeper"));
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in r"[a-z0-9 '()<>=!.,:\-é\n]{0,60}") {
        if let Err(error) = Restriction::parse(&text, &universe()) {
            prop_assert!(error.to_string().contains('^'));
        }
    }
}
