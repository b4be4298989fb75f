// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a scenario needs of the machine, and the honest way out when it is not there.

use std::path::Path;

use anyhow::{Result, bail};

/// Places beside `PATH` where Debian keeps daemons.
const PLACES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/lib/frr"];

/// Which of these programs are not installed, or that this is not root; `None` if all is there.
pub fn missing(programs: &[&str]) -> Option<String> {
    let absent: Vec<&str> =
        programs.iter().copied().filter(|program| !installed(program)).collect();
    if !rustix::process::geteuid().is_root() {
        Some("root is needed for network namespaces".to_owned())
    } else if absent.is_empty() {
        None
    } else {
        Some(format!("not installed: {} (tests/install-peers.sh)", absent.join(", ")))
    }
}

/// Prints why a test is skipped.
///
/// # Errors
/// With `ROUTED_DENY_SKIP` set, where everything is meant to be installed, a skip is a failure.
pub fn skip(reason: &str) -> Result<()> {
    if std::env::var_os("ROUTED_DENY_SKIP").is_some() {
        bail!("skips are denied: {reason}");
    }
    eprintln!("skip: {reason}");
    Ok(())
}

/// Ends the test with a printed reason if a program is not installed or root is missing.
#[macro_export]
macro_rules! require {
    ($($program:expr),+ $(,)?) => {
        if let Some(reason) = $crate::missing(&[$($program),+]) {
            return $crate::skip(&reason);
        }
    };
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(PLACES.iter().map(Into::into));
    places.any(|place| Path::new(&place).join(program).is_file())
}
