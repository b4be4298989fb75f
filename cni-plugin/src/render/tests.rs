// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::rpc::Address;

fn dual() -> Attached {
    Attached {
        host_interface: "rtd0123456789a".into(),
        host_mac: Mac([0xee; 6]),
        mac: Mac([2, 0, 0, 0, 0, 0x1f]),
        mtu: 1500,
        addresses: vec![
            Address { ip: "10.64.1.5".parse().unwrap(), gateway: "169.254.1.1".parse().unwrap() },
            Address { ip: "fd00:64:1::5".parse().unwrap(), gateway: "fe80::1".parse().unwrap() },
        ],
        routes: vec![
            Route { dst: "0.0.0.0/0".into(), gw: Some("169.254.1.1".parse().unwrap()) },
            Route { dst: "::/0".into(), gw: Some("fe80::1".parse().unwrap()) },
        ],
    }
}

fn render_as(version: CniVersion) -> String {
    let dns = Dns {
        nameservers: Some(vec!["10.0.0.53".into()]),
        domain: None,
        search: Some(vec!["rack1.example".into()]),
        options: None,
    };
    result(version, &dual(), "eth0", "/run/netns/c1", &dns)
}

const INTERFACES: &str = concat!(
    r#""interfaces":[{"name":"rtd0123456789a","mac":"ee:ee:ee:ee:ee:ee"},"#,
    r#"{"name":"eth0","mac":"02:00:00:00:00:1f","sandbox":"/run/netns/c1"}],"#
);
const TAIL: &str = concat!(
    r#""routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"#,
    r#""dns":{"nameservers":["10.0.0.53"],"search":["rack1.example"]}}"#
);

#[test]
fn result_before_1_0_0_names_the_ip_version() {
    let ips = concat!(
        r#""ips":[{"version":"4","address":"10.64.1.5/32","gateway":"169.254.1.1","interface":1},"#,
        r#"{"version":"6","address":"fd00:64:1::5/128","gateway":"fe80::1","interface":1}],"#
    );
    for (version, text) in [(CniVersion::V0_3_1, "0.3.1"), (CniVersion::V0_4_0, "0.4.0")] {
        let golden = format!(r#"{{"cniVersion":"{text}",{INTERFACES}{ips}{TAIL}"#);
        assert_eq!(render_as(version), golden);
    }
}

#[test]
fn result_of_1_0_0_has_no_ip_version() {
    let ips = concat!(
        r#""ips":[{"address":"10.64.1.5/32","gateway":"169.254.1.1","interface":1},"#,
        r#"{"address":"fd00:64:1::5/128","gateway":"fe80::1","interface":1}],"#
    );
    let golden = format!(r#"{{"cniVersion":"1.0.0",{INTERFACES}{ips}{TAIL}"#);
    assert_eq!(render_as(CniVersion::V1_0_0), golden);
}

#[test]
fn result_without_dns_has_an_empty_object() {
    let text = result(CniVersion::V1_0_0, &dual(), "eth0", "/n", &Dns::default());
    assert!(text.ends_with(r#""dns":{}}"#), "{text}");
}

#[test]
fn error_is_reported_in_the_version_asked_for() {
    let e = Error::new(ErrorCode::TRY_AGAIN, "no \"daemon\"").with_details("line\nline");
    assert_eq!(
        error(Some(CniVersion::V0_3_1), &e),
        r#"{"cniVersion":"0.3.1","code":11,"msg":"no \"daemon\"","details":"line\nline"}"#
    );
    assert!(error(None, &e).starts_with(r#"{"cniVersion":"1.0.0","#));
}

#[test]
fn versions_lists_all_supported() {
    assert_eq!(
        versions(Some(CniVersion::V0_4_0)),
        r#"{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}"#
    );
}
