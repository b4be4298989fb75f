// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names and hardware addresses of links, made from the workload's id.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::derive::Inputs;
use crate::model::{MacAddr, WorkloadId};

/// A host interface name that no other workload has: the prefix and 11 hexadecimal digits.
///
/// The same id gets the same name, unless another id that hashes alike is there.
pub(super) fn host_interface(inputs: &Inputs, prefix: &str, id: &WorkloadId) -> String {
    let free = |name: &String| inputs.by_interface(name).is_none_or(|other| other.record.id == *id);
    let name = |attempt| format!("{prefix}{:011x}", hash(id, attempt) >> 20);
    (0..).map(name).find(free).unwrap_or_default()
}

/// A locally administered unicast hardware address.
pub(super) fn mac(id: &WorkloadId) -> MacAddr {
    let [_, _, a, b, c, d, e, f] = hash(id, u64::MAX).to_be_bytes();
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}

fn hash(id: &WorkloadId, key: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x726f_7574_6564, key);
    hasher.write(id.container_id().as_bytes());
    hasher.write_u8(b'/');
    hasher.write(id.ifname().as_bytes());
    hasher.finish()
}
