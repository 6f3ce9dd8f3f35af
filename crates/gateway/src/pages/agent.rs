//! What a browser says about itself, in a few words.

use portcullis_base::printable;

/// "Firefox on Windows", as far as the words of the browser are ones we know; else the beginning of what it says.
pub fn agent_in_words(agent: &str) -> String {
    // The order matters: each of these also claims to be those after it.
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.into(),
        (None, _) if agent.trim().is_empty() => "Unknown browser".into(),
        (None, _) => printable(agent, 40),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_browsers_are_named_and_others_quoted() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
        assert_eq!(agent_in_words(chrome), "Chrome on Linux");
        assert_eq!(agent_in_words(&format!("{chrome} Edg/131.0")), "Edge on Linux");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(agent_in_words(phone), "Safari on iPhone");
        assert_eq!(
            agent_in_words("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0"),
            "Firefox on macOS"
        );
        assert_eq!(agent_in_words("curl/8.5.0"), "curl/8.5.0");
        assert_eq!(agent_in_words(" "), "Unknown browser");
        assert_eq!(agent_in_words("a\u{202e}b"), "a\u{fffd}b");
    }
}
