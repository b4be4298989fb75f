// SPDX-License-Identifier: MIT OR Apache-2.0
use std::{collections::HashMap, ffi::OsString, net::IpAddr, os::unix::ffi::OsStringExt};

use super::*;

fn env(pairs: &[(&str, &str)]) -> Result<Environment, Error> {
    let vars: HashMap<_, _> =
        pairs.iter().map(|&(k, v)| (k.to_owned(), OsString::from(v))).collect();
    Environment::read(|name| vars.get(name).cloned())
}

fn labels(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn missing_variables_are_all_named() {
    let e = env(&[]).unwrap_err();
    assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
    assert!(e.msg.contains("CNI_COMMAND"), "{e}");
    let e = env(&[("CNI_COMMAND", "ADD"), ("CNI_NETNS", ""), ("CNI_IFNAME", "eth0")]).unwrap_err();
    assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
    assert!(e.msg.contains("CNI_CONTAINERID, CNI_NETNS"), "{e}");
    assert!(!e.msg.contains("CNI_IFNAME"), "{e}");
}

#[test]
fn del_needs_no_netns() {
    for netns in [None, Some("")] {
        let mut vars =
            vec![("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")];
        vars.extend(netns.map(|n| ("CNI_NETNS", n)));
        let found = env(&vars).unwrap();
        assert!(matches!(found, Environment::Del { netns: None, .. }), "{found:?}");
    }
}

#[test]
fn commands_of_later_versions_are_unknown() {
    for command in ["GC", "STATUS", "add", "ADD "] {
        let e = env(&[("CNI_COMMAND", command)]).unwrap_err();
        assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
        assert!(e.msg.contains("CNI_COMMAND"), "{e}");
    }
}

#[test]
fn variable_that_is_not_utf8_is_named() {
    let bytes = |name: &str| match name {
        "CNI_COMMAND" => Some("VERSION".into()),
        _ => Some(OsString::from_vec(vec![0xff])),
    };
    assert_eq!(Environment::read(bytes), Ok(Environment::Version));
    let e = Environment::read(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
    assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
    assert!(e.msg.contains("CNI_COMMAND"), "{e}");
}

#[test]
fn container_ids_are_safe_as_file_names() {
    let long = "a".repeat(10 * 1024);
    for bad in ["", "../x", "a/b", "a\0", "a\n", "-x", ".x", "_x", "é", "a b", long.as_str()] {
        assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
    }
    let most = "a".repeat(200);
    for good in ["a", "0", "A.b_c-d", "default-t1", most.as_str()] {
        assert_eq!(good.parse::<ContainerId>().unwrap().as_str(), good);
    }
    assert!("a".repeat(201).parse::<ContainerId>().is_err());
}

#[test]
fn interface_names_follow_the_kernel() {
    let sixteen = "a".repeat(16);
    let bad = [
        "", ".", "..", "lo", "all", "default", "a/b", "a:b", "a b", "a\tb", "eth%d", "é", "a\0",
        &sixteen,
    ];
    for name in bad {
        assert!(name.parse::<IfName>().is_err(), "{name:?}");
    }
    for good in ["eth0", "net1", "a-b.c", &"a".repeat(15)] {
        assert_eq!(good.parse::<IfName>().unwrap().as_str(), good);
    }
}

#[test]
fn ids_are_checked_when_decoded() {
    assert!(serde_json::from_str::<ContainerId>(r#""../x""#).is_err());
    assert!(serde_json::from_str::<IfName>(r#""a/b""#).is_err());
    assert!(serde_json::from_str::<Mac>(r#""02:00:00:00:00""#).is_err());
}

#[test]
fn mac_is_printed_as_it_is_parsed() {
    let mac: Mac = "0A:1b:2C:3d:4E:5f".parse().unwrap();
    assert_eq!(mac.to_string(), "0a:1b:2c:3d:4e:5f");
    for bad in ["", "0a:1b:2c:3d:4e", "0a:1b:2c:3d:4e:5f:60", "+a:1b:2c:3d:4e:5f", "0a1b2c3d4e5f"] {
        assert!(bad.parse::<Mac>().is_err(), "{bad:?}");
    }
    assert!(!Mac([0; 6]).is_unicast());
    assert!(!Mac([1, 0, 0, 0, 0, 1]).is_unicast());
    assert!(mac.is_unicast());
}

#[test]
fn cni_args_come_in_any_order() {
    let expected = CniArgs {
        ips: ips(&["10.64.1.7"]),
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        labels: labels(&[("app", "web"), ("url", "http://x")]),
        namespace: Some("shop".into()),
        name: Some("web-7f".into()),
    };
    let mut pairs = [
        "IgnoreUnknown=1",
        "K8S_POD_NAMESPACE=shop",
        "K8S_POD_NAME=web-7f",
        "K8S_POD_UID=1-2",
        "LABELS=app:web,url:http://x",
        "NOMAD_JOB_ID=x",
        "IP=10.64.1.7",
        "MAC=02:00:00:00:00:07",
    ];
    for _ in 0..pairs.len() {
        pairs.rotate_left(1);
        assert_eq!(CniArgs::parse(&pairs.join(";")), Ok(expected.clone()));
    }
    assert_eq!(CniArgs::parse(""), Ok(CniArgs::default()));
    assert_eq!(CniArgs::parse(";IgnoreUnknown=true;"), Ok(CniArgs::default()));
}

#[test]
fn unknown_cni_arg_is_named_unless_ignored() {
    for text in ["FOO=1", "FOO=1;IgnoreUnknown=0", "IgnoreUnknown=false;FOO=1"] {
        let e = CniArgs::parse(text).unwrap_err();
        assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
        assert!(e.msg.contains("FOO"), "{e}");
    }
    for text in ["FOO=1;IgnoreUnknown=1", "IgnoreUnknown=True;FOO=1"] {
        assert_eq!(CniArgs::parse(text), Ok(CniArgs::default()));
    }
}

#[test]
fn broken_cni_arg_is_named_even_if_unknown_ones_are_ignored() {
    let cases = [
        ("IP=10.0.0", "IP"),
        ("IP=10.0.0.1/33", "IP"),
        ("MAC=02:00", "MAC"),
        ("MAC=01:00:00:00:00:01", "MAC"),
        ("LABELS=app", "LABELS"),
        ("LABELS=:web", "LABELS"),
        ("IgnoreUnknown=maybe", "IgnoreUnknown"),
        ("FOO", "FOO"),
    ];
    for (text, key) in cases {
        let e = CniArgs::parse(&format!("IgnoreUnknown=1;{text}")).unwrap_err();
        assert_eq!(e.code, ErrorCode::INVALID_ENVIRONMENT);
        assert!(e.msg.contains(key), "{text}: {e}");
    }
}

#[test]
fn unsupported_version_is_reported_before_anything_else() {
    for text in [
        r#"{"cniVersion":"9.9.9","name":7,"socket":[]}"#,
        r#"{"cniVersion":"1.1.0","name":"n"}"#,
        r#"{"cniVersion":"0.3.0","name":"n"}"#,
        r#"{"name":"n"}"#,
    ] {
        let e = BaseConfig::parse(text.as_bytes()).unwrap_err();
        assert_eq!(e.code, ErrorCode::INCOMPATIBLE_VERSION, "{text}");
        assert!(e.details.contains("0.3.1, 0.4.0, 1.0.0"), "{e}");
    }
}

#[test]
fn undecodable_configuration_is_code_6() {
    let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
    let cases: [&[u8]; 6] =
        [b"", b"   ", b"{", b"\xff\xfe", b"{\"cniVersion\":\"1.0.0\"", deep.as_bytes()];
    for text in cases {
        let e = BaseConfig::parse(text).unwrap_err();
        assert_eq!(e.code, ErrorCode::DECODE, "{e}");
    }
}

#[test]
fn deep_nesting_in_an_unknown_key_is_harmless() {
    let nested = |n| "[".repeat(n) + &"]".repeat(n);
    let text = format!(r#"{{"x":{},"cniVersion":"1.0.0","name":"n"}}"#, nested(100_000));
    assert!(BaseConfig::parse(text.as_bytes()).is_ok());
    let text = format!(r#"{{"dns":{}}}"#, nested(100_000));
    assert!(AddConfig::parse(text.as_bytes()).is_err());
}

#[test]
fn invalid_configuration_is_code_7() {
    let long = format!("/{}", "s".repeat(107));
    let cases = [
        r#"{"cniVersion":"1.0.0"}"#.to_owned(),
        r#"{"cniVersion":"1.0.0","name":""}"#.into(),
        r#"{"cniVersion":"1.0.0","name":"a/b"}"#.into(),
        r#"{"cniVersion":"1.0.0","name":7}"#.into(),
        r#"{"cniVersion":"1.0.0","name":"n","name":"n"}"#.into(),
        r#"{"cniVersion":"1.0.0","name":"n","socket":"cni.sock"}"#.into(),
        format!(r#"{{"cniVersion":"1.0.0","name":"n","socket":"{long}"}}"#),
        r#"[]"#.into(),
    ];
    for text in cases {
        let e = BaseConfig::parse(text.as_bytes()).unwrap_err();
        assert_eq!(e.code, ErrorCode::INVALID_CONFIG, "{text}: {e}");
    }
}

#[test]
fn labels_of_the_request_override_those_of_the_network() {
    let text = r#"{"labels":{"tier":"back","rack":"1"},
        "args":{"cni":{"labels":[{"key":"tier","value":"front"}],"ips":["10.64.1.9/26","fd00::9"]},
                "other":{"x":1}}}"#;
    let config = AddConfig::parse(text.as_bytes()).unwrap();
    assert_eq!(config.labels, labels(&[("tier", "front"), ("rack", "1")]));
    assert_eq!(config.ips, ips(&["10.64.1.9", "fd00::9"]));
    assert_eq!(config.dns, Dns::default());
}

#[test]
fn runtime_config_counts_only_with_its_capability() {
    let text = |capabilities: &str| {
        format!(
            r#"{{"capabilities":{capabilities},"args":{{"cni":{{"ips":["10.64.1.9"]}}}},
            "runtimeConfig":{{"ips":["10.64.1.8/32"],"mac":"02:00:00:00:00:08","dns":null,
            "portMappings":[{{"HostPort":1}}]}}}}"#
        )
    };
    let both = AddConfig::parse(text(r#"{"ips":true,"mac":true}"#).as_bytes()).unwrap();
    assert_eq!((both.ips, both.mac), (ips(&["10.64.1.8"]), Some(Mac([2, 0, 0, 0, 0, 8]))));
    let none = AddConfig::parse(text(r#"{"ips":false,"dns":true}"#).as_bytes()).unwrap();
    assert_eq!((none.ips, none.mac), (ips(&["10.64.1.9"]), None));
}

#[test]
fn nulls_are_absent() {
    let text = r#"{"labels":null,"args":null,"capabilities":null,"runtimeConfig":null,
        "dns":{"nameservers":null,"search":null,"options":null},"prevResult":null,"ipam":null}"#;
    assert_eq!(AddConfig::parse(text.as_bytes()), Ok(AddConfig::default()));
}

#[test]
fn fields_without_effect_are_refused_by_name() {
    let cases = [
        (r#"{"ipam":{"type":"host-local"}}"#, "ipam"),
        (r#"{"ipMasq":true}"#, "ipMasq"),
        (r#"{"mtu":1400}"#, "mtu"),
        (r#"{"prevResult":{"cniVersion":"1.0.0"}}"#, "prevResult"),
    ];
    for (text, field) in cases {
        let e = AddConfig::parse(text.as_bytes()).unwrap_err();
        assert_eq!(e.code, ErrorCode::UNSUPPORTED_FIELD, "{text}");
        assert!(e.msg.contains(field), "{e}");
    }
    assert!(AddConfig::parse(br#"{"ipam":{},"ipMasq":false,"mtu":0}"#).is_ok());
}

#[test]
fn wrong_add_fields_are_code_7() {
    let long = "v".repeat(1025);
    let cases = [
        r#"{"labels":{"":"x"}}"#.to_owned(),
        r#"{"labels":{"a":1}}"#.into(),
        r#"{"labels":{"a":"x\ny"}}"#.into(),
        format!(r#"{{"labels":{{"a":"{long}"}}}}"#),
        r#"{"args":{"cni":{"labels":[{"key":"a"}]}}}"#.into(),
        r#"{"args":{"cni":{"ips":["10.0.0.256"]}}}"#.into(),
        r#"{"capabilities":{"mac":true},"runtimeConfig":{"mac":"x"}}"#.into(),
        r#"{"capabilities":{"ips":true},"runtimeConfig":{"ips":["x"]}}"#.into(),
    ];
    for text in cases {
        let e = AddConfig::parse(text.as_bytes()).unwrap_err();
        assert_eq!(e.code, ErrorCode::INVALID_CONFIG, "{text}: {e}");
    }
}

#[test]
fn check_needs_a_previous_result() {
    let e = CheckConfig::parse(b"{}").unwrap_err();
    assert_eq!(e.code, ErrorCode::INVALID_CONFIG);
    assert!(e.msg.contains("prevResult"), "{e}");
    let text = br#"{"prevResult":{"ips":[{"version":"4","address":"10.64.1.5/32"}]}}"#;
    assert_eq!(CheckConfig::parse(text).unwrap().ips, ips(&["10.64.1.5"]));
    assert!(CheckConfig::parse(br#"{"prevResult":{"ips":[{"address":"x"}]}}"#).is_err());
}

#[test]
fn foreign_text_is_shortened_in_messages() {
    let e = CniVersion::parse(Some(&"é".repeat(10_000))).unwrap_err();
    assert!(e.msg.len() < 300, "{}", e.msg.len());
}
