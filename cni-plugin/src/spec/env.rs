// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment variables of the CNI specification.

use std::ffi::OsString;

use super::{
    error::{Error, ErrorCode, shorten},
    id::{ContainerId, IfName},
};

/// The command of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Compare.
    Check,
    /// List the supported versions.
    Version,
}

/// The checked environment of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// `CNI_COMMAND=ADD`
    Add(Attachment),
    /// `CNI_COMMAND=DEL`
    Del {
        /// `CNI_CONTAINERID`
        container_id: ContainerId,
        /// `CNI_IFNAME`
        ifname: IfName,
        /// `CNI_NETNS`, unless missing or empty: the namespace may be gone already.
        netns: Option<String>,
    },
    /// `CNI_COMMAND=CHECK`
    Check(Attachment),
    /// `CNI_COMMAND=VERSION`
    Version,
}

/// What ADD and CHECK need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`
    pub container_id: ContainerId,
    /// `CNI_IFNAME`
    pub ifname: IfName,
    /// `CNI_NETNS`, a path.
    pub netns: String,
    /// `CNI_ARGS`, unchecked.
    pub args: String,
}

impl Environment {
    /// Reads the environment through `lookup`.
    ///
    /// # Errors
    /// Code 4, naming every variable that is missing, or the first that is invalid.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let vars = Variables { lookup };
        let command = parse_command(&vars.required(&["CNI_COMMAND"])?[0])?;
        match command {
            Command::Version => Ok(Self::Version),
            Command::Add => Ok(Self::Add(vars.attachment()?)),
            Command::Check => Ok(Self::Check(vars.attachment()?)),
            Command::Del => {
                let [container_id, ifname] = vars.required(&["CNI_CONTAINERID", "CNI_IFNAME"])?;
                Ok(Self::Del {
                    container_id: parse("CNI_CONTAINERID", container_id)?,
                    ifname: parse("CNI_IFNAME", ifname)?,
                    netns: vars.optional("CNI_NETNS")?.filter(|path| !path.is_empty()),
                })
            }
        }
    }
}

struct Variables<F> {
    lookup: F,
}

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    fn attachment(&self) -> Result<Attachment, Error> {
        let [container_id, netns, ifname] =
            self.required(&["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])?;
        Ok(Attachment {
            container_id: parse("CNI_CONTAINERID", container_id)?,
            ifname: parse("CNI_IFNAME", ifname)?,
            netns,
            args: self.optional("CNI_ARGS")?.unwrap_or_default(),
        })
    }

    fn optional(&self, name: &str) -> Result<Option<String>, Error> {
        let text = (self.lookup)(name).map(OsString::into_string).transpose();
        text.map_err(|_| invalid(name, "not UTF-8"))
    }

    fn required<const N: usize>(&self, names: &[&str; N]) -> Result<[String; N], Error> {
        let mut values = [const { String::new() }; N];
        let mut missing = Vec::new();
        for (value, &name) in values.iter_mut().zip(names) {
            match self.optional(name)? {
                Some(text) if !text.is_empty() => *value = text,
                _ => missing.push(name),
            }
        }
        if missing.is_empty() {
            return Ok(values);
        }
        let msg = format!("missing environment variable: {}", missing.join(", "));
        Err(Error::new(ErrorCode::INVALID_ENVIRONMENT, msg))
    }
}

fn parse_command(text: &str) -> Result<Command, Error> {
    match text {
        "ADD" => Ok(Command::Add),
        "DEL" => Ok(Command::Del),
        "CHECK" => Ok(Command::Check),
        "VERSION" => Ok(Command::Version),
        other => Err(invalid("CNI_COMMAND", &format!("unknown command {:?}", shorten(other)))),
    }
}

fn parse<T: TryFrom<String, Error: ToString>>(name: &str, text: String) -> Result<T, Error> {
    T::try_from(text).map_err(|e| invalid(name, &e.to_string()))
}

fn invalid(name: &str, why: &str) -> Error {
    let msg = format!("invalid environment variable {name}: {why}");
    Error::new(ErrorCode::INVALID_ENVIRONMENT, msg)
}
