//! How far a call is, as the protocol tells it.
//!
//! Owns the one number that only grows, and the words beside it. Refuses to know when somebody wants to hear it.

use std::sync::atomic::Ordering::Relaxed;

use wfr_engine::session::{Meter, RecoveryStage as Stage};

/// The stages of a recovery, in order, with what is counted.
const STAGES: [(Stage, &str); 5] = [
    (Stage::Staging, "files staged"),
    (Stage::Flushing, "flushes"),
    (Stage::Steps, "steps"),
    (Stage::Settling, "displaced files settled"),
    (Stage::Comparing, "paths compared"),
];

/// How much is done, and what.
pub fn of(meter: &Meter) -> (f64, String) {
    let (entries, bytes) = (meter.scan.entries(), meter.scan.bytes());
    let objects = (meter.objects.0.load(Relaxed), meter.objects.1.load(Relaxed));
    let in_recovery: usize = STAGES.iter().map(|(stage, _)| meter.recovery.of(*stage).0).sum();
    let done = entries + (bytes >> 20) + (meter.bytes.load(Relaxed) >> 20) + (objects.0 + in_recovery) as u64;
    let now = meter.recovery.stage().and_then(|now| STAGES.iter().find(|(stage, _)| *stage == now));
    let words = match now {
        Some((stage, what)) => {
            let (done, all) = meter.recovery.of(*stage);
            format!("{done} of {all} {what}")
        }
        None if objects.1 > 0 => format!("{} of {} objects read", objects.0, objects.1),
        None => format!("{entries} entries looked at, {bytes} bytes read"),
    };
    (done as f64, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_what_is_read() {
        let meter = Meter::default();
        let begun = of(&meter);
        meter.objects.0.store(3, Relaxed);
        meter.objects.1.store(4, Relaxed);
        assert_eq!((begun.0, of(&meter)), (0.0, (3.0, "3 of 4 objects read".to_owned())));
    }
}
