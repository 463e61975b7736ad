//! Packs: a scan ends, and what it found and what it passed over lies inside and apart.

#![no_main]

use std::io::Write as _;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::tempfile().expect("the machine has room for a small file");
    file.write_all(bytes).expect("the machine has room for a small file");
    let end = bytes.len() as u64;
    let (found, gaps) = wfr_store::pack::scan(&file, 0, end).expect("a plain file can be read");
    let mut stretches: Vec<_> = found.iter().map(|f| (f.offset, f.offset + f.header.record_len())).collect();
    stretches.extend(gaps.iter().map(|gap| (gap.from, gap.to)));
    stretches.sort_unstable();
    assert!(stretches.iter().all(|(from, to)| from < to && *to <= end));
    assert!(stretches.windows(2).all(|pair| pair[0].1 <= pair[1].0));
});
