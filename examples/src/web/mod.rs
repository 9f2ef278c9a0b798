//! The page of `orders serve --web`, which lists, creates and watches orders in a browser, over Connect.
//!
//! Its source is in `web/`, and its files in `web/dist/` are part of the program.

mod files;
mod layer;

pub(crate) use layer::WebLayer;
