//! Stores on small disks that are full: what was refused leaves nothing behind, and what is said of the room is true.

use std::path::Path;

use wfr_testkit::{Prng, TestTree};

use crate::mount::Mount;
use crate::world::{Ended, World};

/// A workspace whose store is on a disk of so many bytes, and that; `None` where this process may not mount.
fn world(size: &str) -> Option<(World, Mount)> {
    let world = World::unprotected(TestTree::new());
    let Some(mount) = Mount::new(&world.data.path().join("disk"), size) else {
        wfr_testkit::skip("a file system cannot be mounted here");
        return None;
    };
    world.ok(&["init", "--store", mount.at("store").to_str().unwrap()]);
    Some((world, mount))
}

#[test]
fn a_checkpoint_that_a_full_disk_refuses_is_not_in_the_way_of_a_cleanup() {
    let Some((world, mount)) = world("12m") else { return };
    world.tree.write("big", &Prng::new(4).bytes(4_000_000));
    world.checkpoint("old");
    world.tree.remove("big");
    world.checkpoint("new");
    mount.fill();
    world.tree.write("a.txt", b"too much");
    world.refused(&["create-checkpoint", "wf", "--name", "refused"], 7, "DISK_FULL");
    let policy = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--preserve-critical=false"];
    let cleaned = world.ok(&policy);
    assert!(cleaned.result("bytes_freed").as_u64().unwrap() > 3_900_000, "{cleaned:?}");
    let told = world.ok(&["doctor"]).result("findings").to_string();
    assert!(!told.contains("UNCOMMITTED") && !told.contains("PACK_TAILS"), "{told}");
    world.checkpoint("after");
    world.ok(&["validate-checkpoint", "wf", "after", "--validation-level", "comprehensive"]);
}

#[test]
fn what_is_said_of_the_room_that_is_kept_holds() {
    let fix = |world: &World| {
        let told = world.ok(&["doctor"]);
        let findings = told.result("findings").as_array().unwrap().clone();
        let missing = findings.into_iter().find(|finding| finding["code"] == "RESERVE_MISSING");
        missing.map(|finding| finding["fix"].as_str().unwrap().to_owned())
    };
    let Some((small, _mount)) = world("6m") else { return };
    assert!(fix(&small).unwrap().contains("6 MiB in all"), "{:?}", fix(&small));
    let Some((world, mount)) = world("28m") else { return };
    std::fs::remove_file(mount.at("store/reserve")).unwrap();
    world.checkpoint("one");
    assert!(
        fix(&world).unwrap().contains("`wfr cleanup-checkpoints` makes it again where 16 are"),
        "{:?}",
        fix(&world)
    );
    world.ok(&["cleanup-checkpoints", "wf"]);
    assert_eq!(fix(&world), None);
}

/// A workspace on a disk that is full, with a checkpoint of more than there was room for; and the disk.
fn full(is_store_there: bool) -> Option<(World, Mount)> {
    let world = World::unprotected(TestTree::new());
    let mount = Mount::new(&world.data.path().join("disk"), "12m")?;
    let root = mount.at("w");
    std::fs::create_dir(&root).unwrap();
    let store = if is_store_there { mount.at("store") } else { world.data.path().join("store") };
    world.ok(&["init", root.to_str().unwrap(), "--store", store.to_str().unwrap()]);
    std::fs::write(root.join("big"), Prng::new(4).bytes(3_000_000)).unwrap();
    world.ok(&there(&mount, &["create-checkpoint", "wf", "--name", "base"]));
    std::fs::remove_file(root.join("big")).unwrap();
    mount.fill();
    Some((world, mount))
}

fn there(mount: &Mount, arguments: &[&str]) -> Vec<String> {
    let root = mount.at("w");
    arguments.iter().chain(&["--workspace", root.to_str().unwrap()]).map(|word| (*word).to_owned()).collect()
}

#[test]
fn where_another_disk_than_the_stores_is_full_that_one_is_named() {
    let advice = |refused: &Ended| refused.json["recovery_options"][0].as_str().unwrap().to_owned();
    let restore = ["restore", "wf", "base", "--yes"];
    let Some((world, mount)) = full(false) else { return wfr_testkit::skip("a file system cannot be mounted here") };
    let refused = world.refused(&there(&mount, &restore), 7, "DISK_FULL");
    let at = format!(
        "mounted at {}, or write it elsewhere",
        world.data.path().join("disk").canonicalize().unwrap().display()
    );
    assert!(advice(&refused).contains(&at) && advice(&refused).contains("--to DIR"), "{refused:?}");
    // Both ways that it names.
    let to = |place: &Path| there(&mount, &[&restore[..], &["--to", place.to_str().unwrap()]].concat());
    let refused = world.refused(&to(&mount.at("to")), 7, "DISK_FULL");
    assert!(advice(&refused).contains("name a directory on another one"), "{refused:?}");
    world.ok(&to(&world.data.path().join("to")));
    std::fs::remove_file(mount.at("ballast")).unwrap();
    world.ok(&there(&mount, &restore));
    let Some((world, mount)) = full(true) else { return };
    let refused = world.refused(&there(&mount, &restore), 7, "DISK_FULL");
    assert!(advice(&refused).contains("`wfr cleanup-checkpoints` works on a full disk"), "{refused:?}");
}
