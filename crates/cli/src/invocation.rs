//! Commands that are printed to be pasted: they must find the same program, settings and data again.

use std::path::Path;

use crate::args::Common;

/// How this program was called, so that printed commands work when pasted.
pub fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let on_the_path = !called.contains('/') || called.is_empty();
    if on_the_path { "portcullis".to_owned() } else { shell(&called) }
}

/// The flags with which a command finds this gateway's settings and data.
pub fn flags(common: &Common) -> String {
    let named = [("--config", &common.config), ("--data", &common.data)];
    let written =
        named.into_iter().filter_map(|(flag, path)| path.as_ref().map(|path| format!(" {flag} {}", shell(path))));
    written.collect()
}

/// A path as one word of a shell.
pub fn shell(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c));
    if plain && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_commands_survive_a_shell() {
        assert_eq!(shell("/var/lib/x"), "/var/lib/x");
        assert_eq!(shell("/it's here"), r"'/it'\''s here'");
        let common = Common { config: Some("a b.yaml".into()), data: Some("./data".into()) };
        assert_eq!(flags(&common), " --config 'a b.yaml' --data ./data");
    }
}
