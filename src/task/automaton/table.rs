//! A machine as a person writes it down: a table of the next states.

use super::machine::{MOST_STATES, Machine, numbered};
use crate::base::error::{Error, Result};

/// Most actions of a table.
const MOST_ACTIONS: usize = 64;

/// The machine of a table: rows are states, divided by `;`, and in each stand the states after actions 0, 1 and so on.
///
/// # Errors
/// When it is empty or too large, a row has more or fewer columns than the first, or something in it is the number of no state:
/// row and column are named.
pub fn machine(text: &str) -> Result<Machine> {
    let next = rows(text).map_err(|why| {
        Error::usage(format!(
            "task.table is no machine: {why}. Write a row for each state, divided by \";\", with the next state for each action, as in \"0 1; 1 0\""
        ))
    })?;
    let actions = next.first().map_or(0, Vec::len);
    Ok(Machine::new(numbered("", next.len()), numbered("", actions), |state, action| {
        next[state][action]
    }))
}

/// `[state][action]`, or what is wrong with it.
fn rows(text: &str) -> Result<Vec<Vec<usize>>, String> {
    let text = text.trim().trim_end_matches(';');
    let rows: Vec<Vec<&str>> =
        text.split(';').map(|row| row.split_whitespace().collect()).collect();
    let (states, actions) = (rows.len(), rows[0].len());
    if actions == 0 {
        return Err("row 0 is empty".to_owned());
    }
    if states > MOST_STATES || actions > MOST_ACTIONS {
        return Err(format!(
            "it has {states} rows and {actions} columns, and at most {MOST_STATES} and {MOST_ACTIONS} are taken"
        ));
    }
    rows.iter().enumerate().map(|(number, row)| self::row(number, row, states, actions)).collect()
}

/// The states of row `number`.
fn row(number: usize, cells: &[&str], states: usize, actions: usize) -> Result<Vec<usize>, String> {
    if cells.len() != actions {
        return Err(format!("row {number} has {} columns, and row 0 has {actions}", cells.len()));
    }
    let read = |(column, cell): (usize, &&str)| {
        let state = cell.parse().ok().filter(|state| *state < states);
        state.ok_or_else(|| {
            let last = states - 1;
            format!("row {number}, column {column} is {cell:?}, and the states are 0 to {last}")
        })
    };
    cells.iter().enumerate().map(read).collect()
}
