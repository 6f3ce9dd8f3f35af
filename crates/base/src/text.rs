//! Foreign text on its way to a page, a log or a terminal.

/// `text` cut to `limit` characters, with control, bidirectional and invisible characters replaced by `\u{fffd}`.
///
/// spec: T-97, T-19: nothing from a client, server or model may forge a line or hide what it says.
pub fn printable(text: &str, limit: usize) -> String {
    let mut out: String = text.chars().take(limit).map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_become_visible_and_long_text_is_cut() {
        assert_eq!(printable("a\r\nb\u{1b}[31m\u{202e}c", 20), "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}c");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("Zürich 東京 🙂", 20), "Zürich 東京 🙂");
    }
}
