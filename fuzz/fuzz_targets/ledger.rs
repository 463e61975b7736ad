//! The ledger as checkpoints seal it: whatever is read is written so that it reads the same, and a catalog takes it or says
//! why not.

#![no_main]

use wfr_catalog::{Catalog, SealedLedger, VaultIdentity};
use wfr_model::Timestamp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(sealed) = serde_json::from_slice::<SealedLedger>(bytes) else { return };
    let text = serde_json::to_vec(&sealed).expect("a ledger has a JSON form");
    assert_eq!(serde_json::from_slice::<SealedLedger>(&text).expect("it was just written"), sealed);
    let dir = tempfile::tempdir().expect("a directory can be made");
    let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
    let identity = VaultIdentity { vault_id, workspace, created_at: Timestamp(0), encrypted: false };
    let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).expect("a catalog can be made");
    drop(catalog.insert_sealed_ledger(&sealed));
    drop(catalog.ledger_present());
});
