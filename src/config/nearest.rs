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
    let name: Vec<char> = name.to_lowercase().chars().collect();
    candidates
        .filter_map(|candidate| Some((distance(&name, candidate, bound)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment);
/// `None` as soon as there are more than `bound`, since thousands of candidates are usually far away.
fn distance(a: &[char], b: &str, bound: usize) -> Option<usize> {
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > bound {
        return None;
    }
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
        // A later row builds on the last two, so what both of them exceed stays exceeded.
        let exceeded = |row: &[usize]| row.iter().all(|cell| *cell > bound);
        if exceeded(&row) && exceeded(&above) {
            return None;
        }
        two_up = std::mem::replace(&mut above, row);
    }
    Some(cell(&above, b.len())).filter(|distance| *distance <= bound)
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
    fn the_nearest_of_several_near_ones_is_taken() {
        let names = ["grafana-old", "grafana", "grafanas"];
        assert_eq!(find("grafnaa", names.into_iter()), Some("grafana"));
        assert_eq!(find("grafana-odl", names.into_iter()), Some("grafana-old"));
    }

    #[test]
    fn a_different_word_finds_nothing() {
        assert_eq!(find("upstream", ["allow", "host"].into_iter()), None);
        assert_eq!(find("to", ["tls"].into_iter()), None);
    }
}
