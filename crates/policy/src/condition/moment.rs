//! Time in conditions: `now` is seconds since 1970 in UTC, with the functions that CEL gives to timestamps.

use cel::{
    DeclarationError, Env, ExecutionError,
    common::{
        functions::Function,
        types::{CelInt, CelString, INT_TYPE, STRING_TYPE},
        value::CowVal,
    },
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Adds `timestamp("…")` and `now.getHours()` and the like.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    let parts: [(&str, Function); 7] = [
        ("getFullYear", |args| part(&args, |at| i64::from(at.year()))),
        // From 0, as in CEL.
        ("getMonth", |args| part(&args, |at| i64::from(at.month()) - 1)),
        ("getDayOfMonth", |args| part(&args, |at| i64::from(at.day()) - 1)),
        ("getDayOfWeek", |args| part(&args, |at| i64::from(at.weekday().to_sunday_zero_offset()))),
        ("getHours", |args| part(&args, |at| i64::from(at.hour()))),
        ("getMinutes", |args| part(&args, |at| i64::from(at.minute()))),
        ("getSeconds", |args| part(&args, |at| i64::from(at.second()))),
    ];
    for (name, function) in parts {
        env.add_member_overload(name, &format!("seconds_{name}"), INT_TYPE, vec![], function)?;
    }
    env.add_overload("timestamp", "string_to_seconds", vec![STRING_TYPE], |args| {
        let text = args.first().and_then(|text| text.downcast_ref::<CelString<'_>>()).map(CelString::inner);
        let at: Option<Timestamp> = text.and_then(|text| text.parse().ok());
        at.map(|at| CowVal::owned(CelInt::from(at.as_second())))
            .ok_or_else(|| ExecutionError::function_error("timestamp", "not a moment such as 2027-01-01T00:00:00Z"))
    })
}

fn part<'b, 'v>(args: &[CowVal<'b, 'v>], of: fn(&Zoned) -> i64) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let seconds = args.first().and_then(|seconds| seconds.downcast_ref::<CelInt>()).map(|seconds| *seconds.inner());
    let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| CowVal::owned(CelInt::from(of(&at.to_zoned(TimeZone::UTC)))))
        .ok_or_else(|| ExecutionError::function_error("now", "not a moment"))
}
