// SPDX-License-Identifier: MIT OR Apache-2.0
//! One execution of the plugin: environment and standard input to standard output.

use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal, Read, Write},
    net::IpAddr,
    path::Path,
    process::ExitCode,
};

use rustix::fd::{AsFd, BorrowedFd};

use crate::{
    client::{self, Patience},
    netns, render,
    rpc::{self, Add, Attached, Call, Check, Del, Reply, Request},
    spec::{
        AddConfig, Attachment, BaseConfig, CheckConfig, CniArgs, CniVersion, ContainerId,
        Environment, Error, ErrorCode, IfName,
    },
};

/// Longest configuration, in bytes.
const MAX_STDIN: u64 = 1024 * 1024;

/// Runs the plugin on the environment, standard input and standard output of this process.
///
/// The exit status is 0 or, with the error as JSON on standard output, 1.
#[must_use]
pub fn main() -> ExitCode {
    let (text, status) = match run() {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err((version, error)) => (render::error(version, &error), ExitCode::FAILURE),
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if written.is_err() { ExitCode::FAILURE } else { status }
}

/// An error and the CNI version to report it in, if that was understood.
type Failed = (Option<CniVersion>, Error);

fn run() -> Result<String, Failed> {
    let unversioned = |e| (None, e);
    let environment = Environment::read(|name| env::var_os(name)).map_err(unversioned)?;
    let stdin = read_stdin(&environment).map_err(unversioned)?;
    if environment == Environment::Version {
        return versions(&stdin).map_err(unversioned);
    }
    let base =
        BaseConfig::parse(&stdin).map_err(|e| (BaseConfig::version(&stdin).ok().flatten(), e))?;
    let version = base.version;
    let done = match environment {
        Environment::Add(attachment) => add(&base, &stdin, attachment),
        Environment::Check(attachment) => check(&base, &stdin, attachment),
        Environment::Del { container_id, ifname, netns } => {
            del(&base, container_id, ifname, netns.as_deref())
        }
        Environment::Version => Ok(String::new()),
    };
    done.map_err(|e| (Some(version), e))
}

fn read_stdin(environment: &Environment) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let stdin = io::stdin();
    // A person who asks for the version types nothing.
    if *environment == Environment::Version && stdin.is_terminal() {
        return Ok(text);
    }
    stdin.lock().take(MAX_STDIN + 1).read_to_end(&mut text).map_err(|e| {
        Error::new(ErrorCode::IO, "cannot read standard input").with_details(e.to_string())
    })?;
    if text.len() as u64 > MAX_STDIN {
        return Err(Error::new(ErrorCode::DECODE, "network configuration is longer than 1 MiB"));
    }
    Ok(text)
}

fn versions(stdin: &[u8]) -> Result<String, Error> {
    // Old runtimes send nothing at all, newer ones the version they would like to hear.
    let asked = if stdin.trim_ascii().is_empty() { None } else { BaseConfig::version(stdin)? };
    Ok(render::versions(asked))
}

fn add(base: &BaseConfig, stdin: &[u8], attachment: Attachment) -> Result<String, Error> {
    let config = AddConfig::parse(stdin)?;
    let args = CniArgs::parse(&attachment.args)?;
    let handles = netns::open(&attachment.netns, true)?;
    let mut labels: BTreeMap<_, _> = config.labels;
    labels.extend(args.labels);
    let request = Call::Add(Add {
        container_id: attachment.container_id,
        ifname: attachment.ifname.clone(),
        network: base.name.clone(),
        netns: handles.id,
        ips: choose_ips(config.ips, args.ips)?,
        mac: config.mac.or(args.mac),
        labels,
        namespace: args.namespace,
        name: args.name,
        ipv6_problem: handles.ipv6_problem,
    });
    let fds = [handles.netns.as_fd(), handles.netlink.as_fd()];
    let attached = attached(call(base, request, &fds, Patience::ADD)?)?;
    let ifname = attachment.ifname.as_str();
    Ok(render::result(base.version, &attached, ifname, &attachment.netns, &config.dns))
}

/// The first source that names addresses wins; more than one per family cannot be given.
fn choose_ips(config: Vec<IpAddr>, args: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
    let ips = if config.is_empty() { args } else { config };
    for (family, v4) in [("IPv4", true), ("IPv6", false)] {
        if ips.iter().filter(|ip| ip.is_ipv4() == v4).count() > 1 {
            let msg = format!("more than one {family} address asked for");
            return Err(Error::new(ErrorCode::INVALID_CONFIG, msg));
        }
    }
    Ok(ips)
}

fn check(base: &BaseConfig, stdin: &[u8], attachment: Attachment) -> Result<String, Error> {
    if base.version < CniVersion::V0_4_0 {
        let msg = format!("cniVersion {} has no CHECK", base.version.as_str());
        return Err(Error::new(ErrorCode::INCOMPATIBLE_VERSION, msg));
    }
    let config = CheckConfig::parse(stdin)?;
    let handles = netns::open(&attachment.netns, false)?;
    let request = Call::Check(Check {
        container_id: attachment.container_id,
        ifname: attachment.ifname,
        netns: handles.id,
    });
    let fds = [handles.netns.as_fd(), handles.netlink.as_fd()];
    let attached = attached(call(base, request, &fds, Patience::CHECK)?)?;
    // Chained plugins may have added addresses, but none of ours may be missing.
    match attached.addresses.iter().find(|a| !config.ips.contains(&a.ip)) {
        None => Ok(String::new()),
        Some(missing) => {
            let msg = format!("prevResult lacks address {}", missing.ip);
            Err(Error::new(ErrorCode::CHECK_FAILED, msg))
        }
    }
}

/// DEL reads nothing but what it needs: a workload must go even if its configuration turned bad.
fn del(
    base: &BaseConfig,
    container_id: ContainerId,
    ifname: IfName,
    netns: Option<&str>,
) -> Result<String, Error> {
    let netns = netns.and_then(netns::identify);
    let request = Call::Del(Del { container_id, ifname, netns });
    match call(base, request, &[], Patience::DEL)? {
        Reply::Done => Ok(String::new()),
        Reply::Error(e) => Err(e),
        Reply::Attached(_) => Err(unexpected()),
    }
}

fn call(
    base: &BaseConfig,
    call: Call,
    fds: &[BorrowedFd<'_>],
    patience: Patience,
) -> Result<Reply, Error> {
    let socket = base.socket.as_deref().unwrap_or_else(|| Path::new(rpc::DEFAULT_SOCKET));
    client::call(socket, &Request::new(call), fds, patience)
}

fn attached(reply: Reply) -> Result<Attached, Error> {
    match reply {
        Reply::Attached(attached) => Ok(attached),
        Reply::Error(e) => Err(e),
        Reply::Done => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::new(ErrorCode::DECODE, "the daemon answered another question")
}
