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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{Live, Phase};
    use crate::model::{NetnsId, Stage, Workload};
    use reconcile::Revision;

    fn id(text: &str) -> WorkloadId {
        WorkloadId::try_new(text, "eth0").unwrap()
    }

    fn holder(host_interface: &str, id: WorkloadId) -> Live {
        let record = Workload {
            id,
            netns: NetnsId { dev: 4, ino: 1 },
            namespace: String::new(),
            name: String::new(),
            labels: Default::default(),
            v4: None,
            v6: None,
            mac: MacAddr([2; 6]),
            mtu: 1500,
            host_interface: host_interface.to_owned(),
            created: 0,
            stage: Stage::Attached,
        };
        Live { record, phase: Phase::Wanted, since: Revision(1), former: None }
    }

    #[test]
    fn a_name_is_the_prefix_and_eleven_digits() {
        let name = host_interface(&Inputs::default(), "rtd", &id("a"));
        let digits = name.strip_prefix("rtd").unwrap();
        assert_eq!(digits.len(), 11);
        assert!(digits.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
        assert_eq!(name, host_interface(&Inputs::default(), "rtd", &id("a")));
        assert_ne!(name, host_interface(&Inputs::default(), "rtd", &id("b")));
        let other = WorkloadId::try_new("a", "eth1").unwrap();
        assert_ne!(name, host_interface(&Inputs::default(), "rtd", &other));
    }

    /// Fault 16: two ids that hash alike.
    #[test]
    fn a_name_that_another_workload_has_is_not_taken() {
        let name = host_interface(&Inputs::default(), "rtd", &id("a"));
        let mut inputs = Inputs::default();
        inputs.put_workload(holder(&name, id("b")));
        let other = host_interface(&inputs, "rtd", &id("a"));
        assert_ne!(other, name);
        assert_eq!(other.len(), 14);
        let mut inputs = Inputs::default();
        inputs.put_workload(holder(&name, id("a")));
        assert_eq!(host_interface(&inputs, "rtd", &id("a")), name, "its own it keeps");
    }

    #[test]
    fn a_hardware_address_is_local_and_unicast() {
        for n in 0..100 {
            assert_eq!(mac(&id(&format!("c{n}"))).0[0] & 0b11, 0b10);
        }
        assert_ne!(mac(&id("a")), mac(&id("b")));
    }
}
