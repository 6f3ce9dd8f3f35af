//! Addresses in conditions: `network.address.within('10.0.0.0/8')`.

use std::net::IpAddr;

use cel::{
    DeclarationError, Env, ExecutionError,
    common::{
        types::{CelBool, CelString, STRING_TYPE},
        value::CowVal,
    },
};
use ipnet::IpNet;

/// The name of the function.
pub(super) const WITHIN: &str = "within";

/// Adds `within`.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload(WITHIN, "string_within_string", STRING_TYPE, vec![STRING_TYPE], |args| {
        let mut texts = args.iter().map(|arg| arg.downcast_ref::<CelString<'_>>().map(CelString::inner));
        let (address, network) = (texts.next().flatten(), texts.next().flatten());
        let address: Option<IpAddr> = address.and_then(|text| text.parse().ok());
        let found = address.zip(network.and_then(parse));
        found
            .map(|(address, network)| CowVal::owned(CelBool::from(network.contains(&address.to_canonical()))))
            .ok_or_else(|| {
                ExecutionError::function_error(WITHIN, "not an address, or not a network such as 10.0.0.0/8")
            })
    })
}

/// A network, or one address.
pub(super) fn parse(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
