use std::fs;
use std::io::{Write as _, stdout};

use super::go::Go;
use super::machine::Machine;
use super::options::Options;
use super::plan::Plan;
use super::progress::Progress;
use super::results::Results;
use super::rounds::{self, Measured};
use super::rows::{self, Group, Row};
use super::{Error, go, instructions, markdown, plot, results};

/// Measures, and prints the results.
pub(super) fn run(options: &Options) -> Result<(), Error> {
    let rows = selected(rows::all(), &options.filter)?;
    let results = measure(rows, options.quick)?;
    if let Some(file) = &options.plot {
        fs::write(file, plot::svg(&results))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let text = match options.json {
        true => serde_json::to_string_pretty(&results)? + "\n",
        false => markdown::page(&results),
    };
    Ok(stdout().lock().write_all(text.as_bytes())?)
}

/// The rows that a filter asks for, and those that all others are compared with.
fn selected(rows: Vec<Row>, filters: &[String]) -> Result<Vec<Row>, Error> {
    let asked = |row: &Row| filters.iter().any(|filter| row.name.contains(filter));
    if let Some(filter) =
        filters.iter().find(|filter| !rows.iter().any(|row| row.name.contains(*filter)))
    {
        let names: Vec<_> = rows.iter().map(|row| row.name).collect();
        return Err(format!("no row contains `{filter}`; there are: {}", names.join("; ")).into());
    }
    let always = |row: &Row| matches!(row.group, Group::Bare | Group::Peers);
    Ok(rows.into_iter().filter(|row| filters.is_empty() || always(row) || asked(row)).collect())
}

fn measure(rows: Vec<Row>, quick: bool) -> Result<Results, Error> {
    let machine = Machine::here();
    let progress = Progress::start();
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let mut left_out = Vec::new();
    let mut go = match started(quick, &progress) {
        Ok(go) => vec![go],
        Err(why) => {
            left_out.push(format!("the row of grpc-go: {why}."));
            Vec::new()
        }
    };
    let mut rows = rows.into_iter().map(Measured::start).collect::<Result<Vec<_>, Error>>()?;
    rounds::in_process(&mut rows, &plan, &progress)?;
    rounds::end_to_end(&mut rows, &mut go, &plan, &progress)?;
    rounds::working(&mut rows, &plan, &progress)?;
    rounds::growth(&mut rows, &plan, &progress)?;
    match quick
        .then(|| "they take longer than `--quick` may".to_owned())
        .or_else(instructions::missing)
    {
        Some(why) => left_out.push(format!("instructions: {why}.")),
        // What was measured before is worth more than an error.
        None => {
            if let Err(why) = count(&mut rows, &progress) {
                left_out.push(format!("instructions: {why}."));
            }
        }
    }
    let others: Vec<_> = go.iter().map(|go: &Go| (go.name, &go.samples)).collect();
    let rows = results::of(&rows, &others);
    Ok(Results { machine, quick, seconds: progress.seconds(), left_out, rows })
}

fn started(quick: bool, progress: &Progress) -> Result<Go, String> {
    if quick {
        return Err("it takes longer than `--quick` may".to_owned());
    }
    progress.stage("builds grpc-go");
    go::start()
}

fn count(rows: &mut [Measured], progress: &Progress) -> Result<(), Error> {
    progress.stage("instructions");
    let names: Vec<_> = rows.iter().map(|row| row.row.name).collect();
    for (row, [unary, stream]) in rows.iter_mut().zip(instructions::count(&names)?) {
        row.samples.unary.instructions = Some(unary);
        row.samples.stream.instructions = Some(stream);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filters: &[&str]) -> Result<Vec<&'static str>, Error> {
        let filters: Vec<_> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        Ok(selected(rows::all(), &filters)?.into_iter().map(|row| row.name).collect())
    }

    #[test]
    fn without_a_filter_all_rows_are_measured() {
        assert_eq!(names(&[]).ok().map(|names| names.len()), Some(rows::all().len()));
    }

    #[test]
    fn a_filter_keeps_what_all_rows_are_compared_with() {
        let names = names(&["recovery, "]).unwrap_or_default();
        assert!(names.is_empty(), "no row has this name");
        let names = self::names(&["ratelimit, by"]).unwrap_or_default();
        assert_eq!(names, [rows::BARE, "ratelimit, by address", rows::PEERS]);
    }

    #[test]
    fn a_filter_that_no_row_contains_is_an_error_with_the_names_of_all() {
        let error = names(&["nothing"]).expect_err("there is no such row").to_string();
        assert!(error.contains("`nothing`") && error.contains(rows::PEERS), "{error}");
    }

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let mut names: Vec<_> = rows::all().iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows::all().len());
    }
}
