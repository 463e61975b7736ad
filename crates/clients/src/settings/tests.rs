//! Any document comes back as it was when what was put in is taken out again.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn is_ours(value: &Value) -> bool {
    value["command"].as_str().is_some_and(|command| command.ends_with("/wfr")) || value.as_str() == Some("/our -c")
}

fn entries(program: &str) -> Vec<Entry> {
    let handler = json!({"type": "command", "command": program, "args": ["hook"]});
    let element =
        |path: [&'static str; 2], value: Value| Entry { path: path.to_vec(), value, kind: Kind::Element, is_ours };
    vec![
        Entry { path: vec!["env", "PREFIX"], value: json!("/our -c"), kind: Kind::Value, is_ours },
        element(["hooks", "Pre"], json!({"hooks": [handler]})),
        element(["hooks", "Post"], json!({"hooks": [handler]})),
        element(["flat", "Pre"], handler.clone()),
    ]
}

fn with(text: &str) -> Attached {
    attach(text, &entries("/a/wfr"), false).unwrap_or_else(|wrong| panic!("{wrong}: {text}"))
}

fn without(text: &str, attached: &Attached) -> String {
    detach(text, &entries("/a/wfr"), &attached.before).unwrap().text
}

/// Attaches, looks that all is there once, and detaches.
fn there_and_back(text: &str) -> String {
    let attached = with(text);
    let value: Value = serde_json::from_str(without_comments(&attached.text).trim_start_matches('\u{feff}')).unwrap();
    assert_eq!(value["env"]["PREFIX"], "/our -c", "{}", attached.text);
    let again = with(&attached.text);
    assert_eq!((&again.text, again.changed.len(), again.before.made.len()), (&attached.text, 0, 0));
    assert_eq!(missing(&attached.text, &entries("/a/wfr")).unwrap(), Vec::<String>::new());
    without(&attached.text, &attached)
}

#[test]
fn bytes_come_back_in_any_layout() {
    for text in [
        "{}",
        "{\"a\":1}",
        "{ \"a\": [ 1,2 ], \"b\":{} }\n",
        "{\n  \"a\": 1\n}\n",
        "{\n\t\"env\": {\n\t\t\"X\": \"y\"\n\t},\n\t\"hooks\": {\n\t\t\"Pre\": []\n\t}\n}",
        "{\r\n    \"hooks\": {\r\n        \"Pre\": [{\"matcher\": \"Bash\", \"hooks\": []}]\r\n    }\r\n}\r\n",
        "\u{feff}{\n  \"a\": \"\\u00e4 \\\" {[\"\n}\n",
        "{\"hooks\":{},\"env\":{},\"flat\":{\"Pre\":[]}}",
        "{\"hooks\":{ \"Pre\": [ ],\"Post\":[\n\n]},\"env\":{ },\"flat\":{\t\"Pre\":[\r\n]}}",
        "{\n}\n",
        "{\n  \"n\": 12345678901234567890123, \"m\": 0.10, \"same\": 1, \"same\": 2\n}",
        "",
        " \n\t\n",
        "{ // mine \" {\n  /* and ä\n this */ \"a\": \"// none\" // too\n}\n// end",
        "{\n  // one\n  \"a\": 1, // of a\n\n  // two\n  \"b\": 2 // of b\n  // last\n}\n",
        "{\n  // nothing yet\n}\n",
        "{\"hooks\": { /* none */ \"Pre\": [ // none\n ] }, /* one */ \"b\": 1}",
    ] {
        assert_eq!(there_and_back(text), text);
    }
    let attached = with("{\r\n  \"a\": 1\r\n}");
    assert!(!attached.text.replace("\r\n", "").contains('\n'), "one kind of line end: {:?}", attached.text);
    assert_eq!(with("").text.lines().nth(1), Some("  \"env\": {"));
}

#[test]
fn what_others_wrote_around_ours_stays() {
    let attached = with("{}");
    let mut value: Value = serde_json::from_str(&attached.text).unwrap();
    value["env"]["MINE"] = json!("1");
    value["hooks"]["Pre"][0]["hooks"].as_array_mut().unwrap().push(json!({"command": "mine"}));
    value["hooks"]["Post"].as_array_mut().unwrap().insert(0, json!({"matcher": "X", "hooks": [{"command": "b"}]}));
    let edited = serde_json::to_string_pretty(&value).unwrap();
    let left: Value = serde_json::from_str(&without(&edited, &attached)).unwrap();
    assert_eq!(
        left,
        json!({"env": {"MINE": "1"}, "hooks": {
            "Pre": [{"hooks": [{"command": "mine"}]}],
            "Post": [{"matcher": "X", "hooks": [{"command": "b"}]}],
        }})
    );
}

#[test]
fn an_entry_of_before_is_brought_up_to_date_and_one_that_takes_less_is_not_enough() {
    let old = attach("{\"a\": 1}", &entries("/old/wfr"), false).unwrap();
    let new = with(&old.text);
    assert_eq!(new.changed.len(), 3);
    assert!(!new.text.contains("/old/wfr"));
    assert_eq!(without(&new.text, &old), "{\"a\": 1}");
    let mine = "{\"hooks\": {\"Pre\": [{\"matcher\": \"Bash\", \"hooks\": [{\"command\": \"/a/wfr\", \"args\": [\"hook\"]}]}]}}";
    let attached = with(mine);
    let value: Value = serde_json::from_str(&attached.text).unwrap();
    assert_eq!(value["hooks"]["Pre"].as_array().unwrap().len(), 2);
    assert_eq!(value["hooks"]["Pre"][0], json!({"matcher": "Bash", "hooks": []}));
    // Who sets more about ours may.
    let longer = with("{}").text.replace("\"args\": [\n", "\"timeout\": 5, \"args\": [\n");
    assert_eq!(with(&longer).text, longer);
}

#[test]
fn what_is_somebody_elses_is_not_lost() {
    let text = "{\n  \"env\": {\n    \"PREFIX\": \"/theirs -x\"\n  }\n}\n";
    let refused = attach(text, &entries("/a/wfr"), false).unwrap_err();
    assert_eq!(
        (refused.line, &refused.why),
        (3, &Why::Foreign { at: "env.PREFIX".into(), value: "/theirs -x".into() })
    );
    let attached = attach(text, &entries("/a/wfr"), true).unwrap();
    assert_eq!(without(&attached.text, &attached), text);
    assert_eq!(detach(text, &entries("/a/wfr"), &Before::default()).unwrap().text, text);
}

#[test]
fn comments_that_came_since_stay() {
    let attached = with("{\n  \"a\": 1\n}\n");
    let edited = attached.text.replace("\"env\"", "// of env\n  \"env\"").replace("\"Pre\"", "// of Pre\n  \"Pre\"");
    let edited = edited.replace("/our -c\"", "/our -c\" // is wfr's");
    let left = without(&edited, &attached);
    for comment in ["// of env", "// of Pre", "// is wfr's"] {
        assert!(left.contains(comment), "{left}");
    }
    let value: Value = serde_json::from_str(&without_comments(&left)).unwrap_or_else(|error| panic!("{error}: {left}"));
    assert_eq!(value["a"], 1);
    assert!(!left.contains("PREFIX") && !left.contains("/a/wfr"), "{left}");
}

#[test]
fn comments_are_refused_for_who_reads_none() {
    for (text, line) in [("{\n  // mine\n  \"a\": 1\n}", 2), ("{\n  \"a\": 1 /* mine */\n}", 2)] {
        assert_eq!(refuse_comments(text).unwrap_err(), Wrong { line, why: Why::Comment });
    }
    assert_eq!(refuse_comments("{\"a\": \"// \\\" /* \"}"), Ok(()));
}

#[test]
fn what_every_document_has_goes_where_it_was_put_in() {
    let handler = json!({"command": "/a/wfr"});
    let entries = [
        Entry { path: vec!["version"], value: json!(1), kind: Kind::Frame, is_ours: |_| false },
        Entry { path: vec!["hooks", "Pre"], value: handler, kind: Kind::Element, is_ours },
    ];
    for text in
        ["", " ", "{}", "{\"a\":1}", "{\"hooks\":{\"Pre\":[]}}", "{\"version\":1}", "{\"version\": 1, \"hooks\": {}}"]
    {
        let attached = attach(text, &entries, false).unwrap();
        assert_eq!(detach(&attached.text, &entries, &attached.before).unwrap().text, text);
    }
    // Who has hooks of his own now needs it.
    let attached = attach("{}", &entries, false).unwrap();
    let used = attached.text.replace("\"Pre\"", "\"Stop\": [{\"command\": \"bell\"}],\n\"Pre\"");
    let left: Value = serde_json::from_str(&detach(&used, &entries, &attached.before).unwrap().text).unwrap();
    assert_eq!(left, json!({"version": 1, "hooks": {"Stop": [{"command": "bell"}]}}));
}

#[test]
fn what_cannot_be_merged_is_named_with_its_line() {
    let deep = format!("{{\n\"a\": {}{}\n}}", "[".repeat(130), "]".repeat(130));
    for (text, line, why) in [
        ("{\n  \"a\": 1,\n}", 3, Why::Syntax("key must be a string".into())),
        ("{\n  \"a\": 1", 2, Why::Syntax("EOF while parsing an object".into())),
        ("[]", 1, Why::Unsuitable { at: "the whole".into(), wanted: "an object" }),
        ("{\n\n\"env\": []}", 3, Why::Unsuitable { at: "`env`".into(), wanted: "an object" }),
        ("{\"hooks\": {\"Pre\":\n {}}}", 2, Why::Unsuitable { at: "`hooks.Pre`".into(), wanted: "a list" }),
        ("{\"env\": {},\n \"env\": {}}", 2, Why::Duplicated("env".into())),
        (&deep, 2, Why::Deep),
    ] {
        assert_eq!(attach(text, &entries("/a/wfr"), false).unwrap_err(), Wrong { line, why }, "{text:?}");
        assert!(detach(text, &entries("/a/wfr"), &Before::default()).is_err(), "{text:?}");
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,6}|/our -c".prop_map(Value::from),
        Just(json!({"command": "/usr/bin/other", "args": ["hook"]})),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        let names = prop_oneof!["\\PC{0,3}", Just("hooks".to_owned()), Just("matcher".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    });
    let list = prop::collection::vec(value.clone(), 0..3).prop_map(Value::from);
    let lists = prop::collection::vec((prop_oneof!["Pre", "Post", "Stop"], list), 0..3);
    let hooks = lists.prop_map(|lists| Value::Object(lists.into_iter().collect::<Map<_, _>>()));
    let env = prop::collection::vec(("[A-Z]{1,3}", "\\PC{0,4}".prop_map(Value::from)), 0..3);
    let env = env.prop_map(|env| Value::Object(env.into_iter().collect::<Map<_, _>>()));
    let known = prop::collection::vec(
        prop_oneof![
            hooks.clone().prop_map(|hooks| ("hooks".to_owned(), hooks)),
            hooks.prop_map(|hooks| ("flat".to_owned(), hooks)),
            env.prop_map(|env| ("env".to_owned(), env)),
            ("[a-d]", value),
        ],
        0..5,
    );
    known.prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

/// Whether something in the lists of handlers is ours already.
fn has_ours(value: &Value) -> bool {
    value.to_string().contains("/our -c")
}

proptest! {
    #[test]
    fn any_document_comes_back(value in document(), is_pretty: bool) {
        prop_assume!(!has_ours(&value));
        let text = if is_pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        prop_assert_eq!(there_and_back(&text), text);
    }
}
