//! The tools of the make-believe company.

use serde_json::{Value, json};

use super::{Hint, Pace, Tool, Unusable, as_both, make, string, text};
use crate::{
    company::{Books, Customer},
    shared::Shared,
};

/// Characters of a name, an address or a number at most.
const LONGEST_LINE: usize = 200;
/// Characters of a mail at most.
const LONGEST_MAIL: usize = 4_000;
/// What is refunded at once, at most.
const MOST_MONEY: f64 = 10_000.0;
const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USD"];

pub(super) fn tools() -> Vec<Tool> {
    let customer = json!({ "type": "string", "description": "Number of the customer, as find_customer gives it" });
    vec![
        make(
            "find_customer",
            "Find a customer",
            Pace::Quick,
            Hint::Read,
            "Finds customers of the make-believe company by a part of their name, with the last message each of them wrote.",
            json!({ "query": { "type": "string", "description": "A part of the name, in any case; all if empty" } }),
            &["query"],
        ),
        make(
            "list_invoices",
            "List invoices",
            Pace::Quick,
            Hint::Read,
            "Lists the invoices of the make-believe company.",
            json!({}),
            &[],
        ),
        make(
            "show_ledger",
            "Show the ledger",
            Pace::Quick,
            Hint::Read,
            "Shows every call that set out to change the make-believe company, and counts them by tool.",
            json!({}),
            &[],
        ),
        make(
            "refund_payment",
            "Refund a payment",
            Pace::Quick,
            Hint::Spend,
            "Pays money back to a customer. It cannot be called back.",
            json!({
                "customer": customer,
                "amount": { "type": "number", "exclusiveMinimum": 0, "maximum": MOST_MONEY, "description": "How much" },
                "currency": { "type": "string", "enum": CURRENCIES },
            }),
            &["customer", "amount", "currency"],
        ),
        make(
            "delete_customer",
            "Delete a customer",
            Pace::Quick,
            Hint::Destroy,
            "Deletes a customer for good.",
            json!({ "customer": customer }),
            &["customer"],
        ),
        make(
            "drop_table",
            "Drop a table",
            Pace::Quick,
            Hint::Destroy,
            "Drops a table with all that is in it.",
            json!({ "table": { "type": "string", "enum": ["customers", "invoices"] } }),
            &["table"],
        ),
        make(
            "send_mail",
            "Send a mail",
            Pace::Quick,
            Hint::Send,
            "Sends a mail in the name of the company.",
            json!({
                "to": { "type": "string", "description": "Address of the recipient" },
                "subject": { "type": "string", "maxLength": LONGEST_LINE },
                "text": { "type": "string", "maxLength": LONGEST_MAIL },
            }),
            &["to", "subject", "text"],
        ),
    ]
}

/// Runs the tool called `name`, which is one of [`tools`].
pub(super) fn call(shared: &Shared, name: &'static str, arguments: &Value) -> Result<Value, Unusable> {
    let company = &shared.company;
    let done = match name {
        "find_customer" => return find_customer(&company.open(), arguments),
        "list_invoices" => return list_invoices(&company.open()),
        "show_ledger" => return Ok(show_ledger(&company.open())),
        "refund_payment" => company.act(name, arguments, |books| refund_payment(books, arguments)),
        "delete_customer" => company.act(name, arguments, |books| delete_customer(books, arguments)),
        "drop_table" => company.act(name, arguments, |books| drop_table(books, arguments)),
        _ => company.act(name, arguments, |_| send_mail(arguments)),
    };
    done.map(text).map_err(Unusable)
}

fn find_customer(books: &Books, arguments: &Value) -> Result<Value, Unusable> {
    let query = string(arguments, "query", LONGEST_LINE)?.to_lowercase();
    let customers = books.customers().map_err(Unusable)?;
    let found = customers.iter().filter(|customer| customer.name.to_lowercase().contains(&query));
    let tell = |one: &Customer| json!({ "id": one.id, "name": one.name, "mail": one.mail, "message": one.message });
    Ok(as_both(json!({ "customers": found.map(tell).collect::<Vec<_>>() })))
}

fn list_invoices(books: &Books) -> Result<Value, Unusable> {
    let tell = books.invoices().map_err(Unusable)?.iter().map(
        |one| json!({ "number": one.number, "customer": one.customer, "amount": one.amount, "currency": one.currency }),
    );
    Ok(as_both(json!({ "invoices": tell.collect::<Vec<_>>() })))
}

fn show_ledger(books: &Books) -> Value {
    let counts = books.counts.iter().map(|(tool, count)| {
        let told = json!({ "done": count.done, "failed": count.failed });
        ((*tool).to_owned(), told)
    });
    let entries = books.entries.iter().map(|entry| {
        let (Ok(words) | Err(words)) = &entry.outcome;
        json!({
            "number": entry.number, "tool": entry.tool, "arguments": entry.arguments, "done": entry.outcome.is_ok(),
            "outcome": words })
    });
    as_both(json!({ "counts": counts.collect::<serde_json::Map<_, _>>(), "entries": entries.collect::<Vec<_>>() }))
}

fn refund_payment(books: &Books, arguments: &Value) -> Result<String, String> {
    let customer = books.customer(line(arguments, "customer")?)?;
    let amount = arguments["amount"].as_f64().filter(|amount| *amount > 0.0 && *amount <= MOST_MONEY);
    let amount = amount.ok_or_else(|| format!("\"amount\" is a number above 0, and {MOST_MONEY} at most."))?;
    let currency = line(arguments, "currency")?;
    if !CURRENCIES.contains(&currency) {
        return Err(format!("\"currency\" is one of {}.", CURRENCIES.join(", ")));
    }
    Ok(format!("Refunded {amount:.2} {currency} to {}.", customer.name))
}

fn delete_customer(books: &mut Books, arguments: &Value) -> Result<String, String> {
    let Customer { id, name, .. } = *books.customer(line(arguments, "customer")?)?;
    if let Some(customers) = &mut books.customers {
        customers.retain(|customer| customer.id != id);
    }
    Ok(format!("Deleted the customer {name}."))
}

fn drop_table(books: &mut Books, arguments: &Value) -> Result<String, String> {
    let table = line(arguments, "table")?;
    let rows = match table {
        "customers" => {
            books.customers()?;
            books.customers.take().map_or(0, |rows| rows.len())
        }
        "invoices" => {
            books.invoices()?;
            books.invoices.take().map_or(0, |rows| rows.len())
        }
        _ => return Err("\"table\" is customers or invoices.".to_owned()),
    };
    Ok(format!("Dropped the table {table} with {rows} rows."))
}

fn send_mail(arguments: &Value) -> Result<String, String> {
    let to = line(arguments, "to")?;
    line(arguments, "subject")?;
    string(arguments, "text", LONGEST_MAIL).map_err(|Unusable(why)| why)?;
    Ok(format!("Sent a mail to {to}."))
}

fn line<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, String> {
    string(arguments, name, LONGEST_LINE).map_err(|Unusable(why)| why)
}
