//! Exclusive holds and their tokens.

use wfr_catalog::{Catalog, CatalogError, FencingToken, HoldRequest, Owner};

use crate::sample::at;

type Make<'a> = &'a dyn Fn() -> Catalog;

fn owner(pid: u32) -> Owner {
    Owner { pid, start_ticks: u64::from(pid) * 7, boot_id: "boot".into(), label: format!("restore by {pid}") }
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
    let request = HoldRequest { key, owner: &owner, now: at(now), expires_at: end.map(at) };
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
