//! `portcullis insight`: what goes on, in numbers.

use portcullis_base::{Clock, printable};
use portcullis_gateway::insight::{Insight, Named, Notice, Span, Strange, Wanted, insight, told};
use portcullis_store::{OTHERS, Top, UnusedKind};

use crate::{
    failure::{Failure, Result},
    house::House,
    output::{BOLD, json as print_json, line, styled, table},
    settings::Settings,
};

/// Notices that are shown.
const NOTICES: usize = 30;

/// Shows the numbers of the time that is wanted.
pub async fn run(wanted: &Wanted, json: bool, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let now = house.clock.now();
    let span = Span::of(wanted, now).map_err(Failure::usage)?;
    let insight = insight(&house.store, span, now).await.map_err(|error| house.failed(error))?;
    let named = Named::of(&house.store, &insight).await.map_err(|error| house.failed(error))?;
    if json {
        print_json(&told(&insight, &named));
    } else {
        show(&insight, &named);
    }
    Ok(())
}

fn show(insight: &Insight, named: &Named) {
    let (span, total) = (insight.span, insight.total);
    line(format_args!("{} to {}", span.since, span.until));
    line(format_args!("Calls {}, errors {}, denied {}", total.calls(), total.errors(), total.refused()));
    line(format_args!(
        "Approvals asked for {}, granted {}, refused {}, expired {}",
        total.approvals_asked, total.approvals_granted, total.approvals_refused, total.approvals_expired
    ));
    let took = |share| insight.latency_total.quantile(share).map(|micros| micros as f64 / 1000.0);
    if let (Some(half), Some(most), Some(nearly)) = (took(0.5), took(0.95), took(0.99)) {
        line(format_args!("A call took {half:.1} ms (median), 95 % within {most:.1} ms, 99 % within {nearly:.1} ms"));
    }
    ranks("TOOL", &insight.tools, |top| format!("{} {}", top.server, top.name));
    ranks("PERSON", &insight.people, |top| named.person(&top.name).to_owned());
    ranks("CLIENT", &insight.clients, |top| named.client(&top.name).to_owned());
    ranks("SERVER", &insight.servers, |top| top.server.clone());
    if !insight.notices.is_empty() {
        heading("Out of the ordinary");
        for notice in insight.notices.iter().take(NOTICES) {
            line(format_args!("{}  {}", notice.at, noticed(notice, named)));
        }
        let more = insight.notices.len().saturating_sub(NOTICES);
        if more > 0 {
            line(format_args!("and {more} older ones"));
        }
    }
    if !insight.unused.is_empty() {
        heading("Rights that nobody uses");
        let rows = insight.unused.iter().map(|unused| {
            let name = if unused.kind == UnusedKind::Client { named.client(&unused.name) } else { &unused.name };
            let used = unused.used_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
            let person = named.person(&unused.person).to_owned();
            vec![
                unused.kind.as_str().to_owned(),
                name.to_owned(),
                person,
                unused.made_at.to_string(),
                used,
                unused.place.clone(),
            ]
        });
        table(&["RIGHT", "NAME", "WHOSE", "MADE", "LAST USED", "GOOD FOR"], &rows.collect::<Vec<_>>());
    }
}

fn heading(text: &str) {
    line("");
    line(styled(BOLD, text));
}

fn ranks(head: &str, all: &[Top], name: impl Fn(&Top) -> String) {
    if all.is_empty() {
        return;
    }
    line("");
    let rows = all.iter().map(|top| {
        let name = if top.name == OTHERS { "all others".to_owned() } else { name(top) };
        let counts = [top.counts.calls(), top.counts.errors(), top.counts.refused()];
        [name].into_iter().chain(counts.map(|count| count.to_string())).collect::<Vec<_>>()
    });
    table(&[head, "CALLS", "ERRORS", "DENIED"], &rows.collect::<Vec<_>>());
}

fn noticed(notice: &Notice, named: &Named) -> String {
    let person = printable(named.person(&notice.person), 60);
    match &notice.what {
        Strange::New { thing, server, names } => {
            let names: Vec<_> = names.iter().map(|name| printable(named.client(name), 60)).collect();
            let at = if server.is_empty() { String::new() } else { format!(" at {}", printable(server, 60)) };
            format!("{person} used for the first time: {} {}{at}", thing.as_str(), names.join(", "))
        }
        Strange::Volume { calls, usual } => format!("{person} made {calls} calls in a day; usual is {usual}"),
    }
}
