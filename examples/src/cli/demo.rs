//! The flags of `orders demo`.

use clap::Args;

/// The flags of `orders demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Leave the server running at the end, until Ctrl-C, and print how to call it
    #[arg(long)]
    pub keep: bool,

    /// Expect another code of a row, to see that the demo notices a difference
    #[arg(long, value_name = "ROW=CODE", hide = true, value_parser = expected_code)]
    pub expect: Vec<ExpectedCode>,
}

/// The code to expect of the row with this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedCode {
    /// The name of the row.
    pub row: String,
    /// The code.
    pub code: String,
}

fn expected_code(text: &str) -> Result<ExpectedCode, &'static str> {
    let (row, code) = text.split_once('=').ok_or("must be ROW=CODE")?;
    Ok(ExpectedCode { row: row.to_owned(), code: code.to_owned() })
}
