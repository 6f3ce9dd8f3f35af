//! The worked policies of the guide, tried on their cases.

use std::{fs, path::Path};

use portcullis_policy::{Bundle, Definitions, Source, Weight, World, cases};

/// The YAML blocks of a piece of Markdown.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("it ends")).collect()
}

#[test]
fn worked_policies_of_the_guide_do_what_their_cases_say() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/policy.md");
    let guide = fs::read_to_string(guide).expect("the guide is there");
    let (before, worked) = guide.split_once("## Worked policies").expect("the chapter is there");
    let example = blocks(before);
    Bundle::load(&[Source { name: "guide", text: example[0] }]).expect("the example is a rule");
    let sections: Vec<_> = worked.split("\n### ").skip(1).collect();
    assert_eq!(sections.len(), 20);
    for section in sections {
        let name = section.lines().next().expect("a title");
        let [rules, tried] = blocks(section)[..] else { panic!("{name}: rules, then cases") };
        let bundle = Bundle::load(&[Source { name, text: rules }]).unwrap_or_else(|faults| panic!("{faults:?}"));
        let mistakes = bundle.check(&Definitions::default());
        let mistakes: Vec<_> = mistakes.iter().filter(|finding| finding.weight == Weight::Fault).collect();
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let cases = cases(&Source { name, text: tried }).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert!(!cases.is_empty(), "{name}");
        for case in cases {
            let failures = case.run(&bundle, &World::empty()).failures;
            assert!(failures.is_empty(), "{name}, {}: {failures:?}", case.name);
        }
        // The cases are about the rules: without them, some of it comes out in another way.
        let none = Bundle::default();
        let again = self::again(name, tried);
        assert!(again.iter().any(|case| !case.run(&none, &World::empty()).failures.is_empty()), "{name}");
    }
}

fn again(name: &str, text: &str) -> Vec<portcullis_policy::Case> {
    cases(&Source { name, text }).expect("they were read before")
}
