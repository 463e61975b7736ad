//! Which names resemble a mistyped one.
//!
//! Owns the distance and how near is near enough. Refuses to know what the names name.

/// Names longer than this are not compared; ids and names are at most 128 bytes.
const BYTES_MAX: usize = 256;

/// The names nearest to `text`, nearest first, equal ones in the order given, at most `limit`.
pub(crate) fn nearest(text: &str, names: impl IntoIterator<Item = String>, limit: usize) -> Vec<String> {
    let bound = (text.len() / 3).max(2);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .filter(|name| name.len().abs_diff(text.len()) <= bound)
        .filter_map(|name| distance(text, &name, bound).map(|distance| (distance, name)))
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.dedup_by(|a, b| a.1 == b.1);
    near.into_iter().take(limit).map(|(_, name)| name).collect()
}

/// The number of insertions, deletions, replacements and exchanges of neighbours between two texts, case ignored;
/// `None` above the bound. (Optimal string alignment over bytes.)
fn distance(a: &str, b: &str, bound: usize) -> Option<usize> {
    let (a, b) = (a.to_ascii_lowercase().into_bytes(), b.to_ascii_lowercase().into_bytes());
    if a.len() > BYTES_MAX || b.len() > BYTES_MAX {
        return None;
    }
    let (mut before, mut last) = (vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        if row.iter().min().is_some_and(|least| *least > bound) {
            return None;
        }
        (before, last) = (last, row);
    }
    last.last().copied().filter(|distance| *distance <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_definition() {
        for (a, b, expected) in [("", "", 0), ("base", "base", 0), ("base", "bsae", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b, 9), Some(expected), "{a} {b}");
            assert_eq!(distance(b, a, 9), Some(expected), "{b} {a}");
        }
        assert_eq!(distance("Base", "base", 0), Some(0));
        assert_eq!(distance("kitten", "sitting", 2), None);
    }

    #[test]
    fn the_nearest_come_first() {
        let names = ["phase_2_complete", "phase_1_complete", "other"].map(str::to_owned);
        assert_eq!(nearest("phase_1_complet", names, 2), ["phase_1_complete", "phase_2_complete"]);
    }
}
