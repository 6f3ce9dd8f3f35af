//! Names that look like those of well-known vendors.
//!
//! A client names itself. Before a person reads that name, it is folded to a skeleton in which letters that look alike
//! are one letter, and compared with the names a phisher would borrow. Only the vendor's own hosts may bear its name
//! without a warning.
//!
//! spec: T-21

/// A vendor's names and the hosts that may use them.
struct Vendor {
    name: &'static str,
    skeletons: &'static [&'static str],
    hosts: &'static [&'static str],
}

const VENDORS: &[Vendor] = &[
    Vendor { name: "Claude", skeletons: &["claude"], hosts: &["claude.ai", "claude.com", "anthropic.com"] },
    Vendor { name: "Anthropic", skeletons: &["anthropic"], hosts: &["claude.ai", "claude.com", "anthropic.com"] },
    Vendor { name: "ChatGPT", skeletons: &["chatgpt"], hosts: &["chatgpt.com", "openai.com"] },
    Vendor { name: "OpenAI", skeletons: &["openai"], hosts: &["chatgpt.com", "openai.com"] },
    Vendor { name: "Codex", skeletons: &["codex"], hosts: &["chatgpt.com", "openai.com"] },
    Vendor { name: "Cursor", skeletons: &["cursor"], hosts: &["cursor.com", "cursor.sh"] },
    Vendor {
        name: "Visual Studio Code",
        skeletons: &["visualstudio", "vscode"],
        hosts: &["vscode.dev", "microsoft.com"],
    },
    Vendor { name: "Copilot", skeletons: &["copilot"], hosts: &["github.com", "microsoft.com", "vscode.dev"] },
    Vendor { name: "Microsoft", skeletons: &["microsoft"], hosts: &["microsoft.com", "vscode.dev"] },
    Vendor { name: "GitHub", skeletons: &["github"], hosts: &["github.com"] },
    Vendor { name: "Gemini", skeletons: &["gemini"], hosts: &["google.com", "gemini.google.com"] },
    Vendor { name: "Google", skeletons: &["google"], hosts: &["google.com"] },
    Vendor { name: "Windsurf", skeletons: &["windsurf"], hosts: &["windsurf.com", "codeium.com"] },
    Vendor { name: "Perplexity", skeletons: &["perplexity"], hosts: &["perplexity.ai"] },
    Vendor { name: "Notion", skeletons: &["notion"], hosts: &["notion.so", "notion.com"] },
    Vendor { name: "Slack", skeletons: &["slack"], hosts: &["slack.com"] },
    Vendor { name: "Portcullis", skeletons: &["portcullis"], hosts: &[] },
];

/// The vendor whose name `name` looks like, unless `host` is one of that vendor's own.
pub fn resembles(name: &str, host: Option<&str>) -> Option<&'static str> {
    let skeleton = skeleton(name);
    let own = |vendor: &Vendor| host.is_some_and(|host| vendor.hosts.iter().any(|theirs| within(host, theirs)));
    VENDORS
        .iter()
        .find(|vendor| vendor.skeletons.iter().any(|known| skeleton.contains(&self::skeleton(known))) && !own(vendor))
        .map(|vendor| vendor.name)
}

fn within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `name` with look-alikes folded together and everything else but letters and digits left out.
fn skeleton(name: &str) -> String {
    let folded: String = name.chars().flat_map(char::to_lowercase).filter_map(fold).collect();
    folded.replace("rn", "m").replace("vv", "w").replace("cl", "d")
}

/// Alphabets and styles whose letters look like Latin capitals, in lower case as far as they have it; and those letters.
const DRESSES: [(&str, &str); 4] = [
    ("ꭺᏼꮯꭰꭼꮐꮋꮖꭻꮶꮮꮇꮲꭱꮪꭲꮩꮃꮓ", "abcdeghijklmprstvwz"),
    ("ꓮꓐꓚꓓꓰꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", "abcdeghijklmnoprstuvwxyz"),
    ("ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdeghijklmnoprstuvwyz"),
    ("ⅰⅴⅹⅼⅽⅾⅿ", "ivxlcdm"),
];

/// One letter as the Latin letter it looks like.
fn fold(c: char) -> Option<char> {
    let c = match c {
        // Fullwidth forms and mathematical letters are the same letters in another dress.
        '\u{ff10}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?.to_ascii_lowercase(),
        '\u{1d400}'..='\u{1d6a3}' => (b'a' + ((c as u32 - 0x1d400) % 26) as u8) as char,
        '\u{1d7ce}'..='\u{1d7ff}' => (b'0' + ((c as u32 - 0x1d7ce) % 10) as u8) as char,
        '\u{24d0}'..='\u{24e9}' => (b'a' + (c as u32 - 0x24d0) as u8) as char,
        _ => undressed(c).unwrap_or(c),
    };
    Some(match c {
        'а' | 'α' | 'à'..='å' | 'ā' | 'ă' | 'ą' | 'ɑ' | '@' | '4' => 'a',
        'в' | 'β' | 'ь' | 'ß' => 'b',
        'с' | 'ϲ' | 'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' | '¢' => 'c',
        'ԁ' | 'ď' | 'đ' => 'd',
        'е' | 'ё' | 'ε' | 'є' | 'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | '3' => 'e',
        'ƒ' => 'f',
        'ɡ' | 'ĝ' | 'ğ' | 'ġ' | 'ģ' | 'ց' | '9' => 'g',
        'һ' | 'н' | 'η' | 'ĥ' | 'ħ' => 'h',
        'і'
        | 'ι'
        | 'ї'
        | 'ı'
        | 'ì'..='ï'
        | 'ĩ'
        | 'ī'
        | 'ĭ'
        | 'į'
        | 'i'
        | 'l'
        | '1'
        | '|'
        | '!'
        | 'ӏ'
        | 'ĺ'
        | 'ļ'
        | 'ľ'
        | 'ł' => 'l',
        'ј' => 'j',
        'к' | 'κ' | 'ķ' => 'k',
        'м' => 'm',
        'п' | 'ո' | 'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'о' | 'ο' | 'σ' | 'օ' | 'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | '0' => 'o',
        'р' | 'ρ' => 'p',
        'г' | 'ŕ' | 'ŗ' | 'ř' => 'r',
        'ѕ' | 'ś' | 'ŝ' | 'ş' | 'š' | '5' | '$' => 's',
        'т' | 'τ' | 'ţ' | 'ť' | '7' => 't',
        'υ' | 'ս' | 'ц' | 'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ν' | 'ѵ' => 'v',
        'ѡ' | 'ω' | 'ŵ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ý' | 'ÿ' => 'y',
        'ż' | 'ź' | 'ž' => 'z',
        // Whole alphabets that look like nothing above still tell names apart; marks, blanks and signs do not.
        other if other.is_alphanumeric() => other,
        _ => return None,
    })
}

fn undressed(c: char) -> Option<char> {
    let found = |(dress, plain): &(&str, &str)| plain.chars().nth(dress.chars().position(|worn| worn == c)?);
    DRESSES.iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-21
    #[test]
    fn borrowed_names_are_recognised_in_every_dress() {
        for (name, vendor) in [
            ("Claude", "Claude"),
            ("Сlaude", "Claude"),
            ("С l а u d е  Code", "Claude"),
            ("ＣＬＡＵＤＥ", "Claude"),
            ("C1aude Desktop", "Claude"),
            ("Clau\u{301}de", "Claude"),
            ("Cla\u{200b}ude", "Claude"),
            ("Dаude", "Claude"),
            ("𝐂𝐥𝐚𝐮𝐝𝐞", "Claude"),
            ("ΟpenAI", "OpenAI"),
            ("OpenАl", "OpenAI"),
            ("Сursоr", "Cursor"),
            ("VS  Code", "Visual Studio Code"),
            ("Mіcrosoft Entra", "Microsoft"),
            ("Micr0soft", "Microsoft"),
            ("Portcullis", "Portcullis"),
            ("Ꮯlaude", "Claude"),
            ("ꮯꮮꭺude", "Claude"),
            ("ꓚꓡꓮꓴꓓꓰ", "Claude"),
            ("ᴄʟᴀᴜᴅᴇ", "Claude"),
            ("ⅽⅼauⅾe", "Claude"),
        ] {
            assert_eq!(resembles(name, Some("evil.example")), Some(vendor), "{name}");
        }
    }

    // spec: T-21
    #[test]
    fn only_the_vendors_own_hosts_bear_its_name_without_warning() {
        assert_eq!(resembles("Claude", Some("claude.ai")), None);
        assert_eq!(resembles("Visual Studio Code", Some("vscode.dev")), None);
        assert_eq!(resembles("Visual Studio Code", Some("insiders.vscode.dev")), None);
        for host in [None, Some("claude.ai.evil.example"), Some("notclaude.ai"), Some("localhost")] {
            assert_eq!(resembles("Claude", host), Some("Claude"), "{host:?}");
        }
    }

    #[test]
    fn plain_names_get_no_warning() {
        for name in ["MCP Inspector", "mcp-remote", "Our billing agent", "fast-agent", "日本語クライアント", ""]
        {
            assert_eq!(resembles(name, None), None, "{name}");
        }
    }
}
