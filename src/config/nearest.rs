//! Which known name somebody meant.

/// The candidate nearest to `name`, when it is near enough that a slip of the finger explains it.
pub(crate) fn find<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.get(..name.floor_char_boundary(64)).unwrap_or(name);
    let bound = match name.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    candidates
        .map(|candidate| (distance(&name.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let cell = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
    let mut two_up: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, y) in b.iter().enumerate() {
            let replaced = cell(&above, j).saturating_add(usize::from(x != y));
            let deleted = cell(&above, j.saturating_add(1)).saturating_add(1);
            let inserted = cell(&row, j).saturating_add(1);
            let swapped = match (i.checked_sub(1), j.checked_sub(1)) {
                (Some(p), Some(q)) if a.get(p) == Some(y) && b.get(q) == Some(x) => {
                    cell(&two_up, q).saturating_add(1)
                }
                _ => usize::MAX,
            };
            row.push(replaced.min(deleted).min(inserted).min(swapped));
        }
        two_up = std::mem::replace(&mut above, row);
    }
    cell(&above, b.len())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["allow", "host", "header_timeout"];
        assert_eq!(find("alow", names.into_iter()), Some("allow"));
        assert_eq!(find("hsot", names.into_iter()), Some("host"));
        assert_eq!(
            find("Header_timout", names.into_iter()),
            Some("header_timeout")
        );
    }

    #[test]
    fn a_different_word_finds_nothing() {
        assert_eq!(find("upstream", ["allow", "host"].into_iter()), None);
        assert_eq!(find("to", ["tls"].into_iter()), None);
    }
}
