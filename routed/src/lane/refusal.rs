// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the core decided, in the terms of the CNI specification.

use cni_plugin::spec::{Error, ErrorCode};

use super::call::CniAnswer;
use crate::core::{Refusal, Reply};
use crate::ipam::IpamError;

impl From<Result<Reply, Refusal>> for CniAnswer {
    fn from(reply: Result<Reply, Refusal>) -> Self {
        match reply {
            Ok(Reply::Attached(answer)) => Self::Attached(answer),
            Ok(Reply::Detached) => Self::Detached,
            Err(refusal) => {
                let error = Error::new(code(&refusal), refusal.to_string());
                Self::Failed(error.with_details(details(&refusal)))
            }
        }
    }
}

/// Where to look, for who has to act.
fn details(refusal: &Refusal) -> String {
    let Refusal::Address(IpamError::Exhausted(pools)) = refusal else { return String::new() };
    let blocks = pools.iter().flat_map(|pool| &pool.blocks);
    let names: Vec<_> = blocks.map(|block| format!("block {block}")).collect();
    names.join(", ")
}

fn code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::TryAgain(_) => ErrorCode::TRY_AGAIN,
        Refusal::Address(error) => match error {
            IpamError::Cooling { .. } => ErrorCode::TRY_AGAIN,
            IpamError::TwoOfOneFamily(_) => ErrorCode::INVALID_CONFIG,
            // Not "try again": a full pool stays full until somebody acts.
            IpamError::Exhausted(_)
            | IpamError::NoBlock(_)
            | IpamError::NoBlocks
            | IpamError::Outside(_)
            | IpamError::Reserved(_)
            | IpamError::InUse { .. } => ErrorCode::ADDRESS_UNAVAILABLE,
        },
        Refusal::Kernel(_) => ErrorCode::KERNEL,
        Refusal::NoWorkloads => ErrorCode::INVALID_CONFIG,
        Refusal::Unknown(_) => ErrorCode::UNKNOWN_CONTAINER,
        Refusal::Differs(_) => ErrorCode::CHECK_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::ExhaustedPool;
    use crate::model::WorkloadId;

    #[test]
    fn refusals_keep_their_meaning_and_their_words() {
        let id = WorkloadId::try_new("c1", "eth0").unwrap();
        let address = "10.64.1.5".parse().unwrap();
        let taken = IpamError::InUse { address, owner: id.clone() };
        let cases = [
            (Refusal::TryAgain("policy is not in force yet".into()), ErrorCode::TRY_AGAIN),
            (IpamError::Exhausted(Vec::new()).into(), ErrorCode::ADDRESS_UNAVAILABLE),
            (IpamError::Cooling { address, seconds: 7 }.into(), ErrorCode::TRY_AGAIN),
            (IpamError::Outside(address).into(), ErrorCode::ADDRESS_UNAVAILABLE),
            (taken.into(), ErrorCode::ADDRESS_UNAVAILABLE),
            (Refusal::Kernel("EEXIST".into()), ErrorCode::KERNEL),
            (Refusal::NoWorkloads, ErrorCode::INVALID_CONFIG),
            (Refusal::Unknown(id), ErrorCode::UNKNOWN_CONTAINER),
            (Refusal::Differs("mtu is 1400".into()), ErrorCode::CHECK_FAILED),
        ];
        for (refusal, expected) in cases {
            let words = refusal.to_string();
            let CniAnswer::Failed(error) = Err(refusal).into() else { panic!("{words}") };
            assert_eq!((error.code, error.msg), (expected, words));
        }
        assert_eq!(CniAnswer::from(Ok(Reply::Detached)), CniAnswer::Detached);
    }

    #[test]
    fn a_full_pool_is_refused_with_the_blocks_to_look_at() {
        let blocks = ["10.64.1.0/26", "10.64.1.64/26"].map(|block| block.parse().unwrap());
        let pool =
            ExhaustedPool { pool: "p".into(), total: 128, cooling: 2, blocks: blocks.into() };
        let refusal = IpamError::Exhausted(vec![pool]).into();
        let CniAnswer::Failed(error) = Err(refusal).into() else { panic!("not failed") };
        assert_eq!(error.msg, "pool p exhausted 128/128 (2 cooling)");
        assert_eq!(error.details, "block 10.64.1.0/26, block 10.64.1.64/26");
    }
}
