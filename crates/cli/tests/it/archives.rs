//! Archives of checkpoints, by what is asked for: which of them, how they are packed, how long they are to be kept.
//!
//! Owns what a parameter changes in an archive. Refuses to know its bytes.

use serde_json::{Value, json};

use crate::world::{Ended, World};

const TEXT: &str = "a line that repeats itself, and comes again\n";

/// Two checkpoints, `one` and `two`.
fn world() -> World {
    let world = World::new();
    world.tree.write("text", TEXT.repeat(3_000).as_bytes());
    world.checkpoint("one");
    world.tree.write("a.txt", b"second\n");
    world.checkpoint("two");
    world
}

fn archived(world: &World, parameters: &Value) -> (Ended, Vec<u8>) {
    let file = world.data.path().join("archive");
    drop(std::fs::remove_file(&file));
    let made = world.ok(&["backup-state", "wf", &parameters.to_string(), "--output", file.to_str().unwrap()]);
    assert_eq!(made.result("verified"), true);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(made.result("size_bytes"), bytes.len());
    (made, bytes)
}

/// The names of the checkpoints that an archive brings to another workspace.
fn brought(world: &World) -> (World, Vec<String>) {
    let other = World::new();
    other.ok(&["import", world.data.path().join("archive").to_str().unwrap(), "--from", "archive"]);
    let names = other.names();
    (other, names)
}

#[test]
fn the_latest_alone_or_all_of_them() {
    let world = world();
    for (kind, names) in [("latest", &["two"][..]), ("comprehensive", &["one", "two"])] {
        let (made, _) = archived(&world, &json!({"backup_type": kind}));
        assert_eq!(made.result("checkpoints").as_array().unwrap().len(), names.len());
        let (other, there) = brought(&world);
        assert_eq!(there, names, "{kind}");
        other.ok(&["validate-checkpoint", "two", "--validation-level", "comprehensive"]);
        world.written_out("two").assert_same(&other.written_out("two"));
    }
}

#[test]
fn without_compression_the_bytes_are_there_as_they_are() {
    let world = world();
    let holds = |bytes: &[u8]| bytes.windows(TEXT.len() * 100).any(|part| part == TEXT.repeat(100).as_bytes());
    let (packed, small) = archived(&world, &json!({"compression": true}));
    let (plain, large) = archived(&world, &json!({"compression": false}));
    assert_eq!(plain.result("compression"), "none");
    assert_ne!(packed.result("compression"), "none");
    assert!(
        holds(&large) && !holds(&small) && small.len() + TEXT.len() * 2_000 < large.len(),
        "{} and {}",
        small.len(),
        large.len()
    );
    let (other, names) = brought(&world);
    assert_eq!(names, ["one", "two"]);
    world.written_out("one").assert_same(&other.written_out("one"));
}

#[test]
fn how_long_it_is_to_be_kept_stands_in_the_archive() {
    let world = world();
    let said = |bytes: &[u8], what: &str| bytes.windows(what.len()).any(|part| part == what.as_bytes());
    for (given, told) in
        [(json!("30_days"), json!("30d")), (json!("permanent"), json!("permanent")), (Value::Null, Value::Null)]
    {
        let (made, bytes) = archived(&world, &json!({"retention": given, "compression": false}));
        assert_eq!(made.result("retention"), &told);
        let written =
            told.as_str().map_or_else(|| "\"retention\":null".to_owned(), |told| format!("\"retention\":\"{told}\""));
        assert!(said(&bytes, &written), "no `{written}` in the archive");
    }
    world.refused(&["backup-state", "wf", r#"{"retention": "soon"}"#], 2, "INVALID_PARAMETER");
}

#[test]
fn one_for_which_no_place_is_named_is_not_written_into_the_workspace() {
    let world = world();
    let before = world.snapshot();
    let made = world.ok(&["backup-state", "wf"]);
    let path = std::path::PathBuf::from(made.result("path").as_str().unwrap());
    // Of its own in there: another workspace may have a workflow of this name.
    assert_eq!(path.ancestors().nth(2).unwrap(), world.data.path().join("wfr/backups"), "{made:?}");
    assert!(made.json["next_steps"].to_string().contains("wfr/backups"), "{made:?}");
    before.assert_same(&world.snapshot());
    world.ok(&["doctor"]);
    // It can be brought in from there, and it is written beside who asks from elsewhere.
    let other = World::new();
    other.ok(&["import", path.to_str().unwrap(), "--from", "archive"]);
    assert_eq!(other.names(), ["one", "two"]);
    let dir = tempfile::tempdir().unwrap();
    let mut command = world.command(&["backup-state", "wf", "--json", "--workspace", world.root().to_str().unwrap()]);
    let made = crate::world::ended(command.current_dir(dir.path()).output().unwrap());
    let path = std::path::PathBuf::from(made.result("path").as_str().unwrap());
    assert_eq!(path.parent().unwrap(), dir.path().canonicalize().unwrap(), "{made:?}");
}
