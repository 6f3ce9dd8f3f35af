//! What changes in a file: one edit in one place, with the lines around it.

/// A line of the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Unchanged, shown for orientation.
    Same(&'a str),
    /// Only in the old text.
    Gone(&'a str),
    /// Only in the new text.
    New(&'a str),
}

/// Lines of context on each side.
const AROUND: usize = 2;

/// The changed stretch between two texts.
pub fn diff<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let longest = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(longest);
    let mut lines: Vec<Line<'a>> = old[before.saturating_sub(AROUND)..before].iter().copied().map(Line::Same).collect();
    lines.extend(old[before..old.len() - after].iter().copied().map(Line::Gone));
    lines.extend(new[before..new.len() - after].iter().copied().map(Line::New));
    lines.extend(old[old.len() - after..].iter().copied().take(AROUND).map(Line::Same));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_changed_stretch_is_shown() {
        let lines = diff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nX\nY\ne\nf\n");
        assert_eq!(
            lines,
            [
                Line::Same("b"),
                Line::Same("c"),
                Line::Gone("d"),
                Line::New("X"),
                Line::New("Y"),
                Line::Same("e"),
                Line::Same("f")
            ]
        );
        assert_eq!(diff("", "a\n"), [Line::New("a")]);
        assert_eq!(diff("a\na\n", "a\na\na\n"), [Line::Same("a"), Line::Same("a"), Line::New("a")]);
        assert!(diff("a\n", "a\n").iter().all(|line| matches!(line, Line::Same(_))));
    }
}
