//! What can go wrong with a log's file.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {source}", path = path.display())]
pub struct LogError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What someone can do about a [`LogError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// There is no room; make some.
    DiskFull,
    /// Whoever read the log went away.
    BrokenPipe,
    /// The file or directory may not be written.
    Permission,
    /// Anything else; the error's text says what.
    Other,
}

impl LogError {
    pub(crate) fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> Trouble {
        let kind = self.source.kind();
        if matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        ) {
            Trouble::DiskFull
        } else if kind == io::ErrorKind::BrokenPipe {
            Trouble::BrokenPipe
        } else if matches!(kind, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
            Trouble::Permission
        } else {
            Trouble::Other
        }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_and_path_and_tells_troubles_apart() {
        let error = |kind: io::ErrorKind| LogError::new("write", Path::new("/logs/conn.log"), kind.into());
        assert_eq!(error(io::ErrorKind::StorageFull).kind(), Trouble::DiskFull);
        assert_eq!(error(io::ErrorKind::BrokenPipe).kind(), Trouble::BrokenPipe);
        assert_eq!(error(io::ErrorKind::PermissionDenied).kind(), Trouble::Permission);
        assert_eq!(error(io::ErrorKind::InvalidInput).kind(), Trouble::Other);
        assert!(error(io::ErrorKind::BrokenPipe).to_string().starts_with("cannot write /logs/conn.log: "));
    }
}
