//! What an argument says by its name, for whoever has to answer for a call: whom something goes to, and how much.

use crate::{schema, tables::among, words};

/// What is at stake in an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stake {
    /// Whom, or where, something goes to.
    Whom,
    /// How much.
    HowMuch,
}

/// Accounts of somebody.
const ACCOUNTS: &str = "account_number routing_number";
/// As one word of a longer name.
const WHOM: &str = "wallet recipient recipients payee beneficiary email emails iban webhook address addresses";
const HOW_MUCH: &str = "amount amounts price currency sum";

impl Stake {
    /// What is at stake in an argument of this name.
    // spec: T-83: "resolved recipients/amount"
    pub fn of(name: &str) -> Option<Self> {
        let tokens: Vec<String> = words::name(name).tokens.into_iter().map(|token| token.text).collect();
        let key = tokens.join("_");
        let is_one = |lists: &[&'static str]| lists.iter().any(|list| among(list, &key));
        let has_one = |list| tokens.iter().any(|word| among(list, word));
        if is_one(&[schema::AMOUNTS]) || has_one(HOW_MUCH) {
            Some(Self::HowMuch)
        } else if is_one(&[schema::RECIPIENTS, schema::ADDRESSES, ACCOUNTS]) || has_one(WHOM) {
            Some(Self::Whom)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-83
    #[test]
    fn names_tell_whom_and_how_much() {
        for name in ["to", "CC", "recipientEmail", "customer_email", "iban", "webhook_url", "channel_id", "tо", "url"]
        {
            assert_eq!(Stake::of(name), Some(Stake::Whom), "{name}");
        }
        for name in ["amount", "amount_cents", "totalAmount", "currency", "price", "slippage"] {
            assert_eq!(Stake::of(name), Some(Stake::HowMuch), "{name}");
        }
        for name in ["", "id", "subject", "text", "note", "topic", "emailed_at", "from_date", "to_date", "order_id"] {
            assert_eq!(Stake::of(name), None, "{name}");
        }
    }
}
