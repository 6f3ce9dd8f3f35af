//! One pass over a JSON text: what is found at paths and by patterns is masked, lists are cut.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_mcp::{
    object::quoted,
    scan::{self, Kind, Limits},
};
use portcullis_policy::{Mask, PathStep};
use serde_json::json;

use super::HeldBack;

/// How deep and how large a text may be in which something is looked for.
const LIMITS: Limits = Limits { depth: 64, nodes: 1_000_000 };
/// What we said ourselves, or the protocol counts: masked, it would be lost, and nobody's data is in it.
const OURS: [&str; 5] = ["requestState", "taskId", "resultType", "progressToken", "requestId"];
const NUMBERS: [&str; 4] = ["ttlMs", "pollIntervalMs", "progress", "total"];

/// The pass.
pub(super) struct Pass<'v> {
    /// From a result on.
    paths: Vec<&'v [PathStep]>,
    masks: Vec<&'v Mask>,
    items: Option<u64>,
}

/// Where in a text a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// A result, or the parameters of what is said meanwhile.
    Result,
    /// The list `content`, beside `structuredContent` or not.
    Content(Beside),
    /// One of it.
    Block(Beside),
    /// The text of one.
    Text(Beside),
    /// In `structuredContent`, or in a copy of it.
    Structured,
    /// Anywhere else.
    Plain,
}

/// Whether a result has `structuredContent`, which servers say once more as a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Structured,
    Nothing,
}

type Edits<'j> = Vec<(&'j str, String)>;

impl<'v> Pass<'v> {
    pub(super) fn new(paths: Vec<&'v [PathStep]>, masks: Vec<&'v Mask>, items: Option<u64>) -> Self {
        Self { paths, masks, items }
    }

    /// A message: its result, error or parameters.
    pub(super) fn message(&self, message: &str) -> Result<Option<String>, HeldBack> {
        let message = checked(message)?;
        let mut edits = Edits::new();
        for (name, raw) in scan::members(message) {
            match &*name {
                "result" => self.value(raw, &self.paths, Spot::Result, &mut edits)?,
                "params" => self.value(raw, &[], Spot::Result, &mut edits)?,
                "error" => self.value(raw, &[], Spot::Plain, &mut edits)?,
                _ => {}
            }
        }
        applied(message, edits)
    }

    /// A text of its own.
    pub(super) fn whole(&self, text: &str, live: &[&[PathStep]], spot: Spot) -> Result<Option<String>, HeldBack> {
        let text = checked(text)?;
        let mut edits = Edits::new();
        self.value(text, live, spot, &mut edits)?;
        applied(text, edits)
    }

    fn value<'j>(&self, raw: &'j str, live: &[&[PathStep]], spot: Spot, edits: &mut Edits<'j>) -> Result<(), HeldBack> {
        if live.iter().any(|steps| steps.is_empty()) {
            edits.push((raw, quoted(Mask::MASK)));
            return Ok(());
        }
        match scan::kind(raw) {
            Kind::Object => self.object(raw, live, spot, edits),
            Kind::Array => self.array(raw, live, spot, edits),
            Kind::String => {
                let text = scan::string(raw).unwrap_or_default();
                if let Cow::Owned(masked) = self.text(&text, spot)? {
                    edits.push((raw, quoted(&masked)));
                }
                Ok(())
            }
            Kind::Number => {
                if let Cow::Owned(_) = self.masked(raw) {
                    edits.push((raw, quoted(Mask::MASK)));
                }
                Ok(())
            }
            Kind::Bool | Kind::Null => Ok(()),
        }
    }

    fn object<'j>(
        &self,
        raw: &'j str,
        live: &[&[PathStep]],
        spot: Spot,
        edits: &mut Edits<'j>,
    ) -> Result<(), HeldBack> {
        let blob = self.attached(raw, edits)?;
        let before = edits.len();
        let mut cut = None;
        for (name, value) in scan::members(raw) {
            let number = || NUMBERS.contains(&&*name) && scan::kind(value) == Kind::Number;
            let own = spot == Spot::Result && (OURS.contains(&&*name) || number());
            if own || blob.is_some_and(|blob| std::ptr::eq(blob, value)) {
                continue;
            }
            self.name(name.clone(), edits)?;
            let inside = match (spot, &*name) {
                (Spot::Result, "content") => Spot::Content(beside(raw)),
                (Spot::Result, "structuredContent") | (Spot::Structured, _) => Spot::Structured,
                // Of a task.
                (Spot::Result, "result") => {
                    self.value(value, &self.paths, Spot::Result, edits)?;
                    continue;
                }
                (Spot::Block(beside), "text") => Spot::Text(beside),
                _ => Spot::Plain,
            };
            let next = after(live, |step| matches!(step, PathStep::Member(wanted) if **wanted == *name));
            let at = edits.len();
            self.value(value, &next, inside, edits)?;
            if inside == Spot::Structured && spot == Spot::Result && edits[at..].iter().any(|(_, new)| new.is_empty()) {
                cut = Some(());
            }
        }
        // Whoever reads it is told what is missing.
        if cut.is_some() && edits.len() > before {
            self.told(raw, edits);
        }
        Ok(())
    }

    /// Says in `content` that lists in `structuredContent` were cut.
    fn told<'j>(&self, result: &'j str, edits: &mut Edits<'j>) {
        let notice = notice(format_args!("lists are cut after {} items", self.items.unwrap_or_default()));
        match scan::member(result, "content").filter(|content| scan::kind(content) == Kind::Array) {
            Some(content) => {
                let end = &content[content.len() - 1..];
                let comma = if scan::elements(content).next().is_some() { "," } else { "" };
                edits.push((end, format!("{comma}{notice}]")));
            }
            None => edits.push((&result[result.len() - 1..], format!(",\"content\":[{notice}]}}"))),
        }
    }

    fn array<'j>(&self, raw: &'j str, live: &[&[PathStep]], spot: Spot, edits: &mut Edits<'j>) -> Result<(), HeldBack> {
        let inside = match spot {
            Spot::Content(beside) => Spot::Block(beside),
            Spot::Structured => Spot::Structured,
            _ => Spot::Plain,
        };
        let most = self.items.filter(|_| matches!(spot, Spot::Content(_) | Spot::Structured));
        let most = most.map_or(usize::MAX, |items| usize::try_from(items).unwrap_or(usize::MAX));
        let (mut kept, mut count) = (None, 0);
        for (at, item) in scan::elements(raw).enumerate() {
            count = at + 1;
            if at >= most {
                continue;
            }
            kept = Some(item);
            let next = after(live, |step| match step {
                PathStep::Each => true,
                PathStep::Item(wanted) => *wanted == at,
                PathStep::Member(_) => false,
            });
            self.value(item, &next, inside, edits)?;
        }
        if count > most
            && let Some(last) = kept
        {
            let from = (last.as_ptr() as usize) - (raw.as_ptr() as usize) + last.len();
            let told = match spot {
                Spot::Content(_) => format!(",{}", notice(format_args!("{most} of {count} items are shown"))),
                _ => String::new(),
            };
            edits.push((&raw[from..raw.len() - 1], told));
        }
        Ok(())
    }

    /// What is in an object as bytes: masked if it is a text, else nobody can look through it. The part that is done.
    fn attached<'j>(&self, object: &'j str, edits: &mut Edits<'j>) -> Result<Option<&'j str>, HeldBack> {
        if self.masks.is_empty() {
            return Ok(None);
        }
        let kind = scan::member(object, "type").and_then(scan::string);
        if matches!(kind.as_deref(), Some("image" | "audio")) && scan::member(object, "data").is_some() {
            return Err(HeldBack::Opaque);
        }
        let Some(blob) = scan::member(object, "blob").filter(|_| scan::member(object, "uri").is_some()) else {
            return Ok(None);
        };
        let bytes = scan::string(blob).and_then(|text| STANDARD.decode(text.as_bytes()).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(HeldBack::Opaque)?;
        if let Cow::Owned(masked) = self.masked(&text) {
            edits.push((blob, quoted(&STANDARD.encode(masked))));
        }
        Ok(Some(blob))
    }

    /// A member's name.
    fn name<'j>(&self, name: Cow<'j, str>, edits: &mut Edits<'j>) -> Result<(), HeldBack> {
        let Cow::Owned(masked) = self.masked(&name) else { return Ok(()) };
        match name {
            Cow::Borrowed(raw) => {
                let quoted = quoted(&masked);
                edits.push((raw, quoted[1..quoted.len() - 1].to_owned()));
                Ok(())
            }
            // Where it stands is not known.
            Cow::Owned(_) => Err(HeldBack::Unreadable),
        }
    }

    fn text<'t>(&self, text: &'t str, spot: Spot) -> Result<Cow<'t, str>, HeldBack> {
        let Spot::Text(beside) = spot else { return Ok(self.masked(text)) };
        if !text.trim_start().starts_with(['{', '[']) {
            return Ok(self.masked(text));
        }
        // What is masked there is masked here, and what is cut there is cut here.
        let items = self.items.filter(|_| beside == Beside::Structured);
        let copy = Self { paths: Vec::new(), masks: self.masks.clone(), items };
        let inside = |steps: &&'v [PathStep]| match steps.split_first() {
            Some((PathStep::Member(name), rest)) if **name == *"structuredContent" => Some(rest),
            _ => None,
        };
        let live: Vec<_> = self.paths.iter().filter_map(inside).collect();
        match copy.whole(text, &live, Spot::Structured) {
            Ok(Some(copy)) => Ok(Cow::Owned(self.masked(&copy).into_owned())),
            // No JSON after all.
            Ok(None) | Err(HeldBack::Unreadable) => Ok(self.masked(text)),
            Err(why) => Err(why),
        }
    }

    /// Owned if there was something to mask.
    fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.masks.iter().fold(Cow::Borrowed(text), |text, mask| {
            let masked = match mask.apply(&text) {
                Cow::Owned(masked) => Some(masked),
                Cow::Borrowed(_) => None,
            };
            masked.map_or(text, Cow::Owned)
        })
    }
}

fn beside(result: &str) -> Beside {
    if scan::member(result, "structuredContent").is_some() { Beside::Structured } else { Beside::Nothing }
}

/// A text that everybody reads in the same way.
fn checked(text: &str) -> Result<&str, HeldBack> {
    scan::check(text.as_bytes(), &LIMITS).map_err(|_| HeldBack::Unreadable)
}

/// The ways that go on behind a step which `fits`.
fn after<'p>(live: &[&'p [PathStep]], fits: impl Fn(&PathStep) -> bool) -> Vec<&'p [PathStep]> {
    live.iter().filter_map(|steps| steps.split_first().filter(|(step, _)| fits(step)).map(|(_, rest)| rest)).collect()
}

fn notice(what: std::fmt::Arguments<'_>) -> String {
    json!({ "type": "text", "text": format!("[The result is larger than rules let through: {what}.]") }).to_string()
}

fn applied(text: &str, mut edits: Edits<'_>) -> Result<Option<String>, HeldBack> {
    if edits.is_empty() {
        return Ok(None);
    }
    edits.sort_by_key(|(raw, _)| raw.as_ptr() as usize);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (raw, new) in &edits {
        let start = (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize).ok_or(HeldBack::Unreadable)?;
        out.push_str(text.get(from..start).ok_or(HeldBack::Unreadable)?);
        out.push_str(new);
        from = start + raw.len();
    }
    out.push_str(text.get(from..).ok_or(HeldBack::Unreadable)?);
    Ok(Some(out))
}
