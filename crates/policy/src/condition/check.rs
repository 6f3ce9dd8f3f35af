//! What an expression may be: short, shallow, and made of names that are there.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::{ConditionError, network::WITHIN};
use crate::nearest::nearest;

/// The longest expression, in bytes.
const LENGTH: usize = 2000;
/// The deepest brackets, counted before the parser sees them.
const BRACKETS: usize = 24;
/// The deepest tree: evaluation goes as deep.
const DEPTH: usize = 48;
/// Loops within loops.
const LOOPS: u32 = 2;

const VARIABLES: &[&str] = &[
    "args", "person", "signin", "client", "server", "tool", "method", "now", "classes", "labels", "tags", "through",
    "network", "session",
];
const TYPES: &[&str] = &["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"];
/// Members of the variables that always have the same ones, and what a message calls the variable.
const MEMBERS: &[(&str, &str, &[&str])] = &[
    ("person", "a person", &["id", "name", "kind", "groups", "roles"]),
    ("signin", "a sign-in", &["age_seconds", "acr"]),
    ("network", "a network", &["address"]),
    ("session", "a session", &["labels"]),
];
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "type",
    "dyn",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDayOfMonth",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "orValue",
    "or",
    "hasValue",
    "value",
    WITHIN,
];

/// What matters about an expression when it is judged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    /// Which variables it reads.
    pub(super) variables: Variables,
    /// Whether it asks whether something is there.
    pub(super) guards: bool,
}

/// A set of variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables(u16);

impl Variables {
    /// `args`, which is the first.
    pub(super) const ARGUMENTS: Self = Self(1);

    pub(super) fn has_arguments(self) -> bool {
        self.0 & 1 != 0
    }

    pub(super) fn has_risk(self) -> bool {
        self.names().any(|name| matches!(name, "classes" | "labels"))
    }

    pub(super) fn has_session(self) -> bool {
        self.names().any(|name| name == "session")
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What they are called.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        VARIABLES.iter().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, name)| *name)
    }
}

fn refuse(message: impl Into<String>) -> ConditionError {
    ConditionError { message: message.into(), nearest: None }
}

/// Checks the text: the parser is recursive and has its own mind about where to stop.
pub(super) fn text(text: &str) -> Result<(), ConditionError> {
    if text.trim().is_empty() {
        return Err(refuse("the condition is empty"));
    }
    if text.len() > LENGTH {
        return Err(refuse(format!("the condition is longer than {LENGTH} bytes")));
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS {
            return Err(refuse(format!("the condition nests deeper than {BRACKETS} brackets")));
        }
    }
    Ok(())
}

/// Checks the tree.
pub(super) fn expression(root: &IdedExpr) -> Result<Shape, ConditionError> {
    let mut walk = Walk { shape: Shape::default(), bound: Vec::new() };
    walk.visit(root, 0, 0)?;
    Ok(walk.shape)
}

struct Walk<'e> {
    shape: Shape,
    /// Names that the loops around this place give.
    bound: Vec<&'e str>,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, node: &'e IdedExpr, depth: usize, loops: u32) -> Result<(), ConditionError> {
        if depth > DEPTH {
            return Err(refuse(format!("the condition is deeper than {DEPTH} steps")));
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                if let Expr::Ident(name) = &select.operand.expr
                    && !self.bound.contains(&name.as_str())
                {
                    member(name, &select.field)?;
                }
                self.shape.guards |= select.test;
                self.visit(&select.operand, depth, loops)
            }
            Expr::Call(call) => {
                function(&call.func_name)?;
                call.target
                    .iter()
                    .map(|target| &**target)
                    .chain(&call.args)
                    .try_for_each(|e| self.visit(e, depth, loops))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|e| self.visit(e, depth, loops)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth, loops)?;
                    self.visit(&entry.value, depth, loops)
                }
                EntryExpr::StructField(field) => self.visit(&field.value, depth, loops),
            }),
            Expr::Struct(_) => Err(refuse("a condition cannot make a message")),
            Expr::Comprehension(each) => {
                self.visit(&each.iter_range, depth, loops)?;
                self.visit(&each.accu_init, depth, loops)?;
                let loops = loops + 1;
                if loops > LOOPS {
                    return Err(refuse(format!("the condition has more than {LOOPS} loops within each other")));
                }
                let outside = self.bound.len();
                self.bound.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
                self.bound.extend(each.iter_var2.as_deref());
                for inner in [&each.loop_cond, &each.loop_step, &each.result] {
                    self.visit(inner, depth, loops)?;
                }
                self.bound.truncate(outside);
                Ok(())
            }
        }
    }

    fn name(&mut self, name: &'e str) -> Result<(), ConditionError> {
        if self.bound.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        let Some(at) = VARIABLES.iter().position(|variable| *variable == name) else {
            return Err(unknown("there is no variable", name, VARIABLES));
        };
        self.shape.variables = self.shape.variables.or(Variables(1 << at));
        Ok(())
    }
}

fn member(of: &str, field: &str) -> Result<(), ConditionError> {
    match MEMBERS.iter().find(|(variable, ..)| *variable == of) {
        Some((_, what, members)) if !members.contains(&field) => {
            Err(unknown(&format!("{what} has no member"), field, members))
        }
        _ => Ok(()),
    }
}

/// Operators are functions whose names no identifier can have.
fn function(name: &str) -> Result<(), ConditionError> {
    let operator = name.starts_with(|c: char| !c.is_ascii_alphabetic());
    if operator || FUNCTIONS.contains(&name) { Ok(()) } else { Err(unknown("there is no function", name, FUNCTIONS)) }
}

fn unknown(what: &str, name: &str, choices: &[&'static str]) -> ConditionError {
    let message = format!("{what} \"{}\" in conditions", portcullis_base::printable(name, 64));
    ConditionError { message, nearest: nearest(name, choices.iter().copied()).map(Into::into) }
}
