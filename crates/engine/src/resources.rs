//! Shares of resources: how much a workflow has out, how much more it may be given.
//!
//! Owns the sums and the decision. Refuses to record anything, and to look at the machine: shares are what components
//! agreed on, no measurement.

use std::collections::BTreeMap;

use serde_json::{Number, Value};
use wfr_catalog::{Catalog, CatalogError, PartKind};
use wfr_model::coordination::Caps;
use wfr_model::workflow::{Allocation, AllocationStatus, Head, ShareEnd};
use wfr_model::{Timestamp, WorkflowId};

use crate::error::{Code, Failure};
use crate::results::ConflictLine;

/// How much of what, of the kinds that have a cap.
pub type Amounts = BTreeMap<String, f64>;

/// The kinds that have a cap.
const CAPPED: [&str; 3] = ["cpu_cores", "memory_gb", "agents"];

/// All kinds that the protocol knows.
const KINDS: [&str; 4] = ["cpu_cores", "memory_gb", "agents", "tool_instances"];

/// The shares of one workflow.
#[derive(Default)]
pub struct Shares {
    /// Those that are out.
    pub out: Vec<Allocation>,
    /// Those that are over and were not given back, each with why.
    pub over: Vec<(Allocation, &'static str)>,
}

/// Reads the shares of a workflow.
pub fn shares(catalog: &Catalog, workflow: &WorkflowId, now: Timestamp) -> Result<Shares, CatalogError> {
    let Some(state) = catalog.state(workflow)? else { return Ok(Shares::default()) };
    let mut shares = Shares::default();
    for share in catalog.parts::<Allocation>(workflow, PartKind::Allocation)? {
        match ended(&share, &state.head, now) {
            None if is_out(&share) => shares.out.push(share),
            Some(why) if is_out(&share) => shares.over.push((share, why)),
            _ => {}
        }
    }
    Ok(shares)
}

/// Whether a share is in use at that time.
pub fn is_used(share: &Allocation, head: &Head, now: Timestamp) -> bool {
    share.status == AllocationStatus::Active && ended(share, head, now).is_none()
}

fn is_out(share: &Allocation) -> bool {
    matches!(share.status, AllocationStatus::Active | AllocationStatus::Reserved)
}

/// Why a share has ended by itself; `None` where it has not.
fn ended(share: &Allocation, head: &Head, now: Timestamp) -> Option<&'static str> {
    let release = ShareEnd::of(share);
    let is_over = |end: Timestamp| release.is_past(end, now) || is_of_clock_ahead(share, end, now);
    if release.on_timeout && expiry(share).is_some_and(is_over) {
        return Some("expired");
    }
    release.with_workflow(head, now)
}

/// Whether a share was given by a clock that was ahead by more than the share's whole length: what has gone of it nobody can say,
/// and it would stand in the way until the clock is there again.
fn is_of_clock_ahead(share: &Allocation, end: Timestamp, now: Timestamp) -> bool {
    let given = share.extra.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse().ok());
    given.is_some_and(|given: Timestamp| given.0.saturating_sub(now.0) > end.0.saturating_sub(given.0).max(0))
}

/// When a share ends at the latest.
pub fn expiry(share: &Allocation) -> Option<Timestamp> {
    share.extra.get("expires_at").and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// How much one value is: a number, or as many as a list has.
fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0),
        Value::Array(list) => Some(list.len() as f64),
        _ => None,
    }
}

/// The sums of shares.
pub fn sum<'s>(shares: impl Iterator<Item = &'s Allocation>) -> Amounts {
    let mut sums = Amounts::new();
    for share in shares {
        for kind in CAPPED {
            let more = share.resources.get(kind).and_then(amount).unwrap_or(0.0);
            *sums.entry(kind.to_owned()).or_default() += more;
        }
    }
    sums.values_mut().for_each(|sum| *sum = plain(*sum));
    sums
}

/// A sum as it would be in decimals: a tenth has no end in binary digits, and its sums show that.
fn plain(sum: f64) -> f64 {
    const PARTS: f64 = 1e9;
    let rounded = (sum * PARTS).round() / PARTS;
    if rounded.is_finite() && sum < 1e6 { rounded } else { sum }
}

/// Checks what is asked for; how much that is, of the kinds that have a cap.
pub fn asked(resources: &BTreeMap<String, Value>) -> Result<Amounts, Failure> {
    let mut amounts = Amounts::new();
    for (kind, value) in resources {
        let refuse = |why: String| Err(Failure::new(Code::InvalidParameter, format!("`resources.{kind}`: {why}")));
        if !KINDS.contains(&kind.as_str()) {
            return refuse(format!("no such resource: there are {}", KINDS.join(", ")));
        }
        match amount(value) {
            Some(amount) if CAPPED.contains(&kind.as_str()) => {
                amounts.insert(kind.clone(), amount);
            }
            None if CAPPED.contains(&kind.as_str()) => {
                return refuse("a number from 0 on, or a list, is expected".to_owned());
            }
            _ => {}
        }
    }
    if amounts.values().all(|amount| *amount == 0.0) && !resources.contains_key("tool_instances") {
        let message = "`resources` asks for nothing";
        return Err(Failure::new(Code::InvalidParameter, message)
            .with_hint("for instance `'{\"resources\": {\"cpu_cores\": 2, \"memory_gb\": 4}}'`"));
    }
    Ok(amounts)
}

fn cap(caps: &Caps, kind: &str) -> f64 {
    match kind {
        "cpu_cores" => caps.cpu_cores,
        "memory_gb" => caps.memory_gb,
        _ => caps.agents as f64,
    }
}

/// What becomes of something that is asked for.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// All of it is given.
    Approved,
    /// So much of it is given.
    Partial(Amounts),
    /// It could be given when others have given back.
    Queued,
    /// It never can.
    Denied,
}

/// Decides, and says what stands in the way. `held` is a hold of somebody who matters as much or more.
pub fn decide(
    workflow: &WorkflowId,
    asked: &Amounts,
    out: &[Allocation],
    caps: &Caps,
    held: Option<ConflictLine>,
    accepts_partial: bool,
) -> (Decision, Vec<ConflictLine>) {
    let in_use = sum(out.iter());
    let used = |kind: &str| in_use.get(kind).copied().unwrap_or(0.0);
    let mut conflicts: Vec<ConflictLine> = held.into_iter().collect();
    let is_held = !conflicts.is_empty();
    let mut line = |message: String| {
        let until = out.iter().filter_map(expiry).min();
        conflicts.push(ConflictLine { code: "CAP_EXCEEDED".into(), workflow_id: workflow.clone(), message, until });
    };
    let (mut never, mut not_now, mut left) = (false, false, Amounts::new());
    for (kind, wanted) in asked {
        let (cap, used) = (cap(caps, kind), used(kind));
        left.insert(kind.clone(), wanted.min((cap - used).max(0.0)));
        if *wanted > cap {
            never = true;
            line(format!("{wanted} {kind} are more than a workflow may have at all: {cap}"));
        } else if used + wanted > cap {
            not_now = true;
            line(format!("{wanted} {kind} are more than is left: {used} of {cap} are in use"));
        }
    }
    let gives_some = left.iter().any(|(kind, amount)| *amount > 0.0 && asked[kind] > 0.0);
    let decision = match (never, not_now) {
        _ if is_held => Decision::Queued,
        (false, false) => Decision::Approved,
        _ if accepts_partial && gives_some => Decision::Partial(left),
        (true, _) => Decision::Denied,
        (false, true) => Decision::Queued,
    };
    (decision, conflicts)
}

/// What a workflow has out above its caps, which others than this program may have given it.
pub fn over(workflow: &WorkflowId, in_use: &Amounts, caps: &Caps) -> Vec<ConflictLine> {
    let above = in_use.iter().filter(|(kind, used)| **used > cap(caps, kind));
    let line = |(kind, used): (&String, &f64)| ConflictLine {
        code: "CAP_EXCEEDED".to_owned(),
        workflow_id: workflow.clone(),
        message: format!("{used} {kind} are in use, a workflow may have {}", cap(caps, kind)),
        until: None,
    };
    above.map(line).collect()
}

/// What is given of what was asked for.
pub fn granted(resources: &BTreeMap<String, Value>, amounts: &Amounts) -> BTreeMap<String, Value> {
    let cut = |kind: &String, value: &Value| match (amounts.get(kind), value) {
        (Some(amount), Value::Array(list)) => Value::Array(list.iter().take(*amount as usize).cloned().collect()),
        (Some(amount), Value::Number(_)) => number(*amount),
        _ => value.clone(),
    };
    resources.iter().map(|(kind, value)| (kind.clone(), cut(kind, value))).collect()
}

/// A number as JSON writes it: whole ones without a fraction.
fn number(amount: f64) -> Value {
    if amount.fract() == 0.0 && amount < 9e15 {
        return Value::from(amount as u64);
    }
    Number::from_f64(amount).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use wfr_model::workflow::WorkflowStatus;

    fn share(cpu: f64, end: Option<i64>) -> Allocation {
        let mut share = Allocation::new("alloc_1".parse().unwrap());
        share.resources.insert("cpu_cores".into(), json!(cpu));
        if let Some(end) = end {
            share.extra.insert("expires_at".into(), json!(Timestamp(end * 1_000_000_000)));
        }
        share
    }

    fn decided(wanted: f64, out: &[Allocation], partial: bool) -> Decision {
        let wf = "wf".parse().unwrap();
        decide(&wf, &Amounts::from([("cpu_cores".into(), wanted)]), out, &Caps::default(), None, partial).0
    }

    #[test]
    fn caps_decide() {
        assert_eq!(decided(6.0, &[], false), Decision::Approved);
        assert_eq!(decided(6.5, &[], false), Decision::Denied);
        assert_eq!(decided(3.0, &[share(4.0, None)], false), Decision::Queued);
        let some = Amounts::from([("cpu_cores".into(), 2.0)]);
        assert_eq!(decided(3.0, &[share(4.0, None)], true), Decision::Partial(some));
        assert_eq!(decided(3.0, &[share(6.0, None)], true), Decision::Queued);
    }

    #[test]
    fn tenths_add_up_to_tenths() {
        assert_eq!(sum([share(0.1, None), share(0.2, None)].iter())["cpu_cores"], 0.3);
    }

    #[test]
    fn shares_end_by_time_and_by_their_workflow() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000_000);
        let mut head = Head::new("wf".parse().unwrap());
        let mut one = share(1.0, Some(100));
        assert_eq!(ended(&one, &head, at(99)), None);
        assert_eq!(ended(&one, &head, at(100)), Some("expired"));
        one.extra.insert("auto_release".into(), json!({"grace_period": "10s", "on_failure": true}));
        assert_eq!(ended(&one, &head, at(109)), None);
        assert_eq!(ended(&one, &head, at(110)), Some("expired"));
        (head.status, head.ended_at) = (WorkflowStatus::Failed, Some(at(20)));
        assert_eq!(ended(&one, &head, at(30)), Some("the workflow has failed"));
        one.extra.insert("auto_release".into(), json!({"on_timeout": false}));
        assert_eq!(ended(&one, &head, at(999)), None);
        head.status = WorkflowStatus::Completed;
        assert_eq!(ended(&one, &head, at(999)), Some("the workflow has ended"));
    }

    #[test]
    fn shares_of_a_clock_that_was_ahead_end() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000_000);
        let mut head = Head::new("wf".parse().unwrap());
        let mut one = share(1.0, Some(10_060));
        one.extra.insert("timestamp".into(), json!(at(10_000)));
        let ends = [9_000, 9_939, 9_940, 10_000, 10_059, 10_060].map(|now| ended(&one, &head, at(now)).is_some());
        assert_eq!(ends, [true, true, false, false, false, true]);
        let one = share(1.0, None);
        (head.status, head.ended_at) = (WorkflowStatus::Completed, Some(at(10_000)));
        assert_eq!(ended(&one, &head, at(9_000)), Some("the workflow has ended"));
    }

    #[test]
    fn what_is_asked_for_is_checked() {
        let ask = |value: Value| asked(&serde_json::from_value(value).unwrap());
        assert_eq!(ask(json!({"agents": ["a", "b"]})).unwrap()["agents"], 2.0);
        for bad in [json!({}), json!({"gpu": 1}), json!({"cpu_cores": -1}), json!({"memory_gb": "4"})] {
            assert_eq!(ask(bad.clone()).unwrap_err().code, Code::InvalidParameter, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_given_never_exceeds_the_caps(asks in proptest::collection::vec((0.0f64..8.0, any::<bool>()), 1..20)) {
            let mut out: Vec<Allocation> = Vec::new();
            for (wanted, partial) in asks {
                let given = match decided(wanted, &out, partial) {
                    Decision::Approved => wanted,
                    Decision::Partial(some) => some["cpu_cores"],
                    Decision::Queued | Decision::Denied => continue,
                };
                out.push(share(given, None));
                prop_assert!(sum(out.iter())["cpu_cores"] <= Caps::default().cpu_cores + 1e-9);
            }
        }
    }
}
