//! Listing ten thousand checkpoints.
//!
//! Owns their making. Refuses to make them by another way than users do.

use std::fs;

use super::Options;
use super::measure::median_wall;
use super::site::Site;
use super::table::{Target, print_targets};

/// Checkpoints in the store.
const CHECKPOINTS: usize = 10_000;

/// Runs it.
pub fn run(options: &Options) -> Result<(), String> {
    let tree = options.work.join("list-tree");
    fs::create_dir_all(&tree).map_err(|error| error.to_string())?;
    fs::write(tree.join("a.txt"), "a").map_err(|error| error.to_string())?;
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    site.init()?;
    for number in 0..CHECKPOINTS {
        if number % 1_000 == 0 {
            eprintln!("{number} checkpoints");
        }
        site.run(&["create-checkpoint", "wf", &format!(r#"{{"name":"c{number}"}}"#), "--json"])?;
    }
    let cost = median_wall(options.repeat.max(11), || Ok(()), || site.command(&["list-checkpoints", "wf", "--json"]))?;
    let rule = "fixed".to_owned();
    let what = "list-checkpoints at 10,000 checkpoints";
    print_targets(&[Target { what, measured: cost.wall * 1e3, must: 60.0, aim: 20.0, rule, unit: "ms" }]);
    site.clear()
}
