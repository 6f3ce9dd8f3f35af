//! Pages as a browser reads them: what is an element and what is only text.

/// One start tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Every start tag of a page, by the rules of the HTML tokenizer as far as they matter here.
pub fn elements(html: &str) -> Vec<Element> {
    read(html).0
}

/// The text of a page, decoded.
pub fn text(html: &str) -> String {
    read(html).1
}

fn read(html: &str) -> (Vec<Element>, String) {
    let (mut found, mut text, mut rest) = (Vec::new(), String::new(), html);
    while let Some(at) = rest.find('<') {
        text.push_str(&decode(&rest[..at]));
        rest = &rest[at + 1..];
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_ascii_alphabetic() {
            let (element, after) = start_tag(rest);
            rest = after;
            // What is inside these is not markup; an element in there is none.
            if ["script", "style", "textarea", "title"].contains(&element.name.as_str()) {
                let end = rest.to_ascii_lowercase().find(&format!("</{}", element.name)).unwrap_or(rest.len());
                text.push_str(&decode(&rest[..end]));
                rest = &rest[end..];
            }
            found.push(element);
        } else if matches!(first, '/' | '!' | '?') {
            rest = rest.split_once('>').map_or("", |(_, after)| after);
        } else {
            text.push('<');
        }
    }
    text.push_str(&decode(rest));
    (found, text)
}

fn start_tag(tag: &str) -> (Element, &str) {
    let end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(tag.len());
    let mut element = Element { name: tag[..end].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &tag[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let Some(first) = rest.chars().next() else { return (element, rest) };
        if first == '>' {
            return (element, &rest[1..]);
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='))
            .filter(|end| *end > 0)
            .unwrap_or(first.len_utf8());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                _ => after.split_at(after.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(after.len())),
            };
        }
        element.attributes.push((name, decode(value)));
    }
}

fn decode(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&amp;", "&")
}

/// What our pages are made of. Anything else on one of them came from somewhere else.
const OURS: [&str; 47] = [
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "span", "div", "form", "input", "button",
    "main", "svg", "path", "h1", "h2", "h3", "p", "b", "section", "ul", "li", "dl", "dt", "dd", "code", "pre", "label",
    "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "time", "article", "small", "strong", "nav",
    "footer", "select", "option",
];

/// Fails unless the page consists of elements of ours only, runs nothing of anybody else's and loads nothing from
/// anywhere else. `onward` is the one foreign address that the page may offer as a link.
pub fn assert_harmless(html: &str, onward: Option<&str>) {
    for element in elements(html) {
        assert!(OURS.contains(&element.name.as_str()), "<{}> on a page: {element:?}\n{html}", element.name);
        for (name, value) in &element.attributes {
            assert!(!name.starts_with("on") && name != "style" && name != "srcdoc", "{name}= in {element:?}");
            if !["src", "href", "action", "formaction", "xlink:href", "poster", "srcset", "ping"]
                .contains(&name.as_str())
            {
                continue;
            }
            let own = value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//"));
            let is_link = element.name == "a" && onward.is_some_and(|onward| value.starts_with(onward));
            assert!(own || is_link, "an address of somebody else's: {element:?}");
            let asset = element.name != "script" && element.name != "link" || value.starts_with("/assets/");
            assert!(asset, "a file that is not an asset: {element:?}");
        }
        assert!(element.name != "script" || element.attribute("src").is_some(), "an inline script\n{html}");
    }
}

#[test]
fn the_reader_tells_markup_from_text() {
    let page = r#"<p title="a &quot;b&quot;" DATA-x=1>&lt;img&gt;<br/><IMG src='x' onerror=alert(1)></p><script>"<b>"</script>"#;
    let names: Vec<_> = elements(page).into_iter().map(|element| element.name).collect();
    assert_eq!(names, ["p", "br", "img", "script"]);
    assert_eq!(elements(page)[0].attribute("title"), Some("a \"b\""));
    assert_eq!(elements(page)[2].attribute("onerror"), Some("alert(1)"));
    assert!(text(page).starts_with("<img>"));
    let planted = std::panic::catch_unwind(|| assert_harmless("<p><img src=x></p>", None));
    assert!(planted.is_err());
}
