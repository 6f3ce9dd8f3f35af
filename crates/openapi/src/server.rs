//! Where the API is: `servers`, with their variables, or what an administrator says instead.

use serde_json::Value;
use url::Url;

use crate::document::{Problem, below, text};

/// The first server of `holder` (the document, a path or an operation); `base` is what relative URLs are relative to.
pub(crate) fn first(holder: &Value, place: &str, base: Option<&Url>) -> Result<Option<Url>, Problem> {
    let place = below(place, "servers");
    let Some(servers) = holder.get("servers") else { return Ok(None) };
    let servers =
        servers.as_array().ok_or_else(|| Problem::new(&place, "a list is expected here", "write it as - url: …"))?;
    let Some(server) = servers.first() else { return Ok(None) };
    let place = below(&place, "0");
    let at = below(&place, "url");
    let mut url = text(server, "url").to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let Some(default) = variable.get("default").and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }) else {
            let at = below(&below(&place, "variables"), name);
            return Err(Problem::new(&at, "the variable has no default", "give it one, or set `url` in the settings"));
        };
        url = url.replace(&format!("{{{name}}}"), &default);
    }
    if url.contains(['{', '}']) {
        return Err(Problem::new(
            &at,
            "a variable of the address has no value",
            "describe it under variables, or set `url` in the settings",
        ));
    }
    let parsed = match (Url::parse(&url), base) {
        (Err(url::ParseError::RelativeUrlWithoutBase), Some(base)) => base.join(&url),
        (Err(url::ParseError::RelativeUrlWithoutBase), None) => {
            let what = format_args!("\"{url}\" is relative, and nobody knows to what");
            return Err(Problem::new(&at, what, "set `url` in the settings to the API's address"));
        }
        (parsed, _) => parsed,
    };
    let parsed =
        parsed.map_err(|error| Problem::new(&at, format_args!("not a URL ({error})"), "set `url` in the settings"))?;
    usable(&parsed, &at)?;
    Ok(Some(parsed))
}

/// Whether requests can be made to it.
pub(crate) fn usable(url: &Url, place: &str) -> Result<(), Problem> {
    let wrong = |what| Err(Problem::new(place, what, "set `url` in the settings to the API's address"));
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return wrong("not an http:// or https:// address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("an address with a name or password in it");
    }
    Ok(())
}
