//! Rules and cases as JSON Schema, so that editors complete and check them while they are written.

/// The schema of rule files.
pub const RULES_SCHEMA: &str = include_str!("schema/rules.json");
/// The schema of files of cases.
pub const CASES_SCHEMA: &str = include_str!("schema/cases.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcullis_base::{Class, Label};
    use serde_json::Value;

    use super::*;
    use crate::{
        ask::Assurance,
        evidence::case,
        quota::Per,
        read,
        who::{KINDS, ROLES},
    };

    fn schema(text: &str) -> Value {
        serde_json::from_str(text).expect("a schema is JSON")
    }

    fn words(values: &Value) -> BTreeSet<&str> {
        values.as_array().expect("a list").iter().map(|value| value.as_str().expect("a text")).collect()
    }

    #[test]
    fn each_key_that_is_read_is_in_the_schema_and_the_other_way_round() {
        let (rules, cases) = (schema(RULES_SCHEMA), schema(CASES_SCHEMA));
        for (schema, part, keys) in [
            (&rules, "rule", read::KEYS),
            (&rules, "ask", read::demand::ASK_KEYS),
            (&rules, "step_up", read::demand::STEP_UP_KEYS),
            (&rules, "quota", read::limit::QUOTA_KEYS),
            (&rules, "cap", read::limit::CAP_KEYS),
            (&cases, "case", case::KEYS),
            (&cases, "given", case::GIVEN_KEYS),
            (&cases, "expect", case::EXPECT_KEYS),
        ] {
            let part = &schema["$defs"][part];
            let described: BTreeSet<_> =
                part["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
            assert_eq!(described, keys.iter().copied().collect(), "{keys:?}");
            assert_eq!(part["additionalProperties"], false);
        }
    }

    #[test]
    fn each_word_that_is_read_is_in_the_schema_and_the_other_way_round() {
        let (rules, cases) = (schema(RULES_SCHEMA), schema(CASES_SCHEMA));
        let rule = &rules["$defs"];
        let effects: BTreeSet<_> = ["allow", "ask", "step_up", "deny"].into();
        assert_eq!(words(&rule["rule"]["properties"]["then"]["enum"]), effects);
        assert_eq!(words(&cases["$defs"]["expect"]["properties"]["effect"]["enum"]), effects);
        let assurances = Assurance::ALL.into_iter().map(Assurance::as_str).collect();
        assert_eq!(words(&rule["ask"]["properties"]["assurance"]["enum"]), assurances);
        let per = Per::ALL.into_iter().map(Per::as_str).collect();
        assert_eq!(words(&rule["quota"]["properties"]["per"]["oneOf"][0]["enum"]), per);
        let classes = Class::ALL.iter().map(|class| format!("class:{class}"));
        let labels = Label::ALL.iter().map(|label| format!("label:{label}"));
        let what: BTreeSet<_> = classes.chain(labels).chain(["*".to_owned()]).collect();
        let described = words(&rule["what"]["anyOf"][0]["enum"]);
        assert_eq!(described.into_iter().map(ToOwned::to_owned).collect::<BTreeSet<_>>(), what);
        let given = &cases["$defs"]["given"]["properties"];
        assert_eq!(words(&given["roles"]["oneOf"][0]["enum"]), ROLES.iter().copied().collect());
        let labels = Label::ALL.iter().map(|label| label.as_str()).collect();
        assert_eq!(words(&given["labels"]["oneOf"][0]["enum"]), labels);
        let classes = Class::ALL.iter().map(|class| class.as_str()).chain(["*"]).collect();
        assert_eq!(words(&given["classes"]["oneOf"][0]["enum"]), classes);
        let who = rule["who"]["pattern"].as_str().expect("a pattern");
        let kinds = who.trim_start_matches("^(\\*|(").split(')').next().expect("the kinds").split('|');
        assert_eq!(kinds.collect::<BTreeSet<_>>(), KINDS.iter().copied().collect());
    }
}
