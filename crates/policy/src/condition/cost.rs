//! What judging a condition costs at most, told before it is judged: the interpreter has no budget of its own.
//!
//! The bound is computed from the expression and from how large the arguments are, never from what is in them, so that
//! whoever chooses the arguments cannot choose a slow path that was not counted. Units are about a nanosecond.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// The most that one condition may cost: some five milliseconds.
pub(super) const CONDITION: u64 = 5_000_000;
/// The most that all conditions of one call may cost together.
pub(super) const CALL: u64 = 20_000_000;

/// Looking at one part of an expression.
const STEP: u64 = 200;
/// Copying or comparing one value of a list or object; a byte of a text is one unit.
const ITEM: u64 = 20;

/// How large a value is at most, all that is in it together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) items: u64,
}

/// What an expression costs at most, and how large its value is.
#[derive(Clone, Copy, Debug)]
struct Bound {
    work: u64,
    size: Size,
}

impl Size {
    const ONE: Self = Self { bytes: 8, items: 1 };

    fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), items: self.items.saturating_add(other.items) }
    }

    fn times(self, count: u64) -> Self {
        Self { bytes: self.bytes.saturating_mul(count), items: self.items.saturating_mul(count) }
    }

    fn or(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), items: self.items.max(other.items) }
    }

    fn touched(self) -> u64 {
        self.bytes.saturating_add(self.items.saturating_mul(ITEM))
    }
}

/// The most that judging `root` costs, with arguments and other variables that are so large.
pub(super) fn bound(root: &IdedExpr, arguments: Size, others: Size) -> u64 {
    Walk { arguments, others, bound: Vec::new() }.of(root).work
}

struct Walk<'e> {
    arguments: Size,
    others: Size,
    /// The sizes of names that the loops around this place give.
    bound: Vec<(&'e str, Size)>,
}

impl<'e> Walk<'e> {
    fn of(&mut self, node: &'e IdedExpr) -> Bound {
        match &node.expr {
            Expr::Unspecified | Expr::Struct(_) => Bound { work: STEP, size: Size::ONE },
            Expr::Literal(literal) => Bound { work: STEP, size: of_literal(literal) },
            Expr::Ident(name) => Bound { work: STEP, size: self.named(name) },
            Expr::Select(select) => {
                let of = self.of(&select.operand);
                let size = if select.test { Size::ONE } else { of.size };
                Bound { work: of.work.saturating_add(STEP + select.field.len() as u64), size }
            }
            Expr::Call(call) => {
                let parts = call.target.iter().map(|target| &**target).chain(&call.args);
                let (mut work, mut all, mut largest) = (STEP, Size::default(), Size::default());
                for part in parts {
                    let part = self.of(part);
                    work = work.saturating_add(part.work);
                    all = all.plus(part.size);
                    largest = largest.or(part.size);
                }
                match call.func_name.as_str() {
                    operators::LOGICAL_AND
                    | operators::LOGICAL_OR
                    | operators::LOGICAL_NOT
                    | operators::NOT_STRICTLY_FALSE => Bound { work, size: Size::ONE },
                    operators::CONDITIONAL => Bound { work, size: largest },
                    operators::EQUALS
                    | operators::NOT_EQUALS
                    | operators::LESS
                    | operators::LESS_EQUALS
                    | operators::GREATER
                    | operators::GREATER_EQUALS
                    | operators::IN
                    | "contains"
                    | "startsWith"
                    | "endsWith"
                    | "size" => Bound { work: work.saturating_add(all.touched()), size: Size::ONE },
                    // What it makes is not larger than all that it is made of, and a number is written in some digits.
                    _ => Bound { work: work.saturating_add(all.touched()), size: all.plus(Size::ONE.times(4)) },
                }
            }
            Expr::List(list) => self.together(&mut list.elements.iter()),
            Expr::Map(map) => self.together(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })),
            Expr::Comprehension(each) => self.each(each),
        }
    }

    fn named(&self, name: &str) -> Size {
        match self.bound.iter().rev().find(|(bound, _)| *bound == name) {
            Some((_, size)) => *size,
            None if name == "args" => self.arguments,
            None => self.others,
        }
    }

    fn together(&mut self, parts: &mut dyn Iterator<Item = &'e IdedExpr>) -> Bound {
        let (mut work, mut size) = (STEP, Size::ONE);
        for part in parts {
            let part = self.of(part);
            // Each part is copied into the whole.
            work = work.saturating_add(part.work).saturating_add(part.size.touched());
            size = size.plus(part.size).plus(Size::ONE);
        }
        Bound { work, size }
    }

    fn each(&mut self, each: &'e ComprehensionExpr) -> Bound {
        let range = self.of(&each.iter_range);
        let start = self.of(&each.accu_init);
        let count = range.size.items.max(1);
        // What is in a range is no larger than the range, all of it together: as long as the work grows with an item and no
        // faster, every item can be counted with the share that it has on average.
        let body = [&each.loop_cond, &each.loop_step];
        let linear = body.iter().all(|part| degree(part, &each.iter_var) <= 1);
        let item = if linear {
            Size { bytes: range.size.bytes.div_ceil(count), items: range.size.items.div_ceil(count) }
        } else {
            range.size
        };
        let outside = self.bound.len();
        self.bound.push((&each.iter_var, item));
        self.bound.extend(each.iter_var2.as_deref().map(|second| (second, range.size)));
        // `map` and `filter` add to their result where it is, without copying it.
        self.bound.push((&each.accu_var, Size::default()));
        let (mut work, mut step) = (item.touched(), Size::default());
        for part in body {
            let part = self.of(part);
            work = work.saturating_add(part.work);
            step = part.size;
        }
        let result = self.of(&each.result);
        self.bound.truncate(outside);
        let work = range.work.saturating_add(start.work).saturating_add(work.saturating_mul(count));
        let size = start.size.plus(step.times(count)).or(result.size);
        Bound { work: work.saturating_add(result.work).saturating_add(size.touched()), size }
    }
}

/// How the work of `node` grows with the size of what `name` stands for: 0 not at all, 1 in proportion, more: faster.
fn degree(node: &IdedExpr, name: &str) -> u32 {
    let most = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(|part| degree(part, name)).max().unwrap_or(0);
    match &node.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Struct(_) => 0,
        Expr::Ident(ident) => u32::from(ident == name),
        Expr::Select(select) => degree(&select.operand, name),
        Expr::Call(call) => most(&mut call.target.iter().map(|target| &**target).chain(&call.args)),
        Expr::List(list) => most(&mut list.elements.iter()),
        Expr::Map(map) => most(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        Expr::Comprehension(each) => {
            let range = degree(&each.iter_range, name);
            let body = |name: &str| degree(&each.loop_cond, name).max(degree(&each.loop_step, name));
            let own = if each.iter_var == name { 0 } else { body(name) };
            if range == 0 {
                return own;
            }
            // It is gone through, and what is done to each of its items comes on top.
            let inner = body(&each.iter_var).max(1);
            range * inner.max(if own > 0 { 1 + own } else { 1 })
        }
    }
}

fn of_literal(literal: &LiteralValue) -> Size {
    match literal {
        LiteralValue::String(text) => Size { bytes: text.inner().len() as u64, items: 1 },
        LiteralValue::Bytes(bytes) => Size { bytes: bytes.inner().len() as u64, items: 1 },
        _ => Size::ONE,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::condition::Condition;

    /// Judges as the interpreter does, and counts what it touches; it knows what the tests need and nothing more.
    struct Counter {
        args: Value,
        bound: Vec<(String, Value)>,
        work: u64,
    }

    impl Counter {
        fn touch(&mut self, value: &Value) {
            self.work += match value {
                Value::String(text) => ITEM + text.len() as u64,
                Value::Array(items) => {
                    for item in items {
                        self.touch(item);
                    }
                    ITEM
                }
                Value::Object(members) => {
                    for (name, value) in members {
                        self.work += name.len() as u64;
                        self.touch(value);
                    }
                    ITEM
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => ITEM,
            };
        }

        /// The value; `None` is an error.
        fn of(&mut self, node: &IdedExpr) -> Option<Value> {
            self.work += STEP;
            match &node.expr {
                Expr::Literal(LiteralValue::String(text)) => Some(json!(text.inner())),
                Expr::Literal(LiteralValue::Int(number)) => Some(json!(*number.inner())),
                Expr::Literal(LiteralValue::Boolean(value)) => Some(json!(*value.inner())),
                Expr::Ident(name) if name == "args" => Some(self.args.clone()),
                Expr::Ident(name) => self.bound.iter().rev().find(|(bound, _)| bound == name).map(|(_, v)| v.clone()),
                Expr::Select(select) => self.of(&select.operand)?.get(&select.field).cloned(),
                Expr::List(list) => {
                    let items: Option<Vec<_>> = list.elements.iter().map(|item| self.of(item)).collect();
                    let items = items?;
                    for item in &items {
                        self.touch(item);
                    }
                    Some(Value::Array(items))
                }
                Expr::Call(call) => {
                    let parts: Vec<_> = call.target.iter().map(|target| &**target).chain(&call.args).collect();
                    let values: Vec<_> = parts.into_iter().map(|part| self.of(part)).collect();
                    if !matches!(call.func_name.as_str(), operators::LOGICAL_AND | operators::LOGICAL_OR) {
                        values.iter().flatten().for_each(|value| self.touch(value));
                    }
                    match (call.func_name.as_str(), values.as_slice()) {
                        (operators::LOGICAL_AND, _) => {
                            Some(json!(values.iter().all(|value| *value == Some(json!(true)))))
                        }
                        (operators::LOGICAL_OR, _) => Some(json!(values.contains(&Some(json!(true))))),
                        (operators::NOT_STRICTLY_FALSE, _) => Some(json!(true)),
                        (operators::EQUALS, [a, b]) => Some(json!(a == b)),
                        (operators::IN, [Some(one), Some(Value::Array(many))]) => Some(json!(many.contains(one))),
                        (operators::ADD, [Some(Value::String(a)), Some(Value::String(b))]) => {
                            Some(json!(a.clone() + b))
                        }
                        (operators::ADD, [Some(Value::Array(a)), Some(Value::Array(b))]) => {
                            Some(Value::Array(a.iter().chain(b).cloned().collect()))
                        }
                        ("contains", [Some(Value::String(a)), Some(Value::String(b))]) => {
                            Some(json!(a.contains(b.as_str())))
                        }
                        ("size", [Some(Value::String(a))]) => Some(json!(a.len())),
                        ("size", [Some(Value::Array(a))]) => Some(json!(a.len())),
                        _ => None,
                    }
                }
                Expr::Comprehension(each) => {
                    let items = match self.of(&each.iter_range)? {
                        Value::Array(items) => items,
                        Value::Object(members) => members.keys().map(|name| json!(name)).collect(),
                        _ => return None,
                    };
                    let mut accu = self.of(&each.accu_init);
                    for item in items {
                        self.touch(&item);
                        let outside = self.bound.len();
                        // What is added to the end of a list is not copied again: an empty one stands for it.
                        let seen = match &accu {
                            Some(Value::Array(_)) => Some(json!([])),
                            other => other.clone(),
                        };
                        self.bound.push((each.iter_var.clone(), item));
                        self.bound.extend(seen.map(|seen| (each.accu_var.clone(), seen)));
                        self.of(&each.loop_cond);
                        let step = self.of(&each.loop_step);
                        self.bound.truncate(outside);
                        accu = match (accu, step) {
                            (Some(Value::Array(mut all)), Some(Value::Array(more))) => {
                                all.extend(more);
                                Some(Value::Array(all))
                            }
                            (accu @ Some(Value::Array(_)), None) => accu,
                            (_, step) => step,
                        };
                    }
                    accu
                }
                _ => None,
            }
        }
    }

    /// What judging it costs at most, and what it really touches.
    fn told_and_counted(text: &str, arguments: &Value) -> (u64, u64) {
        let condition = Condition::compile(text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
        let raw = arguments.to_string();
        let read = crate::condition::arguments::Arguments::read(&raw).expect("arguments");
        let told = bound(condition.program.expression(), read.size, Size::default());
        let mut counter = Counter { args: arguments.clone(), bound: Vec::new(), work: 0 };
        counter.of(condition.program.expression());
        (told, counter.work)
    }

    fn some_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof!["[ab]{0,30}".prop_map(Value::from), (0..9).prop_map(Value::from)];
        leaf.prop_recursive(3, 60, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::vec(inner, 0..4).prop_map(|all| all
                    .into_iter()
                    .enumerate()
                    .map(|(n, v)| (format!("m{n}"), v))
                    .collect()),
            ]
        })
    }

    /// Loops in loops over what is in the arguments, with something done to it.
    fn some_expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec!["args.a", "args.b", "x", "y", "'ab'", "(args.a + args.a)", "[args.a, x]"]);
        let bare = leaf.prop_map(String::from).prop_recursive(3, 12, 3, |inner| {
            (inner.clone(), inner, any::<bool>())
                .prop_map(|(a, b, add)| if add { format!("({a} + {b})") } else { format!("[{a}, {b}]") })
        });
        let test = (bare.clone(), bare, 0..4_u8).prop_map(|(a, b, kind)| match kind {
            0 => format!("{a} == {b}"),
            1 => format!("{a}.contains({b})"),
            2 => format!("{a} in {b}"),
            _ => format!("size({a}) == 3"),
        });
        let outer = prop::sample::select(vec!["args.a", "args.b", "args", "(args.a + args.b)"]);
        let inner = prop::sample::select(vec!["args.a", "args.b", "x", "(x + x)"]);
        (outer, inner, test, 0..3_u8).prop_map(|(outer, inner, test, kind)| match kind {
            0 => format!("{outer}.all(x, {inner}.exists(y, {test}))"),
            1 => format!("{outer}.map(x, {inner}.filter(y, {test})) == []"),
            _ => format!("{outer}.exists(x, {outer}.all(y, {test}))"),
        })
    }

    proptest! {
        /// The bound is one: what is touched is never more, whatever the arguments are.
        #[test]
        fn nothing_costs_more_than_was_told(text in some_expression(), a in some_value(), b in some_value()) {
            prop_assume!(Condition::compile(&text).is_ok());
            let (told, counted) = told_and_counted(&text, &json!({"a": a, "b": b}));
            prop_assert!(counted <= told, "{text}: {counted} > {told}");
        }
    }

    #[test]
    fn attackers_arguments_are_counted_before_they_are_touched() {
        let text = |bytes: usize| json!({"t": "x".repeat(bytes), "l": ["y"]});
        let list = |items: usize| json!({"t": "x", "l": vec!["y"; items]});
        let doubled = format!("size({}) > 1", vec!["args.t"; 200].join(" + "));
        let nested = "args.l.all(x, args.l.exists(y, x == y))";
        let built = "size(args.l.map(x, args.t + x)) > 1";
        let chain = (0..60).map(|n| format!("args.t.contains('{n}')")).collect::<Vec<_>>().join(" || ");
        for (condition, small, large) in [
            (doubled.as_str(), text(100), text(60_000)),
            (nested, list(30), list(2_000)),
            (built, text(60_000), json!({"t": "x".repeat(30_000), "l": vec!["y"; 5_000]})),
            ("args.l.all(x, x == 'y')", list(1_000), list(15_000)),
            (
                "size(args.l + args.l + args.l + args.l) > args.l.map(x, args.l.map(y, x + y)).size()",
                list(20),
                list(1_000),
            ),
            (chain.as_str(), text(10_000), json!({"t": "x".repeat(63_000), "l": vec!["y"; 100]})),
        ] {
            let Ok(_) = Condition::compile(condition) else { continue };
            let (told, counted) = told_and_counted(condition, &small);
            assert!(told <= CONDITION && counted <= told, "{condition}: {counted} {told}");
            let raw = large.to_string();
            let read = crate::condition::arguments::Arguments::read(&raw).expect("arguments");
            let compiled = Condition::compile(condition).unwrap_or_else(|error| panic!("{}", error.message));
            let told = bound(compiled.program.expression(), read.size, Size::default());
            assert!(told > CONDITION || condition == chain, "{condition}: {told}");
        }
    }
}
