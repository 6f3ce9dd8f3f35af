//! Resource indicators.

use portcullis_oauth::resource::{ResourceError, canonical};

use crate::world::{PAYMENTS, WIKI, resources};

// spec: AS-47
#[test]
fn spellings_of_an_endpoint_are_that_endpoint() {
    for text in [
        WIKI,
        "https://gw.example/mcp/wiki/",
        "HTTPS://GW.EXAMPLE:443/mcp/wiki/",
        "https://gw.example:443/mcp/wiki",
        "hTTps://Gw.example/mcp/wiki",
    ] {
        assert_eq!(resources(None).select([text]).as_deref(), Ok(WIKI), "{text}");
    }
    assert_eq!(canonical("HTTP://LocalHost:7878/mcp/x/").as_deref(), Some("http://localhost:7878/mcp/x"));
    assert_eq!(canonical("http://[::1]:80/").as_deref(), Some("http://[::1]"));
}

// spec: AS-46, RFC8707#2
#[test]
fn what_is_not_one_of_our_endpoints_is_refused() {
    for text in [
        "https://gw.example",
        "https://gw.example/mcp/other",
        "https://gw.example/mcp/wiki//",
        "https://gw.example/mcp/Wiki",
        "https://gw.example/mcp/wiki#frag",
        "https://gw.example/mcp/wiki#",
        "https://gw.example/mcp/wiki?x",
        "https://gw.example/mcp/x/../wiki",
        "https://gw.example/mcp/./wiki",
        "https://gw.example/mcp/%77iki",
        "https://gw.example\\mcp\\wiki",
        "https://evil@gw.example/mcp/wiki",
        "https://gw.example@gw.example/mcp/wiki",
        "https://gw.example:pw@gw.example/mcp/wiki",
        "https://gw%2eexample/mcp/wiki",
        "https://gw.example:8443/mcp/wiki",
        "http://gw.example/mcp/wiki",
        " https://gw.example/mcp/wiki",
        "https://gw.example/mcp/wi\nki",
        "https:/gw.example/mcp/wiki",
        "/mcp/wiki",
        "wiki",
        "urn:mcp:wiki",
        "https://",
        "https:///mcp/wiki",
        "https:///gw.example/mcp/wiki",
        "https:////gw.example/mcp/wiki",
    ] {
        assert_eq!(resources(Some(PAYMENTS)).select([text]), Err(ResourceError::Unknown), "{text:?}");
    }
    assert_eq!(canonical("https://gw.example/mcp/x/../wiki"), None, "dots are not left for others to resolve");
    for other_spelling in ["http://127.1:7878/mcp/x", "http://2130706433/mcp/x", "http://[0:0::1]/mcp/x"] {
        assert_eq!(canonical(other_spelling), None, "{other_spelling}");
    }
    let long = format!("{WIKI}{}", "a".repeat(4096));
    assert_eq!(resources(None).select([long.as_str()]), Err(ResourceError::Unknown));
}

// spec: AS-48
#[test]
fn several_resources_are_refused_unless_they_are_one() {
    assert_eq!(resources(None).select([WIKI, PAYMENTS]), Err(ResourceError::Several));
    assert_eq!(resources(None).select([WIKI, "https://GW.example/mcp/wiki/"]).as_deref(), Ok(WIKI));
}

// spec: AS-49
#[test]
fn absent_resource_means_the_default_endpoint_or_nothing() {
    assert_eq!(resources(Some(WIKI)).select([]).as_deref(), Ok(WIKI));
    assert_eq!(resources(None).select([]), Err(ResourceError::Missing));
}
