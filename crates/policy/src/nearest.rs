//! "Did you mean": the nearest of the words that would have been right.

/// The choice that `word` was most likely meant to be, if it is near any.
pub fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    choices
        .into_iter()
        .map(|choice| (distance(word, choice), choice))
        .filter(|(distance, choice)| *distance <= choice.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, choice)| choice)
}

/// A letter left out, put in or swapped with its neighbour costs 2, another letter in its place 3: fingers slip more often
/// than they miss.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                2 * (i + j)
            } else {
                let replaced = rows[i - 1][j - 1] + 3 * usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[i - 1][j] + 2).min(rows[i][j - 1] + 2);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 2);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let keys = ["rule", "who", "what", "when", "then", "shadow", "ask"];
        for (slip, meant) in [("whn", "when"), ("hwo", "who"), ("shaddow", "shadow"), ("rul", "rule"), ("waht", "what")]
        {
            assert_eq!(nearest(slip, keys), Some(meant));
        }
        assert_eq!(nearest("colour", keys), None);
    }
}
