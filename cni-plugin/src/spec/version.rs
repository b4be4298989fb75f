// SPDX-License-Identifier: MIT OR Apache-2.0
//! Versions of the CNI specification.

use super::error::{Error, ErrorCode, shorten};

/// A supported version of the CNI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CniVersion {
    /// 0.3.1
    V0_3_1,
    /// 0.4.0, which added CHECK.
    V0_4_0,
    /// 1.0.0, which dropped `version` from addresses.
    V1_0_0,
}

impl CniVersion {
    /// All supported versions, oldest first.
    pub const SUPPORTED: [Self; 3] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0];
    /// The newest supported version; errors are reported in it when none was understood.
    pub const NEWEST: Self = Self::V1_0_0;

    /// The version as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
        }
    }

    /// Reads a version; none is what the specification calls a configuration of 0.2.0 or older.
    ///
    /// # Errors
    /// Code 1, naming the supported versions.
    pub fn parse(text: Option<&str>) -> Result<Self, Error> {
        let found = Self::SUPPORTED.into_iter().find(|v| Some(v.as_str()) == text);
        found.ok_or_else(|| {
            let msg = match text {
                Some(text) => format!("unsupported cniVersion {:?}", shorten(text)),
                None => "configuration without cniVersion (0.2.0 or older) is not supported".into(),
            };
            Error::new(ErrorCode::INCOMPATIBLE_VERSION, msg).with_details(format!(
                "supported: {}",
                Self::SUPPORTED.map(Self::as_str).join(", ")
            ))
        })
    }
}
