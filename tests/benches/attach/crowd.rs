// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fresh containers: network namespaces by the hundred, made and removed by one `ip`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use fabric_tests::command;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Namespaces that vanish with their handle. Named as those of [`fabric_tests::Netns`], so that
/// the sweep of a later process finds what a killed one left.
#[derive(Debug)]
pub(crate) struct Crowd {
    members: Vec<Container>,
}

/// One namespace, used for one container at a time.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Name of the namespace, and `CNI_CONTAINERID`.
    pub(crate) id: String,
    /// `CNI_NETNS`
    pub(crate) netns: PathBuf,
}

impl Crowd {
    pub(crate) fn new(size: usize) -> Result<Self> {
        let mut crowd = Self { members: Vec::new() };
        for _ in 0..size {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let id = format!("rtd-t-{}-c{number}", std::process::id());
            crowd.members.push(Container { netns: PathBuf::from("/run/netns").join(&id), id });
        }
        crowd.batch("add", false)?;
        Ok(crowd)
    }

    pub(crate) fn members(&self) -> &[Container] {
        &self.members
    }

    fn batch(&self, verb: &str, go_on: bool) -> Result<()> {
        let mut ip = command("ip");
        if go_on {
            ip.arg("-force");
        }
        let mut ip = ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("ip")?;
        let lines: String =
            self.members.iter().map(|member| format!("netns {verb} {}\n", member.id)).collect();
        let mut stdin = ip.stdin.take().context("ip has no standard input")?;
        stdin.write_all(lines.as_bytes()).context("writing to ip")?;
        drop(stdin);
        let status = ip.wait().context("waiting for ip")?;
        ensure!(status.success(), "ip netns {verb}: {status}");
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Err(error) = self.batch("del", true) {
            eprintln!("{error:#}");
        }
    }
}
