//! Which checkpoints to keep: a pure function of their ages, tags and policies.
//!
//! Owns the rules and the reason for each decision. Refuses to delete anything. Ages come from the caller; a
//! clock that jumped forward removes nothing recent, because the newest checkpoint is always kept and the order is
//! that of the catalog.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{CheckpointType, Trigger};
use crate::ids::CheckpointId;
use crate::time::{Span, Timestamp};

/// A retention policy. Each rule given keeps what it names; a checkpoint kept by none goes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Keep all that is younger than this.
    pub within: Option<Span>,
    /// Keep the newest so many.
    pub last: Option<u32>,
    /// Keep the newest of each of so many hours that have one.
    pub hourly: Option<u32>,
    /// Keep the newest of each of so many days (UTC) that have one.
    pub daily: Option<u32>,
    /// Keep the newest of each of so many weeks that have one; weeks begin on Monday, UTC.
    pub weekly: Option<u32>,
    /// Keep all that carry one of these tags.
    pub tagged: Vec<String>,
}

/// A policy text that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseRetentionError {
    /// It is neither a duration nor rules.
    #[error(
        "`{0}` is not a retention policy: give a duration (30_days, 30d, permanent), or rules such as `last=10,daily=7,weekly=4,tagged=stable`"
    )]
    Unknown(String),
    /// A rule is in it twice.
    #[error("this retention policy names `{0}` twice: give it once")]
    Twice(String),
}

impl FromStr for Retention {
    type Err = ParseRetentionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseRetentionError::Unknown(text.to_owned());
        if let Ok(span) = text.parse() {
            return Ok(Self { within: Some(span), ..Self::default() });
        }
        let mut policy = Self::default();
        let mut named = BTreeSet::new();
        for rule in text.split(',') {
            let (key, value) = rule.trim().split_once('=').ok_or_else(refuse)?;
            let key = key.trim();
            // Of two numbers only one could hold. Of tags there may be several.
            if key != "tagged" && !named.insert(key) {
                return Err(ParseRetentionError::Twice(key.to_owned()));
            }
            let number = || value.parse::<u32>().map_err(|_| refuse());
            match key {
                "within" => policy.within = Some(value.parse().map_err(|_| refuse())?),
                "last" => policy.last = Some(number()?),
                "hourly" => policy.hourly = Some(number()?),
                "daily" => policy.daily = Some(number()?),
                "weekly" => policy.weekly = Some(number()?),
                "tagged" if value.trim().is_empty() => return Err(refuse()),
                "tagged" => policy.tagged.push(value.to_owned()),
                _ => return Err(refuse()),
            }
        }
        Ok(policy)
    }
}

impl Retention {
    /// Whether no rule given keeps anything, or none is given: that is an oversight more often than a wish.
    pub fn keeps_nothing(&self) -> bool {
        let counts = [self.last, self.hourly, self.daily, self.weekly];
        let is_none = |span: Span| span.duration().is_some_and(|length| length.is_zero());
        self.tagged.is_empty() && counts.iter().flatten().all(|count| *count == 0) && self.within.is_none_or(is_none)
    }
}

/// What a checkpoint is worth to whoever restores it. Each of these has places of its own in the counting rules: one that
/// lacks something takes no place of one that is whole, and is not given up for one either, since it may hold what no other does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is complete and not known to be damaged.
    Whole,
    /// Something is missing in it that could not be read, or was not reached.
    Incomplete,
    /// Something in it is damaged; all else can still be restored.
    Damaged,
}

/// What the rules need to know of one checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: CheckpointId,
    /// Its name, for people.
    pub name: String,
    /// When it was taken.
    pub created_at: Timestamp,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// Its trigger.
    pub trigger: Trigger,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its own policy: it is kept at least this long.
    pub own: Option<Span>,
    /// What it is worth.
    pub standing: Standing,
    /// Whether it holds a workflow's state and no files: such have places of their own, and take none of the others'.
    pub state_only: bool,
    /// Whether a recovery that can still be undone needs it.
    pub pinned: bool,
    /// Whether a recovery took it, to save the tree before: it stands for nobody's work and takes nobody's place.
    pub safety: bool,
}

impl Candidate {
    fn is_whole(&self) -> bool {
        self.standing == Standing::Whole
    }
}

/// Why a checkpoint stays that an undo needs, and no other rule before keeps.
pub const NEEDED_FOR_UNDO: &str = "a recovery that can still be undone needs it";

/// A checkpoint's fate, and the rule that decided it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Decision {
    /// Which.
    pub checkpoint_id: CheckpointId,
    /// Its name.
    pub name: String,
    /// Whether it stays.
    pub keep: bool,
    /// The rule that kept it, or `no rule keeps it`.
    pub reason: String,
}

/// Decides over one workflow's checkpoints, given oldest first. The newest whole one with files always stays, and so does the
/// newest of all where that holds state only, or lacks something. The counting rules count those of each standing by themselves.
///
/// Safety checkpoints take no place of the counting rules and are not the one that always stays, while there is another:
/// they are kept by their recovery, by their age, or by a rule that names their tag.
///
/// With `preserve_critical`, emergency and phase checkpoints, pre-critical triggers and the tags `critical`,
/// `stable` and `pre_critical` stay too.
pub fn decide(candidates: &[Candidate], policy: &Retention, preserve_critical: bool, now: Timestamp) -> Vec<Decision> {
    let newest = newest(candidates);
    let last = candidates.iter().rposition(|one| !one.safety);
    let mut places = Places::new(policy);
    let mut decisions: Vec<Decision> = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate().rev() {
        let bucket = places.admit(candidate);
        let rule = if Some(index) == newest {
            Some(newest_with_files(candidate).to_owned())
        } else if Some(index) == last {
            Some(newest_of_all(candidate).to_owned())
        } else if candidate.pinned {
            Some(NEEDED_FOR_UNDO.to_owned())
        } else if let Some(own) = kept_by_own(candidate, now) {
            own
        } else if preserve_critical && is_critical(candidate) {
            Some("it is critical".to_owned())
        } else if let Some(tag) = candidate.tags.iter().find(|tag| policy.tagged.contains(tag)) {
            Some(format!("tagged {tag}"))
        } else if within(policy.within, candidate, now) {
            Some("younger than the retention period".to_owned())
        } else {
            bucket
        };
        let (keep, reason) = rule.map_or((false, "no rule keeps it".to_owned()), |reason| (true, reason));
        decisions.push(Decision { checkpoint_id: candidate.id.clone(), name: candidate.name.clone(), keep, reason });
    }
    decisions.reverse();
    decisions
}

/// Why the newest one with files stays: it is called whole only where it is.
fn newest_with_files(candidate: &Candidate) -> &'static str {
    match candidate.standing {
        Standing::Whole => "it is the newest one that is whole",
        Standing::Incomplete | Standing::Damaged => "it is the newest one, and none is whole",
    }
}

/// Why the newest one of all stays, where another one is the newest that is whole.
fn newest_of_all(candidate: &Candidate) -> &'static str {
    if candidate.state_only { "it is the newest one, of the state alone" } else { "it is the newest one" }
}

/// The one that always stays: the newest that is whole; where none is, the newest. Others come before safety checkpoints.
fn newest(candidates: &[Candidate]) -> Option<usize> {
    let find = |fits: fn(&Candidate) -> bool| candidates.iter().rposition(fits);
    let files = find(|one| one.is_whole() && !one.safety && !one.state_only);
    files
        .or_else(|| find(|one| one.is_whole() && !one.state_only))
        .or_else(|| find(Candidate::is_whole))
        .or_else(|| find(|_| true))
}

/// The verdict of a checkpoint's own policy: `Some(Some(reason))` keeps it, `None` leaves it to the others.
fn kept_by_own(candidate: &Candidate, now: Timestamp) -> Option<Option<String>> {
    within(candidate.own, candidate, now).then(|| Some("its own retention policy".to_owned()))
}

/// Whether a candidate is younger than a span; one from the future is.
fn within(span: Option<Span>, candidate: &Candidate, now: Timestamp) -> bool {
    match span {
        None => false,
        Some(Span::Permanent) => true,
        Some(Span::Finite(length)) => candidate.created_at >= now.before(length),
    }
}

/// Whether `preserve_critical` keeps a candidate.
fn is_critical(candidate: &Candidate) -> bool {
    let by_type = matches!(candidate.checkpoint_type, CheckpointType::Emergency | CheckpointType::PhaseComplete)
        || candidate.trigger == Trigger::PreCritical;
    by_type && !candidate.safety
        || candidate.tags.iter().any(|tag| matches!(tag.as_str(), "critical" | "stable" | "pre_critical"))
}

/// The places that the counting rules give, for each sort of checkpoint apart.
struct Places {
    /// For those with files, and for those of state alone; in each by standing.
    of: [[Buckets; 3]; 2],
}

impl Places {
    fn new(policy: &Retention) -> Self {
        Self { of: std::array::from_fn(|_| std::array::from_fn(|_| Buckets::new(policy))) }
    }

    /// The counting rule that keeps the candidate, if any.
    fn admit(&mut self, candidate: &Candidate) -> Option<String> {
        let sort = match candidate.standing {
            Standing::Whole => 0,
            Standing::Incomplete => 1,
            Standing::Damaged => 2,
        };
        self.of[usize::from(candidate.state_only)][sort].admit(candidate)
    }
}

/// The counting rules for one sort, fed newest first.
struct Buckets {
    last: u32,
    periods: [(&'static str, i64, i64, u32, BTreeSet<i64>); 3],
}

impl Buckets {
    fn new(policy: &Retention) -> Self {
        let limit = |rule: Option<u32>| rule.unwrap_or(0);
        Self {
            last: limit(policy.last),
            periods: [
                ("hourly", 3_600, 0, limit(policy.hourly), BTreeSet::new()),
                ("daily", 86_400, 0, limit(policy.daily), BTreeSet::new()),
                // 1970-01-01 was a Thursday: three days' shift makes weeks begin on Monday.
                ("weekly", 604_800, 259_200, limit(policy.weekly), BTreeSet::new()),
            ],
        }
    }

    /// The counting rule that keeps the candidate, if any. What a recovery saved uses no place up.
    fn admit(&mut self, candidate: &Candidate) -> Option<String> {
        if candidate.safety {
            return None;
        }
        let mut kept = None;
        if self.last > 0 {
            self.last -= 1;
            kept = Some("among the last ones".to_owned());
        }
        let seconds = candidate.created_at.0.div_euclid(1_000_000_000);
        for (name, length, shift, limit, seen) in &mut self.periods {
            let period = (seconds + *shift).div_euclid(*length);
            if seen.len() < *limit as usize && seen.insert(period) {
                kept.get_or_insert_with(|| format!("the {name} one"));
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::SAFETY_TAG;

    const DAY: i64 = 86_400_000_000_000;

    fn candidate(n: u32, age_days: i64) -> Candidate {
        Candidate {
            id: format!("ckpt_{n}").parse().unwrap(),
            name: format!("c{n}"),
            created_at: Timestamp(1_000 * DAY - age_days * DAY),
            checkpoint_type: CheckpointType::Manual,
            trigger: Trigger::Manual,
            tags: vec![],
            own: None,
            standing: Standing::Whole,
            state_only: false,
            pinned: false,
            safety: false,
        }
    }

    fn kept(candidates: &[Candidate], policy: &str, critical: bool) -> Vec<usize> {
        let decisions = decide(candidates, &policy.parse().unwrap(), critical, Timestamp(1_000 * DAY));
        decisions.iter().enumerate().filter(|(_, d)| d.keep).map(|(i, _)| i).collect()
    }

    #[test]
    fn ages_and_counts() {
        let all: Vec<_> = [40, 31, 29, 3, 2, 2, 0].iter().enumerate().map(|(i, a)| candidate(i as u32, *a)).collect();
        assert_eq!(kept(&all, "30_days", false), [2, 3, 4, 5, 6]);
        assert_eq!(kept(&all, "last=2", false), [5, 6]);
        assert_eq!(kept(&all, "daily=3", false), [3, 5, 6]);
        assert_eq!(kept(&all, "0d", false), [6]);
    }

    #[test]
    fn exceptions_hold() {
        let mut all: Vec<_> = (0..5).map(|i| candidate(i, 100)).collect();
        all[0].tags = vec!["stable".into()];
        all[1].own = Some(Span::Permanent);
        all[2].pinned = true;
        all[4].standing = Standing::Incomplete;
        assert_eq!(kept(&all, "1d", true), [0, 1, 2, 3, 4]);
        assert_eq!(kept(&all, "1d,tagged=x".replace("1d", "within=1d").as_str(), false), [1, 2, 3, 4]);
    }

    #[test]
    fn what_lacks_something_has_places_of_its_own() {
        for standing in [Standing::Incomplete, Standing::Damaged] {
            let mut all: Vec<_> = (0..6).map(|i| candidate(i, i64::from(10 - i))).collect();
            all.iter_mut().for_each(|one| one.standing = standing);
            assert_eq!(kept(&all, "last=10,daily=7", false), [0, 1, 2, 3, 4, 5], "rules hold where none is whole");
            assert_eq!(kept(&all, "last=3", false), [3, 4, 5]);
            for whole in [0, 2] {
                all[whole].standing = Standing::Whole;
            }
            assert_eq!(kept(&all, "last=2", false), [0, 2, 4, 5], "neither takes the other's place");
            assert_eq!(kept(&all, "daily=1", false), [2, 5]);
            assert_eq!(kept(&all, "1d", false), [2, 5], "the newest stays, and the newest that is whole");
        }
        let mut all: Vec<_> = (0..3).map(|i| candidate(i, 1)).collect();
        (all[0].standing, all[1].standing) = (Standing::Incomplete, Standing::Damaged);
        assert_eq!(kept(&all, "last=1", false), [0, 1, 2], "nor do what is damaged and what is incomplete");
    }

    #[test]
    fn safety_checkpoints_take_nobodys_place() {
        let mut all: Vec<_> = (0..4).map(|i| candidate(i, 0)).collect();
        for safety in [1, 3] {
            all[safety].safety = true;
            all[safety].checkpoint_type = CheckpointType::Emergency;
            all[safety].trigger = Trigger::PreCritical;
            all[safety].tags = vec![SAFETY_TAG.to_owned()];
        }
        for rule in ["last=1", "hourly=1", "daily=1", "weekly=1"] {
            assert_eq!(kept(&all, rule, true), [2], "{rule}");
        }
        assert_eq!(kept(&all, "last=2", true), [0, 2]);
        assert_eq!(kept(&all, "1d", true), [0, 1, 2, 3], "they go by age");
        assert_eq!(kept(&all, "tagged=safety", false), [1, 2, 3], "unless they are named");
        all[3].pinned = true;
        assert_eq!(kept(&all, "last=1", true), [2, 3], "or their recovery needs them");
        all[0].standing = Standing::Incomplete;
        all[2].standing = Standing::Incomplete;
        assert_eq!(kept(&all, "last=1", true), [2, 3], "nothing else is whole");
    }

    #[test]
    fn checkpoints_of_state_alone_have_places_of_their_own() {
        let mut all: Vec<_> = (0..5).map(|i| candidate(i, 3)).collect();
        for state in [1, 3, 4] {
            all[state].state_only = true;
        }
        assert_eq!(kept(&all, "last=1", true), [2, 4]);
        assert_eq!(kept(&all, "last=2", true), [0, 2, 3, 4]);
        assert_eq!(kept(&all, "0d", true), [2, 4], "the newest is somebody's last word");
        all[4].standing = Standing::Incomplete;
        assert_eq!(kept(&all, "last=1", true), [2, 3, 4]);
    }

    #[test]
    fn rules_that_keep_nothing_are_known() {
        for (text, nothing) in
            [("0d", true), ("last=0", true), ("within=0s,daily=0", true), ("last=0,daily=1", false), ("1d", false)]
        {
            assert_eq!(text.parse::<Retention>().unwrap().keeps_nothing(), nothing, "{text}");
        }
        assert!(Retention::default().keeps_nothing());
        assert!(!"tagged=x".parse::<Retention>().unwrap().keeps_nothing());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            ["", "keep", "last=-1", "last=x", "-5d", "weekly=1e400", "tagged=", "last=1,tagged= ", "last=3,last=1"]
        {
            assert!(bad.parse::<Retention>().is_err(), "{bad}");
        }
        let twice = "within=1d, within=30d".parse::<Retention>().unwrap_err();
        assert!(twice.to_string().contains("`within` twice"), "{twice}");
        assert_eq!("tagged=a,tagged=b".parse::<Retention>().unwrap().tagged, ["a", "b"]);
    }
}
