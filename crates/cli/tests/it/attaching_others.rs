//! `wfr attach` and `wfr detach` for clients other than Claude Code: their files, of whatever form, come back as they were.
//!
//! Owns what stands where for each. Refuses to run the clients: see the tests of clients.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::attaching::json_of;
use crate::world::World;

/// A file, with a text that its user may have there; `None`: none.
type File = (&'static str, Option<&'static str>);

/// The files of each client.
const FILES: [(&str, &[File]); 4] = [
    (
        "codex",
        &[
            (
                ".codex/hooks.json",
                Some("{\"hooks\": {\"Stop\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"bell\"}]}]}}"),
            ),
            (
                ".codex/config.toml",
                Some("# mine\nmodel = \"m\" # too\n[shell_environment_policy]\ninherit = \"core\"\n\n[features]"),
            ),
        ],
    ),
    (
        "gemini",
        &[
            (".gemini/settings.json", Some("{\n  \"hooks\": { \"BeforeTool\": [ ] }\n}\n")),
            (".gemini/.env", Some("GEMINI_API_KEY=x\n")),
        ],
    ),
    ("opencode", &[(".opencode/plugins/wfr.js", None)]),
    ("cursor", &[(".cursor/hooks.json", Some("{ \"version\": 1, \"hooks\": {} }"))]),
];

fn place(world: &World, name: &str) -> PathBuf {
    world.root().join(name)
}

#[test]
fn a_project_that_was_moved_is_detached_whole() {
    let world = World::new();
    let clients = ["claude", "codex", "gemini", "opencode", "cursor"];
    clients.iter().for_each(|client| drop(world.ok(&["attach", client])));
    let moved = world.root().with_extension("moved");
    fs::rename(world.root(), &moved).unwrap();
    let call = |words: &[&str]| {
        let output = world.command(words).current_dir(&moved).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    // One of them is attached there again.
    call(&["attach", "gemini"]);
    clients.iter().for_each(|client| call(&["detach", client]));
    for dir in [".codex", ".gemini", ".opencode", ".cursor"] {
        assert!(!moved.join(dir).exists(), "{dir}");
    }
    let left: Vec<_> = fs::read_dir(moved.join(".claude")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["recovery"], "{left:?}");
    fs::rename(&moved, world.root()).unwrap();
}

#[test]
fn a_data_directory_that_bash_would_take_for_more_than_a_name_is_refused() {
    let world = World::new();
    for client in ["codex", "gemini", "opencode"] {
        let mut call = world.command(&["attach", client, "--user", "--json"]);
        let refused = call.env("XDG_DATA_HOME", world.data.path().join("$(id)")).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stdout).contains("UNSUITABLE_PLACE"), "{refused:?}");
    }
}

#[test]
fn files_come_back_as_they_were() {
    for is_there in [true, false] {
        for (client, files) in FILES {
            let world = World::new();
            let before: Vec<(PathBuf, Option<&str>)> =
                files.iter().map(|(name, text)| (place(&world, name), text.filter(|_| is_there))).collect();
            for (place, text) in before.iter().filter_map(|(place, text)| Some((place, (*text)?))) {
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::write(place, text).unwrap();
            }
            world.ok(&["attach", client]);
            let with: Vec<Vec<u8>> = before.iter().map(|(place, _)| fs::read(place).unwrap()).collect();
            let again = world.ok(&["attach", client]);
            let became = again.result("files").as_array().unwrap().iter();
            assert!(became.into_iter().all(|file| file["became"] == "unchanged"), "{client}: {again:?}");
            assert_eq!(with, before.iter().map(|(place, _)| fs::read(place).unwrap()).collect::<Vec<_>>());
            assert!(world.ok(&["doctor"]).result("healthy").as_bool().unwrap(), "{client}");

            world.ok(&["detach", client]);
            for (place, text) in &before {
                assert!(is_there || !place.parent().unwrap().exists(), "it made that directory");
                assert_eq!(fs::read_to_string(place).ok().as_deref(), *text, "{client}: {}", place.display());
            }
        }
    }
}

#[test]
fn what_changes_nothing_says_so() {
    let world = World::new();
    let say = |words: &[&str]| String::from_utf8(world.command(words).output().unwrap().stdout).unwrap();
    assert!(say(&["detach", "codex"]).contains("Nothing to detach"));
    assert!(say(&["attach", "codex"]).contains("start the client again"));
    let again = say(&["attach", "codex"]);
    assert!(again.contains("Attached before: codex") && !again.contains("start the client again"), "{again}");
    for command in ["attach", "detach", "hook"] {
        let help = say(&[command, "--help"]);
        assert!(["claude", "codex", "gemini", "opencode", "cursor"].iter().all(|name| help.contains(name)), "{help}");
    }
}

#[test]
fn what_stands_in_them_is_what_each_client_reads() {
    let world = World::new();
    FILES.iter().for_each(|(client, _)| drop(world.ok(&["attach", client])));
    let wfr = |client: &str| format!("'{}' hook {client}", env!("CARGO_BIN_EXE_wfr"));
    // A client that takes a program which is gone for a refusal must not find that.
    let perhaps = |client: &str| format!("[ ! -x '{}' ] || exec {}", env!("CARGO_BIN_EXE_wfr"), wfr(client));
    let codex = json_of(&place(&world, ".codex/hooks.json"));
    assert_eq!(codex["hooks"]["PreToolUse"], json!([{"hooks": [{"type": "command", "command": wfr("codex")}]}]));
    let gemini = json_of(&place(&world, ".gemini/settings.json"));
    let handler = json!({"name": "wfr", "type": "command", "command": perhaps("gemini")});
    assert_eq!(gemini["hooks"]["BeforeTool"], json!([{"matcher": "*", "hooks": [handler]}]));
    let cursor = json_of(&place(&world, ".cursor/hooks.json"));
    assert_eq!(
        (&cursor["version"], &cursor["hooks"]["preToolUse"]),
        (&json!(1), &json!([{"command": perhaps("cursor")}]))
    );
    let launchers = world.data.path().join("wfr/clients");
    for (client, file) in
        [("codex", ".codex/config.toml"), ("gemini", ".gemini/.env"), ("opencode", ".opencode/plugins/wfr.js")]
    {
        let env = launchers.join(client).join(format!("wfr-bash-env-{client}"));
        assert!(env.is_file(), "{client}");
        let text = fs::read_to_string(place(&world, file)).unwrap();
        assert!(text.contains(env.to_str().unwrap()), "{text}");
    }
}

#[test]
fn what_is_missing_later_is_named() {
    for (client, file) in
        [("codex", ".codex/config.toml"), ("gemini", ".gemini/.env"), ("opencode", ".opencode/plugins/wfr.js")]
    {
        let world = World::new();
        world.ok(&["attach", client]);
        fs::remove_file(place(&world, file)).unwrap();
        let found = world.call(&["doctor"]).json.to_string();
        assert!(found.contains("HOOKS_REMOVED"), "{client}: {found}");
        world.ok(&["attach", client]);
        assert!(!world.call(&["doctor"]).json.to_string().contains("HOOKS_REMOVED"), "{client}");
    }
}

/// As the clients' own writers do: their tables before the last comment of a file, that is within our marks, or behind it.
#[test]
fn what_a_client_wrote_into_its_file_since_stays() {
    for behind in [true, false] {
        let world = World::new();
        world.ok(&["attach", "codex"]);
        let config = place(&world, ".codex/config.toml");
        let (with, mine) = (fs::read_to_string(&config).unwrap(), "\n[mcp_servers.mine]\ncommand = \"/usr/bin/env\"\n");
        let used = if behind { format!("{with}{mine}") } else { with.replace("# <<<", &format!("{mine}# <<<")) };
        fs::write(&config, &used).unwrap();
        assert!(!world.call(&["doctor"]).json.to_string().contains("HOOKS_REMOVED"), "it is all there");
        world.ok(&["attach", "codex"]);
        assert_eq!(fs::read_to_string(&config).unwrap(), used);
        world.ok(&["detach", "codex"]);
        assert_eq!(fs::read_to_string(&config).unwrap(), mine);
    }
    let world = World::new();
    world.ok(&["attach", "gemini"]);
    let env = place(&world, ".gemini/.env");
    let used = fs::read_to_string(&env).unwrap().replace("# <<<", "GEMINI_API_KEY=x\n# <<<");
    fs::write(&env, &used).unwrap();
    world.ok(&["attach", "gemini"]);
    assert_eq!(fs::read_to_string(&env).unwrap(), used);
    world.ok(&["detach", "gemini"]);
    assert_eq!(fs::read_to_string(&env).unwrap(), "GEMINI_API_KEY=x\n");
}

#[test]
fn a_file_of_keys_is_not_hidden() {
    let world = World::new();
    let users = world.data.path().join(".gemini/.env");
    fs::create_dir_all(users.parent().unwrap()).unwrap();
    fs::write(&users, "GEMINI_API_KEY=x\n").unwrap();
    world.refused(&["attach", "gemini"], 5, "CONFLICTS");
    assert!(!place(&world, ".gemini").exists());
    world.ok(&["attach", "gemini", "--user"]);
    assert!(fs::read_to_string(&users).unwrap().starts_with("GEMINI_API_KEY=x\n# >>> wfr"));
    // Nor is one in the workspace itself, which the client reads behind ours.
    let world = World::new();
    world.put(".env", "GEMINI_API_KEY=x\n");
    let refused = world.refused(&["attach", "gemini"], 5, "CONFLICTS");
    assert!(refused.json.to_string().contains("/.env to "), "{refused:?}");
    fs::create_dir(place(&world, ".gemini")).unwrap();
    fs::rename(place(&world, ".env"), place(&world, ".gemini/.env")).unwrap();
    world.ok(&["attach", "gemini"]);
    assert!(!world.call(&["doctor"]).json.to_string().contains("KEYS_HIDDEN"));
}

#[test]
fn a_file_of_keys_that_comes_later_and_is_hidden_is_named() {
    for at_home in [true, false] {
        let world = World::new();
        world.ok(&["attach", "gemini"]);
        assert!(!world.call(&["doctor"]).json.to_string().contains("KEYS_HIDDEN"));
        let keys = if at_home { world.data.path().join(".gemini/.env") } else { place(&world, ".env") };
        fs::create_dir_all(keys.parent().unwrap()).unwrap();
        fs::write(&keys, "GEMINI_API_KEY=x\n").unwrap();
        assert!(world.call(&["doctor"]).json.to_string().contains("KEYS_HIDDEN"));
        let ours = place(&world, ".gemini/.env");
        fs::write(&ours, format!("GEMINI_API_KEY=x\n{}", fs::read_to_string(&ours).unwrap())).unwrap();
        assert!(!world.call(&["doctor"]).json.to_string().contains("KEYS_HIDDEN"), "both have it now");
        world.ok(&["attach", "gemini"]);
        world.ok(&["detach", "gemini"]);
        assert_eq!(fs::read_to_string(&ours).unwrap(), "GEMINI_API_KEY=x\n");
    }
}

#[test]
fn comments_stay_where_the_client_reads_them() {
    let world = World::new();
    let settings = place(&world, ".gemini/settings.json");
    let before = "{\n  // mine\n  \"model\": { \"name\": \"m\" } /* too */\n}\n";
    fs::create_dir(settings.parent().unwrap()).unwrap();
    fs::write(&settings, before).unwrap();
    world.ok(&["attach", "gemini"]);
    let with = fs::read_to_string(&settings).unwrap();
    assert!(with.contains("// mine") && with.contains("/* too */") && with.contains("BeforeTool"), "{with}");
    assert!(!world.call(&["doctor"]).json.to_string().contains("HOOKS_REMOVED"));
    world.ok(&["detach", "gemini"]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), before);
}

#[test]
fn what_cursor_needs_goes_where_it_was_put_in() {
    for before in ["{}", "{\"a\":1}", " \n"] {
        let world = World::new();
        let hooks = place(&world, ".cursor/hooks.json");
        fs::create_dir(hooks.parent().unwrap()).unwrap();
        fs::write(&hooks, before).unwrap();
        world.ok(&["attach", "cursor"]);
        world.ok(&["attach", "cursor"]);
        assert_eq!(json_of(&hooks)["version"], 1);
        world.ok(&["detach", "cursor"]);
        assert_eq!(fs::read_to_string(&hooks).unwrap(), before);
    }
}
