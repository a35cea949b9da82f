//! The queries, by name.

mod joins;
mod ranks;
mod rows;
mod statistics;
mod windows;
mod winning;

use std::str::FromStr;

use crate::job::Job;

/// A query of the benchmark.
#[derive(Clone, Copy)]
pub(crate) struct Query {
    pub name: &'static str,
    /// What it asks.
    pub meaning: &'static str,
    /// Adds it to the job.
    pub build: fn(&Job),
}

/// All of them.
pub(crate) const QUERIES: &[Query] = &[
    query("q0", "bids passed through", rows::q0),
    query("q1", "prices in euros, 0.908 to the dollar", rows::q1),
    query("q2", "bids for every 123rd auction", rows::q2),
    query("q3", "people of OR, ID and CA who sell in category 10", joins::q3),
    query("q4", "per category, the mean price that auctions are won at", winning::q4),
    query("q5", "the auctions with most bids in 10 s, every 2 s", windows::q5),
    query("q5w", "q5 with the windows", windows::q5w),
    query("q6", "per seller, the mean price of the last 10 auctions won", winning::q6),
    query("q7", "the highest bids of each 10 s", windows::q7),
    query("q8", "people who join and sell within the same 10 s", windows::q8),
    query("q9", "the winning bid of each auction", winning::q9),
    query("q10", "bids with the day and the minute they are filed under", rows::q10),
    query("q11", "bids per bidder and session, which 10 s of silence end", windows::q11),
    query("q12", "bids per bidder in 10 s by the clock of the machine", windows::q12),
    query("q12e", "bids per bidder in 10 s of event time", windows::q12e),
    query("q13", "bids with the value that a side table has for their auction", rows::q13),
    query("q14", "bids of some prices, with the time of day and the number of letters c", rows::q14),
    query("q15", "per day, how many bids, bidders and auctions", statistics::q15),
    query("q16", "per channel and day, how many bids, bidders and auctions", statistics::q16),
    query("q17", "per auction and day, how many bids at which prices", statistics::q17),
    query("q18", "the last bid of each bidder for each auction", ranks::q18),
    query("q19", "the ten highest bids for each auction", ranks::q19),
    query("q20", "bids for auctions of category 10, with the auction", joins::q20),
    query("q21", "bids with the number of their channel", rows::q21),
    query("q22", "bids with the directories of their url", rows::q22),
    query("q23", "bids with the bidder, and what the bidder sells", joins::q23),
    query("none", "lines told apart and dropped: what reading alone takes", rows::none),
];

const fn query(name: &'static str, meaning: &'static str, build: fn(&Job)) -> Query {
    Query { name, meaning, build }
}

impl FromStr for &'static Query {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        QUERIES.iter().find(|query| query.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<&str> = QUERIES.iter().map(|query| query.name).collect();
            format!("`{name}` is not a query; there are {}", names.join(" "))
        })
    }
}
