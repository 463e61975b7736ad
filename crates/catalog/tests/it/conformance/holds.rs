//! Exclusive holds and their tokens.

use wfr_catalog::{Catalog, CatalogError, FencingToken, HoldRequest, Holder, Owner};
use wfr_model::message::Priority;

use crate::sample::at;

type Make<'a> = &'a dyn Fn() -> Catalog;

fn owner(pid: u32) -> Owner {
    let holder = Holder::Process { pid, start_ticks: u64::from(pid) * 7, boot_id: "boot".into() };
    Owner { holder, label: format!("restore by {pid}") }
}

fn request<'a>(key: &'a str, owner: &'a Owner, now: i64, end: Option<i64>) -> HoldRequest<'a> {
    HoldRequest { key, owner, reason: None, priority: Priority::USUAL, now: at(now), expires_at: end.map(at) }
}

fn acquire(
    catalog: &Catalog,
    key: &str,
    pid: u32,
    now: i64,
    end: Option<i64>,
    alive: bool,
) -> Result<FencingToken, CatalogError> {
    let owner = owner(pid);
    let request = request(key, &owner, now, end);
    catalog.acquire_hold(&request, &|_| alive)
}

pub fn one_holds_the_others_wait(make: Make<'_>) {
    let catalog = make();
    let token = acquire(&catalog, "workspace", 1, 10, None, true).unwrap();
    for pid in [1, 2] {
        match acquire(&catalog, "workspace", pid, 11, None, true).unwrap_err() {
            CatalogError::Held(hold) => {
                assert_eq!((hold.owner, hold.acquired_at, hold.token), (owner(1), at(10), token))
            }
            other => panic!("{other}"),
        }
    }
    acquire(&catalog, "workflow:wf", 2, 11, None, true).unwrap();
    assert_eq!(
        catalog.holds().unwrap().iter().map(|hold| hold.key.as_str()).collect::<Vec<_>>(),
        ["workflow:wf", "workspace"]
    );
    assert!(catalog.release_hold("workspace", token).unwrap());
    assert!(!catalog.release_hold("workspace", token).unwrap());
    assert_eq!(catalog.hold("workspace").unwrap(), None);
    acquire(&catalog, "workspace", 2, 12, None, true).unwrap();
}

pub fn dead_and_expired_owners_are_replaced(make: Make<'_>) {
    let catalog = make();
    let first = acquire(&catalog, "k", 1, 10, Some(20), true).unwrap();
    assert!(acquire(&catalog, "k", 2, 19, None, true).is_err());
    let second = acquire(&catalog, "k", 2, 20, None, true).unwrap();
    assert!(!catalog.renew_hold("k", first, Some(at(99))).unwrap());
    assert!(!catalog.release_hold("k", first).unwrap());
    assert!(catalog.renew_hold("k", second, Some(at(50))).unwrap());
    assert_eq!(catalog.hold("k").unwrap().unwrap().expires_at, Some(at(50)));
    let third = acquire(&catalog, "k", 3, 21, None, false).unwrap();
    let hold = catalog.hold("k").unwrap().unwrap();
    assert_eq!((hold.owner, hold.token, hold.expires_at), (owner(3), third, None));
}

pub fn tokens_only_grow(make: Make<'_>) {
    let catalog = make();
    let mut last = FencingToken(0);
    for round in 0..5 {
        let token = acquire(&catalog, if round % 2 == 0 { "a" } else { "b" }, round, 1, None, false).unwrap();
        assert!(token > last);
        if round == 2 {
            catalog.release_hold("a", token).unwrap();
        }
        last = token;
    }
}

pub fn components_hold_until_their_time_is_over(make: Make<'_>) {
    let catalog = make();
    let owner = Owner { holder: Holder::Component("hub".into()), label: "hold-resources".into() };
    let mut asked = request("workflow:wf", &owner, 10, Some(20));
    asked.reason = Some("maintenance");
    let alive = |owner: &Owner| matches!(owner.holder, Holder::Component(_));
    let token = catalog.acquire_hold(&asked, &alive).unwrap();
    let hold = catalog.hold("workflow:wf").unwrap().unwrap();
    assert_eq!((&hold.owner, hold.reason.as_deref(), hold.token), (&owner, Some("maintenance"), token));
    let message = acquire(&catalog, "workflow:wf", 1, 19, None, true).unwrap_err().to_string();
    assert!(message.contains("component hub") && message.contains("until 1970") && message.contains("maintenance"));
    assert!(acquire(&catalog, "workflow:wf", 1, 20, None, true).unwrap() > token);
}

pub fn who_matters_more_takes_over_and_the_other_is_named(make: Make<'_>) {
    let catalog = make();
    let low = acquire(&catalog, "k", 1, 10, None, true).unwrap();
    let owner = owner(2);
    let mut asked = request("k", &owner, 11, None);
    asked.priority = Priority::RECOVERY;
    let yields = |standing: &wfr_catalog::Hold| standing.priority < Priority::RECOVERY;
    let taken = catalog.acquire_hold_over(&asked, &|_| true, &yields).unwrap();
    assert_eq!(taken.preempted.map(|hold| hold.token), Some(low));
    assert!(!catalog.release_hold("k", low).unwrap(), "the one before has lost it");
    assert!(matches!(catalog.acquire_hold_over(&asked, &|_| true, &yields), Err(CatalogError::Held(_))));
}
