//! An object taken apart one level deep: its members in their order, every value the text it came as.
//!
//! What is not touched is written back byte for byte, so a number keeps its digits and a string its escapes.

use std::borrow::Cow;

use serde_json::Value;

use crate::scan::{self, Kind};

/// An object whose members can be set and taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    raw: &'a str,
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    edited: bool,
}

impl<'a> Object<'a> {
    /// Reads checked text; `None` if it is not an object.
    pub fn read(raw: &'a str) -> Option<Self> {
        let is_object = scan::kind(raw) == Kind::Object;
        let members = || scan::members(raw).map(|(name, value)| (name, Cow::Borrowed(value))).collect();
        is_object.then(|| Self { raw, members: members(), edited: false })
    }

    /// An object without members.
    pub fn new() -> Self {
        Self { raw: "{}", members: Vec::new(), edited: false }
    }

    /// The raw value of the member called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// The raw value of the member called `name` as it came; `None` if it was set since.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        match self.members.iter().find(|(found, _)| found == name) {
            Some((_, Cow::Borrowed(value))) => Some(value),
            _ => None,
        }
    }

    /// What the member called `name` says, if it is a string.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).and_then(scan::string)
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The names and raw values, in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Gives the member called `name` the raw value `value`, in its place or at the end.
    pub fn set(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self.members.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) if std::ptr::eq(&raw const **old, &raw const *value) => return,
            Some((_, old)) => *old = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
        self.edited = true;
    }

    /// Takes away the member called `name` and gives its raw value.
    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.members.iter().position(|(found, _)| found == name)?;
        self.edited = true;
        Some(self.members.remove(at).1)
    }

    /// Takes away the members whose name and raw value `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let before = self.members.len();
        self.members.retain(|(name, value)| keep(name, value));
        self.edited |= self.members.len() < before;
    }

    /// Puts what `edit` makes of a name and its raw value in the value's place; `None` leaves it.
    pub fn each(&mut self, mut edit: impl FnMut(&str, &str) -> Option<Cow<'a, str>>) {
        for (name, value) in &mut self.members {
            if let Some(new) = edit(name, value) {
                *value = new;
                self.edited = true;
            }
        }
    }

    /// The object as text: as it came if nothing was changed.
    pub fn finish(self) -> Cow<'a, str> {
        if !self.edited {
            return Cow::Borrowed(self.raw);
        }
        let length = self.members.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 2;
        let mut out = String::with_capacity(length);
        for (name, value) in &self.members {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&quoted(name));
            out.push(':');
            out.push_str(value);
        }
        out.push_str(if out.is_empty() { "{}" } else { "}" });
        Cow::Owned(out)
    }
}

impl Default for Object<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The raw array with every element replaced by what `edit` makes of it and of its place; `None` takes it away.
///
/// Text that is no array, and an array in which every element is given back as it came, is returned as it is.
pub fn edit_elements<'a>(array: &'a str, mut edit: impl FnMut(usize, &'a str) -> Option<Cow<'a, str>>) -> Cow<'a, str> {
    if scan::kind(array) != Kind::Array {
        return Cow::Borrowed(array);
    }
    let mut edited = false;
    let mut elements = Vec::new();
    for (index, element) in scan::elements(array).enumerate() {
        let new = edit(index, element);
        edited |= !matches!(new, Some(Cow::Borrowed(same)) if std::ptr::eq(same, element));
        elements.extend(new);
    }
    if edited { Cow::Owned(joined(&elements)) } else { Cow::Borrowed(array) }
}

/// A raw array of raw elements.
pub fn joined(elements: &[impl AsRef<str>]) -> String {
    let mut out = String::with_capacity(elements.iter().map(|element| element.as_ref().len() + 1).sum::<usize>() + 2);
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
    out
}
