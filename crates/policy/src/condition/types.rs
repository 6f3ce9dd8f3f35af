//! What kinds of values an expression can have: comparisons that can never be true are mistakes, and are found before
//! anybody is let through by them, or kept out.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use portcullis_base::{Class, Label, printable};

use super::{ConditionError, network};
use crate::{
    kinds::{Fields, Kinds, Type},
    nearest::nearest,
    who::ROLES,
};

/// What is known about where a condition is judged.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'s> {
    /// The arguments of the tool, and what a message calls the tool.
    pub(crate) arguments: Option<(&'s Type, &'s str)>,
    /// Labels that sessions can have.
    pub(crate) labels: Option<&'s Type>,
}

/// Checks the kinds in the expression, which has to be true or false in the end.
pub(super) fn check(root: &IdedExpr, scope: Scope<'_>) -> Result<(), ConditionError> {
    let mut infer = Infer { scope, bound: Vec::new() };
    let kind = infer.of(root)?;
    if kind.kinds.meets(Kinds::BOOL) {
        return Ok(());
    }
    Err(wrong(format!("the condition is {}, and not true or false", kind.kinds)))
}

struct Infer<'s, 'e> {
    scope: Scope<'s>,
    /// The kinds of names that the loops around this place give.
    bound: Vec<(&'e str, Type)>,
}

fn wrong(message: impl Into<String>) -> ConditionError {
    ConditionError { message: message.into(), nearest: None }
}

impl<'e> Infer<'_, 'e> {
    fn of(&mut self, node: &'e IdedExpr) -> Result<Type, ConditionError> {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => Ok(Type::any()),
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => Ok(self.named(name)),
            Expr::Select(select) => {
                let of = self.of(&select.operand)?;
                let member = self.member(&of, &select.field, &select.operand)?;
                Ok(if select.test { Type::of(Kinds::BOOL) } else { member })
            }
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.of(item)).collect::<Result<Vec<_>, _>>()?;
                Ok(Type::list(items.into_iter().reduce(Type::or).unwrap_or_else(Type::any)))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.of(&entry.key)?;
                        self.of(&entry.value)?;
                    }
                }
                Ok(Type::of(Kinds::MAP))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(each) => self.each(each),
        }
    }

    fn named(&self, name: &str) -> Type {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| *bound == name) {
            return kind.clone();
        }
        let words = |all: &mut dyn Iterator<Item = &'static str>| Type::words(all.map(Arc::from).collect());
        let texts = || Type::list(Type::of(Kinds::TEXT));
        let fields = |members: Vec<(&str, Type)>| {
            let members = members.into_iter().map(|(name, kind)| (name.into(), kind)).collect();
            Type::fields(Fields { members, open: false })
        };
        match name {
            "args" => self.scope.arguments.map_or_else(|| Type::of(Kinds::MAP), |(arguments, _)| arguments.clone()),
            "person" => fields(vec![
                ("id", Type::of(Kinds::TEXT)),
                ("name", Type::of(Kinds::TEXT)),
                ("kind", words(&mut ["person", "service"].into_iter())),
                ("groups", texts()),
                ("roles", Type::list(words(&mut ROLES.iter().copied()))),
            ]),
            "signin" => fields(vec![("age_seconds", Type::of(Kinds::NUMBER)), ("acr", Type::of(Kinds::TEXT))]),
            "network" => fields(vec![("address", Type::of(Kinds::TEXT))]),
            "session" => {
                let label = self.scope.labels.cloned().unwrap_or_else(|| Type::of(Kinds::TEXT));
                fields(vec![("labels", Type::list(label))])
            }
            "classes" => Type::list(words(&mut Class::ALL.iter().map(|class| class.as_str()))),
            "labels" => Type::list(words(&mut Label::ALL.iter().map(|label| label.as_str()))),
            "tags" => texts(),
            "client" | "server" | "through" | "tool" | "method" => Type::of(Kinds::TEXT),
            "now" => Type::of(Kinds::NUMBER),
            _ => Type::any(),
        }
    }

    /// The kind of a member of something that is `of`, found by `operand`.
    fn member(&self, of: &Type, field: &str, operand: &IdedExpr) -> Result<Type, ConditionError> {
        if !of.kinds.meets(Kinds::MAP) {
            return Err(wrong(format!("{} has no member \"{}\"", of.kinds, printable(field, 64))));
        }
        let Some(fields) = &of.fields else { return Ok(Type::any()) };
        if let Some(kind) = fields.members.get(field) {
            return Ok(kind.clone());
        }
        if fields.open {
            return Ok(Type::any());
        }
        let field = printable(field, 64);
        let message = match (&operand.expr, self.scope.arguments) {
            (Expr::Ident(name), Some((_, tool))) if name == "args" => format!("{tool} has no argument \"{field}\""),
            (_, Some((_, tool))) => format!("this argument of {tool} has no member \"{field}\""),
            (_, None) => format!("there is no member \"{field}\""),
        };
        Err(ConditionError {
            message,
            nearest: nearest(&field, fields.members.keys().map(|name| &**name)).map(Into::into),
        })
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Type, ConditionError> {
        let target = call.target.as_ref().map(|target| self.of(target)).transpose()?;
        let args = call.args.iter().map(|arg| self.of(arg)).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&Type> = target.iter().chain(&args).collect();
        let want = |kinds: Kinds, what: &str| match all.iter().find(|kind| !kind.kinds.meets(kinds)) {
            Some(kind) => Err(wrong(format!("{what} is for {kinds}, and this is {}", kind.kinds))),
            None => Ok(()),
        };
        let bool = Type::of(Kinds::BOOL);
        match (call.func_name.as_str(), all.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                if !condition.kinds.meets(Kinds::BOOL) {
                    return Err(wrong(format!("what stands before \"?\" is {}", condition.kinds)));
                }
                Ok((*yes).clone().or((*no).clone()))
            }
            (operators::LOGICAL_AND, _) => want(Kinds::BOOL, "\"&&\"").map(|()| bool),
            (operators::LOGICAL_OR, _) => want(Kinds::BOOL, "\"||\"").map(|()| bool),
            (operators::LOGICAL_NOT, _) => want(Kinds::BOOL, "\"!\"").map(|()| bool),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => compared(left, right).map(|()| bool),
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                want(Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::BYTES).or(Kinds::BOOL), "a comparison by size")?;
                compared(left, right).map(|()| bool)
            }
            (operators::IN, [one, many]) => {
                if !many.kinds.meets(Kinds::LIST.or(Kinds::MAP)) {
                    return Err(wrong(format!("\"in\" is for a list, and this is {}", many.kinds)));
                }
                match &many.item {
                    // A list of the rule's own, each of whose texts has to be possible.
                    Some(item) => compared(one, item).map(|()| bool),
                    None => Ok(bool),
                }
            }
            (operators::ADD, [left, right]) => {
                want(Kinds::NUMBER.or(Kinds::TEXT).or(Kinds::BYTES).or(Kinds::LIST), "\"+\"")?;
                let both = Type::of(left.kinds.and(right.kinds));
                if both.kinds.is_none() { compared(left, right).map(|()| Type::any()) } else { Ok(both) }
            }
            (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE,
                _,
            ) => want(Kinds::NUMBER, "arithmetic").map(|()| Type::of(Kinds::NUMBER)),
            (operators::INDEX, [of, index]) => match &call.args.get(1).map(|index| &index.expr) {
                Some(Expr::Literal(LiteralValue::String(name))) => {
                    call.args.first().map_or_else(|| Ok(Type::any()), |operand| self.member(of, name.inner(), operand))
                }
                _ if !of.kinds.meets(Kinds::LIST.or(Kinds::MAP)) => Err(wrong(format!("{} has no items", of.kinds))),
                _ if !index.kinds.meets(Kinds::NUMBER.or(Kinds::TEXT)) => {
                    Err(wrong(format!("{} is no place in a list", index.kinds)))
                }
                _ => Ok(of.item.as_deref().cloned().unwrap_or_else(Type::any)),
            },
            (name @ ("contains" | "startsWith" | "endsWith"), _) => want(Kinds::TEXT, name).map(|()| bool),
            (network::WITHIN, _) => {
                want(Kinds::TEXT, network::WITHIN)?;
                match call.args.first().map(|arg| &arg.expr) {
                    Some(Expr::Literal(LiteralValue::String(text))) if network::parse(text.inner()).is_none() => {
                        let text = printable(text.inner(), 64);
                        Err(wrong(format!("\"{text}\" is no network; write it as 10.0.0.0/8 or fd00::/8")))
                    }
                    _ => Ok(bool),
                }
            }
            ("size", _) => want(Kinds::TEXT.or(Kinds::BYTES).or(Kinds::LIST).or(Kinds::MAP), "size")
                .map(|()| Type::of(Kinds::NUMBER)),
            ("timestamp" | "int" | "uint" | "double", _) => Ok(Type::of(Kinds::NUMBER)),
            ("string", _) => Ok(Type::of(Kinds::TEXT)),
            ("bytes", _) => Ok(Type::of(Kinds::BYTES)),
            ("bool" | "hasValue", _) => Ok(bool),
            (name, _) if name.starts_with("get") => want(Kinds::NUMBER, name).map(|()| Type::of(Kinds::NUMBER)),
            _ => Ok(Type::any()),
        }
    }

    fn each(&mut self, each: &'e ComprehensionExpr) -> Result<Type, ConditionError> {
        let range = self.of(&each.iter_range)?;
        if !range.kinds.meets(Kinds::LIST.or(Kinds::MAP)) {
            return Err(wrong(format!("{} has no items to look at", range.kinds)));
        }
        let outside = self.bound.len();
        let accumulator = self.of(&each.accu_init)?;
        let item = match (&range.item, range.kinds.meets(Kinds::MAP)) {
            (Some(item), false) => (**item).clone(),
            _ => Type::any(),
        };
        self.bound.push((&each.iter_var, item));
        self.bound.extend(each.iter_var2.as_deref().map(|second| (second, Type::any())));
        self.bound.push((&each.accu_var, accumulator));
        for inner in [&each.loop_cond, &each.loop_step] {
            self.of(inner)?;
        }
        let result = self.of(&each.result);
        self.bound.truncate(outside);
        result
    }
}

/// Whether there are values of both kinds that are equal.
fn compared(left: &Type, right: &Type) -> Result<(), ConditionError> {
    let null = |kind: &Type| kind.kinds == Kinds::NULL;
    if !left.kinds.meets(right.kinds) && !null(left) && !null(right) {
        return Err(wrong(format!("{} is compared with {}", left.kinds, right.kinds)));
    }
    if let (Some(a), Some(b)) = (&left.words, &right.words)
        && left.written != right.written
    {
        let (words, written) = if right.written { (a, b) } else { (b, a) };
        if let Some(word) = written.iter().find(|word| !words.contains(word)) {
            let list = words.iter().take(12).map(|word| printable(word, 32)).collect::<Vec<_>>().join(", ");
            let message = match printable(word, 64) {
                word if list.is_empty() => format!("\"{word}\" can never be there"),
                word => format!("\"{word}\" is none of {list}"),
            };
            return Err(ConditionError {
                message,
                nearest: nearest(word, words.iter().map(|word| &**word)).map(Into::into),
            });
        }
    }
    Ok(())
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::of(Kinds::BOOL),
        LiteralValue::Bytes(_) => Type::of(Kinds::BYTES),
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::of(Kinds::NUMBER),
        LiteralValue::Null => Type::of(Kinds::NULL),
        LiteralValue::String(text) => Type { written: true, ..Type::words([Arc::from(text.inner())].into()) },
    }
}
