// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

#[test]
fn a_workload_id_takes_what_the_cni_specification_allows() {
    let longest = "a".repeat(WorkloadId::MAX_CONTAINER_ID);
    for container_id in ["a", "0", "default-7f", "a.b_c-D9", longest.as_str()] {
        assert!(WorkloadId::try_new(container_id, "eth0").is_ok(), "{container_id}");
    }
}

#[test]
fn a_hostile_container_id_is_refused() {
    let long = "a".repeat(WorkloadId::MAX_CONTAINER_ID + 1);
    for container_id in ["", "-a", ".a", "..", "../x", "a/b", "a\0", "a\n", "é", "a b", &long] {
        let error = WorkloadId::try_new(container_id, "eth0").unwrap_err();
        assert!(matches!(error, InvalidWorkloadId::ContainerId(_)), "{container_id:?}");
    }
}

#[test]
fn an_interface_name_the_kernel_refuses_is_refused() {
    for ifname in ["", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-", "ü"] {
        let error = WorkloadId::try_new("c", ifname).unwrap_err();
        assert!(matches!(error, InvalidWorkloadId::Ifname(_)), "{ifname:?}");
    }
    assert!(WorkloadId::try_new("c", "fifteen-letters").is_ok());
}

#[test]
fn a_workload_id_reads_what_it_prints() {
    let id = WorkloadId::try_new("c1", "net0").unwrap();
    assert_eq!(id.to_string(), "c1/net0");
    assert_eq!("c1/net0".parse(), Ok(id));
    assert!("c1".parse::<WorkloadId>().is_err());
}

#[test]
fn reading_a_workload_id_from_a_file_checks_it() {
    let text = r#"{"containerId":"../x","ifname":"eth0"}"#;
    assert!(serde_json::from_str::<WorkloadId>(text).is_err());
}

#[test]
fn a_hardware_address_reads_what_it_prints() {
    let mac = MacAddr([0x02, 0, 0x5e, 0x10, 0, 0xff]);
    assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
    assert_eq!("02:00:5E:10:00:FF".parse(), Ok(mac));
    for text in
        ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "02:00:5e:10:00:+f"]
    {
        assert!(text.parse::<MacAddr>().is_err(), "{text}");
    }
}
