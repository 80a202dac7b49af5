//! `repro schema`: every shipped experiment is valid by it, and a key that is misspelt is not.

use serde_json::Value;

use crate::fixture::{CliTest, root, walk};

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}

/// Whether a number, or the length of a list, is beyond a bound.
fn is_beyond(word: &str, bound: f64, value: &Value) -> bool {
    let length = |value: &Value| value.as_array().map(|items| items.len() as f64);
    let (number, length) = (value.as_f64(), length(value));
    match word {
        "minimum" => number.is_some_and(|number| number < bound),
        "maximum" => number.is_some_and(|number| number > bound),
        "exclusiveMinimum" => number.is_some_and(|number| number <= bound),
        "exclusiveMaximum" => number.is_some_and(|number| number >= bound),
        "minItems" => length.is_some_and(|length| length < bound),
        "maxItems" => length.is_some_and(|length| length > bound),
        other => panic!("unknown bound {other}"),
    }
}

/// Why a value is not valid by a schema: the path of the first value that is not. Knows the words that `repro schema` writes, and fails at others.
fn invalid(whole: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
    let fails = |why: &str| Some(format!("{path}: {why}"));
    for (word, given) in schema.as_object().unwrap() {
        let holds = |schema: &Value| invalid(whole, schema, value, path).is_none();
        let found = match word.as_str() {
            "required" => value.as_object().and_then(|table| {
                let mut names = given.as_array().unwrap().iter();
                let name = names.find(|name| !table.contains_key(name.as_str().unwrap()))?;
                Some(format!("{path}: without {name}"))
            }),
            "not" if holds(given) => fails("what it must not be"),
            "if" if holds(given) => invalid(whole, &schema["then"], value, path),
            "allOf" => {
                let mut all = given.as_array().unwrap().iter();
                all.find_map(|one| invalid(whole, one, value, path))
            }
            "$ref" => {
                let pointer = given.as_str().unwrap().strip_prefix('#').unwrap();
                let inner = whole.pointer(pointer).unwrap();
                invalid(whole, inner, value, path)
            }
            "type" if !is_of_type(given.as_str().unwrap(), value) => fails("another type"),
            "const" if given != value => fails("another value"),
            "enum" if !given.as_array().unwrap().contains(value) => fails("not in the list"),
            "not" | "if" | "then" | "type" | "const" | "enum" | "$schema" | "title"
            | "description" | "$defs" => None,
            "anyOf" => {
                let all = given.as_array().unwrap().iter();
                let found: Option<Vec<String>> =
                    all.map(|one| invalid(whole, one, value, path)).collect();
                // The alternative that reads deepest says what is wrong.
                found.and_then(|found| found.into_iter().max_by_key(String::len))
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minItems"
            | "maxItems" => is_beyond(word, given.as_f64().unwrap(), value)
                .then(|| format!("{path}: beyond {word}")),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                let mut found = items.filter_map(|(index, item)| {
                    invalid(whole, given, item, &format!("{path}[{index}]"))
                });
                found.next()
            }
            "properties" => {
                let entries = value.as_object().into_iter().flatten();
                let mut found = entries.filter_map(|(key, value)| {
                    invalid(whole, given.get(key)?, value, &format!("{path}.{key}"))
                });
                found.next()
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let entries = value.as_object().into_iter().flatten();
                let mut others =
                    entries.filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                match given {
                    Value::Bool(false) => others
                        .next()
                        .map(|(key, _)| format!("{path}: unknown key {key}")),
                    inner => {
                        let mut found = others.filter_map(|(key, value)| {
                            invalid(whole, inner, value, &format!("{path}.{key}"))
                        });
                        found.next()
                    }
                }
            }
            other => panic!("unknown word {other} of the schema"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn schema() -> Value {
    CliTest::new().run(&["schema"]).expect_code(0).json()
}

/// Why a text is not valid.
fn check(schema: &Value, text: &str) -> Option<String> {
    let value: Value = toml::from_str(text).unwrap();
    invalid(schema, schema, &value, "file")
}

#[test]
fn shipped_experiments_and_good_cases_are_valid() {
    let schema = schema();
    let mut files = walk(&root().join("experiments"));
    files.extend(walk(&root().join("templates/init")));
    files.extend(
        walk(&root().join("tests/suite/cases/check"))
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                name.starts_with("good") || name.starts_with("warning")
            }),
    );
    let files = files.into_iter();
    let files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .filter(|path| !path.ends_with("repro.toml"))
        .collect();
    // The files of `experiments/parts` are among them.
    assert!(files.len() > 30, "{}", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(check(&schema, &text), None, "{}", file.display());
    }
}

#[test]
fn what_is_misspelt_or_out_of_range_is_not_valid() {
    let schema = schema();
    let good = include_str!("cases/check/good.toml");
    assert_eq!(check(&schema, good), None);
    for (from, to) in [
        ("epochs   =", "epohcs   ="),
        ("epochs   = 2", "epochs   = 0"),
        ("epochs   = 2", "epochs   = \"two\""),
        ("epochs   = 2", "epochs   = [2, 0]"),
        ("timestep =", "timesteps ="),
        ("preset  =", "presets  ="),
        ("root =", "folder ="),
        ("\"linear\"", "\"liner\""),
        ("[head.probe]", "[heads.probe]"),
        ("[experiment]\n", "seeds = [0]\n[experiment]\n"),
        ("name = \"case\"", "nam = \"case\""),
        ("columns =", "column ="),
        ("output =", "file ="),
        ("weights = { synthetic = 1 }", "weights = { synthetc = 1 }"),
        (
            "weights = { synthetic = 1 }",
            "weights = { synthetic = -1 }",
        ),
        ("weights = { synthetic = 1 }", "weights = 1"),
        ("weights = { synthetic = 1 }", ""),
        ("features = ", "concat = "),
        ("name = \"case\"", ""),
        ("epochs   = 2", "optimizer = { lr = \"low\" }"),
        ("epochs   = 2", "optimizer = { rate = 1 }"),
        ("epochs   = 2", "optimizer = { lr = [1e-2, 1e-3] }"),
        ("pool     =", "preprocess = [{ resize = 0 }]\npool     ="),
        (
            "pool     =",
            "preprocess = [{ filter = \"bicubic\" }]\npool     =",
        ),
        ("pool     =", "preprocess = [{ resise = 32 }]\npool     ="),
        ("pool     =", "preprocess = \"center\"\npool     ="),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        assert!(check(&schema, &bad).is_some(), "{to}");
        let profile = format!("{good}\n[profile.smoke.head.probe]\nepohcs = 1\n");
        assert!(check(&schema, &profile).is_some());
    }
    let profile = format!("{good}\n[profile.smoke.head.probe]\nepochs = 1\n");
    assert_eq!(check(&schema, &profile), None);
}
