//! Asking a person whether a plan may be applied.
//!
//! Owns the question. Refuses to answer it: without a terminal nobody is asked.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;
use wfr_engine::error::{Code, Failure};

use crate::arguments::Global;
use crate::{render, terminal};

/// Whether nothing but a yes is missing, and the plan is there to be shown. Where somebody chose and has agreed to a plan
/// that is stale since, the choices stand, and a yes to the new plan is what is missing.
pub fn is_missing(failure: &Failure, has_chosen: bool) -> bool {
    let is_stale = has_chosen && failure.code == Code::StalePlan;
    (failure.code == Code::ConsentNeeded || is_stale) && digest(failure).is_some()
}

/// A refusal for want of a yes, with what can be done: a digest alone does not bring back what somebody chose.
pub fn advised(refused: Failure, is_chosen: bool) -> Failure {
    if !is_chosen {
        return refused;
    }
    let message = format!("{}: nothing was changed", refused.message);
    let hint = "what was chosen is not kept: call it again with `--interactive`, and choose again";
    Failure { message, ..refused }.with_hint(hint)
}

/// Shows the plan and asks; the digest of the plan where the answer is yes. What is applied is what was shown.
pub fn ask(failure: &Failure, global: &Global, abort: &AtomicBool) -> Option<Value> {
    let digest = digest(failure)?;
    let mut err = terminal::err(global.colour);
    if is_nothing(failure) {
        let line = "\nSomething changed since the plan was shown: nothing is to be done to files or tasks any more.\n";
        return err.write_all(line.as_bytes()).and_then(|()| err.flush()).ok().map(|()| digest);
    }
    let plan = failure.result.as_deref().and_then(render::plan).unwrap_or_default();
    let why = match failure.code {
        Code::StalePlan => "\nSomething changed since the plan was shown; this is the plan now.\n",
        _ => "",
    };
    let question = format!("{why}{plan}\nApply this plan? [y/N] ");
    err.write_all(question.as_bytes()).and_then(|()| err.flush()).ok()?;
    wait_for_line(abort)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes").then_some(digest)
}

/// Waits until there is something to read; `None` where the caller gives up first. Reading itself goes on over a signal,
/// waiting does not.
pub fn wait_for_line(abort: &AtomicBool) -> Option<()> {
    let stdin = io::stdin();
    loop {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
            _ if abort.load(Ordering::Relaxed) => return None,
            Err(Errno::INTR) => {}
            ended => return ended.ok().map(drop),
        }
    }
}

/// Whether the plan that goes with a refusal does nothing, and nothing is in its way: there is nothing to agree to.
fn is_nothing(failure: &Failure) -> bool {
    let shown = failure.result.as_deref().map(|result| result.to_value());
    let plan = shown.as_ref().and_then(|result| result.get("plan"));
    let is_empty = |key: &str| plan.and_then(|plan| plan.get(key)?.as_array()).is_some_and(Vec::is_empty);
    let is_absent = |key: &str| plan.is_some_and(|plan| plan.get(key).is_none_or(Value::is_null));
    is_empty("steps") && is_empty("conflicts") && is_absent("root") && is_absent("state_changes")
}

fn digest(failure: &Failure) -> Option<Value> {
    failure.result.as_deref()?.to_value().pointer("/plan/digest").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_that_does_nothing_needs_no_yes() {
        let failure = |plan: Value| Failure::new(Code::StalePlan, "x").with_result(json!({"plan": plan}));
        assert!(is_nothing(&failure(json!({"digest": "x", "steps": [], "conflicts": [], "state_changes": null}))));
        for more in [
            json!({"steps": [1], "conflicts": []}),
            json!({"steps": [], "conflicts": [1]}),
            json!({"steps": [], "conflicts": [], "root": {}}),
            json!({"steps": [], "conflicts": [], "state_changes": {"tasks": 1}}),
            json!({}),
        ] {
            assert!(!is_nothing(&failure(more.clone())), "{more}");
        }
    }

    #[test]
    fn only_a_missing_yes_is_asked_for() {
        let plan = json!({"plan": {"digest": "sha256:00"}});
        let failure = |code| Failure::new(code, "x").with_result(plan.clone());
        assert!(is_missing(&failure(Code::ConsentNeeded), false));
        assert!(!is_missing(&failure(Code::Conflicts), true));
        assert!(!is_missing(&Failure::new(Code::ConsentNeeded, "x"), true));
        assert!(is_missing(&failure(Code::StalePlan), true) && !is_missing(&failure(Code::StalePlan), false));
    }
}
