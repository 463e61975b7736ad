//! Several processes on one workspace at once.
//!
//! Owns the promise that what was acknowledged is there. Refuses to demand that every call gets its turn: one
//! that is told to come back (exit code 6) was not acknowledged.

use std::process::{Child, Stdio};

use super::Plan;
use super::tally::{Tallies, Tally};
use super::world::{World, outcome, said};

/// Processes at once.
const PROCESSES: usize = 8;

/// All processes make checkpoints; then some make checkpoints while others clean up.
pub fn run(plan: &Plan) -> Tallies<'_> {
    let rounds = if plan.short { 2 } else { 25 };
    let mut makers = Tally::new("crowd 8 makers");
    let mut mixed = Tally::new("crowd 6 makers, 2 cleaners");
    for round in 0..rounds {
        let label = format!("round:{round}");
        makers.add(&label, judged(crowd(plan, round, 0)));
        mixed.add(&label, judged(crowd(plan, round, 2)));
    }
    Box::new([makers, mixed].into_iter())
}

fn judged(result: Result<(), String>) -> (bool, Result<(), String>) {
    (true, result)
}

/// One round: each maker makes checkpoints of its own file, one after the other.
fn crowd(plan: &Plan, round: usize, cleaners: usize) -> Result<(), String> {
    let world = World::new(&plan.wfr, &plan.dir)?;
    let vault = world.vault().to_string_lossy().into_owned();
    std::fs::write(world.ws().join("shared"), format!("round {round}")).map_err(said("write"))?;
    world.wfr_ok(&["init", "--store", &vault])?;
    let each = if plan.short { 3 } else { 25 };
    let mut acknowledged = vec![];
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..PROCESSES - cleaners)
            .map(|maker| {
                scope.spawn({
                    let world = &world;
                    move || make(world, maker, each)
                })
            })
            .collect();
        let cleaning: Vec<_> = (0..cleaners).map(|_| scope.spawn(|| clean(&world, each))).collect();
        for maker in makers {
            acknowledged.push(maker.join().unwrap_or_else(|_| Err("a maker panicked".to_owned())));
        }
        for cleaner in cleaning {
            acknowledged.push(cleaner.join().unwrap_or_else(|_| Err("a cleaner panicked".to_owned())).map(|()| vec![]));
        }
    });
    let acknowledged: Result<Vec<Vec<String>>, String> = acknowledged.into_iter().collect();
    settled(&world, &acknowledged?.concat())
}

/// Makes checkpoints one after the other; returns the names that were acknowledged.
fn make(world: &World, maker: usize, each: usize) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for number in 0..each {
        let text = format!("{maker} {number}\n").repeat(200);
        std::fs::write(world.ws().join(format!("file-{maker}")), text).map_err(said("write"))?;
        let name = format!("m{maker}-{number}");
        let child = spawn(
            world,
            &["create-checkpoint", "wf", &format!(r#"{{"name":"{name}","retention_policy":"permanent"}}"#), "--json"],
        )?;
        let ended = child.wait_with_output().map_err(said("wait"))?;
        let ended = outcome(ended.status, &ended.stdout, &ended.stderr);
        match ended.code {
            Some(0) => names.push(name),
            Some(6) => {}
            _ => return Err(format!("checkpoint {name} ended with {ended}")),
        }
    }
    Ok(names)
}

fn clean(world: &World, each: usize) -> Result<(), String> {
    for _ in 0..each {
        let ended = world.wfr(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1"}"#, "--json"]);
        // 3: no maker has come as far as registering the workflow.
        if !matches!(ended.code, Some(0 | 3 | 6)) {
            return Err(format!("a cleanup ended with {ended}"));
        }
    }
    Ok(())
}

fn spawn(world: &World, arguments: &[&str]) -> Result<Child, String> {
    world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(said("start wfr"))
}

/// Every acknowledged checkpoint is listed and restores.
fn settled(world: &World, acknowledged: &[String]) -> Result<(), String> {
    let listed = world.checkpoints()?;
    let lost: Vec<_> = acknowledged.iter().filter(|name| !listed.contains(name)).collect();
    if !lost.is_empty() || acknowledged.is_empty() {
        return Err(format!("of {} acknowledged checkpoints these are gone: {lost:?}", acknowledged.len()));
    }
    for name in acknowledged {
        let maker = name.trim_start_matches('m').split('-').next().unwrap_or_default();
        let number = name.rsplit('-').next().unwrap_or_default();
        let out = world.scratch("out")?;
        let to = out.to_string_lossy().into_owned();
        world.wfr_ok(&["restore", "wf", name, "--to", &to, "--yes", "--json"])?;
        let text =
            std::fs::read_to_string(out.join(format!("file-{maker}"))).map_err(said("read what was restored"))?;
        if !text.starts_with(&format!("{maker} {number}\n")) {
            return Err(format!("{name} restores another content of its file"));
        }
    }
    world.healthy()
}
