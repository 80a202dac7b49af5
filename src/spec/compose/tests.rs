//! What overrides what, and what is an error.

use super::*;

/// What is wrong with a file that is overridden.
fn errors(text: &str, profile: Option<&str>, sets: &[&str]) -> Vec<String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let source = Source::new("x.toml", text);
    let source = source.with_sets(&sets).with_profile(profile);
    let mut diagnostics = Diagnostics::new(source.clone());
    compose(&source, &mut diagnostics);
    let records = diagnostics.records().into_iter();
    let shown = records.map(|one| format!("{}:{}: {}", one.file, one.line, one.message));
    shown.collect()
}

/// What a file says, overridden.
fn composed(text: &str, profile: Option<&str>, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let source = Source::new("x.toml", text);
    let source = source.with_sets(&sets).with_profile(profile);
    compose(&source, &mut Diagnostics::new(source.clone())).to_string()
}

#[test]
fn include_is_a_list_of_paths() {
    let wrong = "must be a list of paths, not";
    for text in [
        "include = \"a.toml\"\n",
        "include = 7\n",
        "include = [\n7]\n",
    ] {
        let errors = errors(text, None, &[]);
        assert!(errors.len() == 1 && errors[0].contains(wrong), "{errors:?}");
    }
}

#[test]
fn values_in_braces_and_other_kinds_replace_and_keys_override() {
    let text = "[head.a]\nkind = \"linear\"\nepochs = 2\noptimizer = { kind = \"sgd\", lr = 0.1 }\n\
                [profile.inner.head.a]\noptimizer.lr = 0.2\n\
                [profile.whole.head.a]\noptimizer = { lr = 0.2 }\n\
                [profile.other.head.a]\nkind = \"ridge\"\n\
                [profile.new.head.b]\nkind = \"ridge\"\n";
    let head = |inner: &str| format!("{{\"head\"={{\"a\"={{{inner}}},}},}}");
    let a = "\"epochs\"=2,\"kind\"=\"linear\",\"optimizer\"={\"kind\"=\"sgd\",\"lr\"=0.2,},";
    assert_eq!(composed(text, Some("inner"), &[]), head(a));
    assert_eq!(composed(text, None, &["head.a.optimizer.lr=0.2"]), head(a));
    let a = "\"epochs\"=2,\"kind\"=\"linear\",\"optimizer\"={\"lr\"=0.2,},";
    assert_eq!(composed(text, Some("whole"), &[]), head(a));
    assert_eq!(
        composed(text, Some("other"), &[]),
        head("\"kind\"=\"ridge\",")
    );
    assert!(composed(text, Some("new"), &[]).contains("\"b\"={\"kind\"=\"ridge\",}"));
    // The later of two wins.
    let twice = composed(text, None, &["head.a.epochs=3", "head.a.epochs=4"]);
    assert!(twice.contains("\"epochs\"=4"), "{twice}");
}

#[test]
fn what_overrides_nothing_is_an_error() {
    let text = "[head.a]\nepochs = 2\n[profile.x.head.b]\nepochs = 1\n";
    assert_eq!(errors(text, None, &[]), [] as [&str; 0]);
    assert_eq!(
        errors(text, Some("x"), &[]),
        ["x.toml:3: profile `x` overrides head `b`, which the file does not have"]
    );
    assert_eq!(
        errors(text, None, &["head.a.epochs=1", "seeds=1"]),
        ["--set:1: `seeds` of `--set` stands in no node, so that it overrides nothing"]
    );
    assert_eq!(
        errors(text, Some("y"), &[]),
        ["x.toml:1: the file has no profile `y`"]
    );
    assert_eq!(profiles(&Source::new("x.toml", text)), ["x"]);
}

#[test]
fn what_is_overridden_has_a_name_and_a_report_of_its_own() {
    let text = "[experiment]\nname = \"n\"\n[report]\n[profile.p.report]\n[profile.q.report]\noutput = \"q.md\"\n";
    let has = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{text} has no {part}");
        }
    };
    has(
        &composed(text, None, &[]),
        &["\"name\"=\"n\"", "\"report\"={}"],
    );
    has(
        &composed(text, Some("p"), &[]),
        &[
            "\"n-p\"",
            "\"n (profile p)\"",
            "\"output\"=\"reports/p/n.md\"",
        ],
    );
    has(
        &composed(text, Some("q"), &[]),
        &["\"n-q\"", "\"output\"=\"q.md\""],
    );
    has(
        &composed(text, Some("p"), &["experiment.seeds=[1]"]),
        &[
            "\"n-p-set-",
            "\"n (profile p, experiment.seeds = [1])\"",
            "\"reports/p/set-",
        ],
    );
    // Without `[report]` there is none.
    let bare = composed(
        "[experiment]\nname = \"n\"\n",
        None,
        &["experiment.seeds=[1]"],
    );
    assert!(!bare.contains("report"), "{bare}");
}
