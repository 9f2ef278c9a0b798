use std::fs::File;
use std::future::Future;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::{MAX_SET_BYTES, NoKeys, Source};
use crate::jwt::keys::events::FetchResult;

/// A file of keys. It is read each time, so that every change is seen, even of a link or within a clock tick.
pub(crate) struct KeyFile {
    path: Arc<Path>,
}

impl KeyFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: path.into() }
    }
}

impl Source for KeyFile {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NoKeys>> + Send + '_>> {
        Box::pin(async {
            let path = Arc::clone(&self.path);
            let text = tokio::task::spawn_blocking(move || read(&path)).await;
            let text = text.unwrap_or_else(|error| Err(error.to_string()));
            text.map_err(|why| NoKeys::new(FetchResult::Unreachable, why))
        })
    }

    fn name(&self) -> &'static str {
        "file"
    }
}

/// Reads a key set of a bounded size. Pipes are refused: they can block, and can't be read again.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    if !path.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("not a file".to_owned());
    }
    let limit = MAX_SET_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    read.map_err(|error| error.to_string())?;
    if text.len() > MAX_SET_BYTES { Err("more than 1 MiB".to_owned()) } else { Ok(text) }
}
