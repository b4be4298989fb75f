// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::model::{MacAddr, NetnsId, Stage};

fn workload(container_id: &str, address: &str) -> Workload {
    Workload {
        id: WorkloadId::try_new(container_id, "eth0").unwrap(),
        netns: NetnsId { dev: 4, ino: 4_026_531_840 },
        namespace: "default".to_owned(),
        name: container_id.to_owned(),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        v4: Some(address.parse().unwrap()),
        v6: None,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        host_interface: format!("rtd{container_id}"),
        created: 7,
        stage: Stage::Attached,
    }
}

fn store() -> (TempDir, Store, PathBuf) {
    let run = TempDir::new().unwrap();
    let store = Store::open(run.path()).unwrap();
    let dir = run.path().join("workloads");
    (run, store, dir)
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (_run, store, dir) = store();
    let (a, b) = (workload("a", "10.0.0.1"), workload("b", "10.0.0.2"));
    store.put(&b).unwrap();
    store.put(&a).unwrap();
    assert_eq!(files(&dir), ["a@eth0.json", "b@eth0.json"]);
    let loaded = store.load().unwrap();
    assert_eq!(loaded, Loaded { workloads: vec![a, b], quarantined: vec![] });
}

#[test]
fn a_second_write_replaces_the_first() {
    let (_run, store, _) = store();
    store.put(&Workload { stage: Stage::Pending, ..workload("a", "10.0.0.1") }).unwrap();
    store.put(&workload("a", "10.0.0.1")).unwrap();
    assert_eq!(store.load().unwrap().workloads, [workload("a", "10.0.0.1")]);
}

#[test]
fn removing_twice_is_removing_once() {
    let (_run, store, dir) = store();
    let record = workload("a", "10.0.0.1");
    store.put(&record).unwrap();
    store.remove(&record.id).unwrap();
    store.remove(&record.id).unwrap();
    assert_eq!(files(&dir), [""; 0]);
}

#[test]
fn the_longest_and_strangest_id_makes_one_safe_name() {
    let (_run, store, dir) = store();
    let long = "x".repeat(WorkloadId::MAX_CONTAINER_ID);
    let strange = WorkloadId::try_new(&long, "%%%%%%%%%%%%%%%").unwrap();
    let record = Workload { id: strange.clone(), ..workload("a", "10.0.0.1") };
    store.put(&record).unwrap();
    let names = files(&dir);
    assert_eq!(names.len(), 1);
    assert!(names[0].len() <= 251, "{}", names[0].len());
    assert_eq!(store.load().unwrap().workloads, [record]);
    let plain = WorkloadId::try_new("a", "%25").unwrap();
    let encoded = WorkloadId::try_new("a", "%").unwrap();
    assert_ne!(stem(&plain), stem(&encoded));
}

#[test]
fn a_bad_file_is_set_aside_and_the_others_load() {
    let (_run, store, dir) = store();
    let good = workload("good", "10.0.0.1");
    store.put(&good).unwrap();
    let text = fs::read_to_string(dir.join("good@eth0.json")).unwrap();
    let truncated = &text[..text.len() / 2];
    fs::write(dir.join("a@eth0.json"), "").unwrap();
    fs::write(dir.join("b@eth0.json"), truncated).unwrap();
    fs::write(dir.join("c@eth0.json"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(dir.join("d@eth0.json"), text.replace("\"version\":1", "\"version\":2")).unwrap();
    fs::write(dir.join("e@eth0.json"), text.replace("\"mtu\"", "\"colour\":1,\"mtu\"")).unwrap();
    fs::write(dir.join("f@eth0.json"), &text).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.workloads, [good]);
    let shown: Vec<_> =
        loaded.quarantined.iter().map(|q| (q.file.as_str(), q.addresses.len())).collect();
    assert_eq!(
        shown,
        [
            ("a@eth0.bad", 0),
            ("b@eth0.bad", 0),
            ("c@eth0.bad", 0),
            ("d@eth0.bad", 1),
            ("e@eth0.bad", 1),
            ("f@eth0.bad", 1),
        ]
    );
    assert_eq!(loaded.quarantined[3].reason, "version 2 is not 1");
    assert_eq!(loaded.quarantined[5].reason, "the record is of good/eth0");
    let again = store.load().unwrap();
    assert_eq!(again.quarantined.len(), 6, "still reported after the next start");
    assert_eq!(again.quarantined[3].addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn of_two_records_with_one_address_the_older_stays() {
    let (_run, store, _) = store();
    let young = Workload { created: 9, ..workload("a", "10.0.0.1") };
    let old = Workload { created: 5, ..workload("b", "10.0.0.1") };
    store.put(&young).unwrap();
    store.put(&old).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.workloads, [old]);
    assert_eq!(loaded.quarantined[0].reason, "address 10.0.0.1 is held by b/eth0");
}

#[test]
fn of_two_records_with_one_interface_the_older_stays() {
    let (_run, store, _) = store();
    let young =
        Workload { created: 9, host_interface: "rtdb".to_owned(), ..workload("a", "10.0.0.1") };
    let old = Workload { created: 5, ..workload("b", "10.0.0.2") };
    store.put(&young).unwrap();
    store.put(&old).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.workloads, [old]);
    assert_eq!(loaded.quarantined[0].reason, "interface rtdb is held by b/eth0");
}

#[test]
fn whatever_is_no_regular_file_is_left_alone() {
    let (run, store, dir) = store();
    let outside = run.path().join("outside.json");
    fs::write(&outside, "secret").unwrap();
    symlink(&outside, dir.join("link@eth0.json")).unwrap();
    fs::create_dir(dir.join("dir@eth0.json")).unwrap();
    let pipe = dir.join("pipe@eth0.json");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::write(dir.join("README"), "foreign").unwrap();
    assert_eq!(store.load().unwrap(), Loaded::default());
    assert_eq!(files(&dir).len(), 4);
}

#[test]
fn what_an_interrupted_write_left_is_removed() {
    let (_run, store, dir) = store();
    store.put(&workload("a", "10.0.0.1")).unwrap();
    fs::write(dir.join("a@eth0.tmp"), "{\"ver").unwrap();
    assert_eq!(store.load().unwrap().workloads, [workload("a", "10.0.0.1")]);
    assert_eq!(files(&dir), ["a@eth0.json"]);
}

#[test]
fn a_planted_link_is_not_written_through() {
    let (run, store, dir) = store();
    let outside = run.path().join("outside");
    fs::write(&outside, "keep").unwrap();
    symlink(&outside, dir.join("a@eth0.tmp")).unwrap();
    store.put(&workload("a", "10.0.0.1")).unwrap();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "keep");
    assert!(fs::symlink_metadata(dir.join("a@eth0.json")).unwrap().is_file());
}

#[test]
fn a_refused_write_leaves_the_earlier_record() {
    let (_run, store, dir) = store();
    store.put(&workload("a", "10.0.0.1")).unwrap();
    fs::create_dir(dir.join("a@eth0.tmp")).unwrap();
    let error = store.put(&workload("a", "10.0.0.9")).unwrap_err();
    assert!(matches!(error, StoreError::Io { action: "remove", .. }), "{error}");
    assert_eq!(store.load().unwrap().workloads, [workload("a", "10.0.0.1")]);
}

#[test]
fn a_huge_file_is_set_aside_without_reading_it_all() {
    let (_run, store, dir) = store();
    let file = File::create(dir.join("a@eth0.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.quarantined[0].reason, "larger than 1048576 bytes");
}

#[test]
fn the_second_daemon_is_told_the_pid_of_the_first() {
    let run = TempDir::new().unwrap();
    let dir = run.path().join("new");
    let first = Lock::acquire(&dir).unwrap();
    let error = Lock::acquire(&dir).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(&format!("(pid {})", std::process::id())), "{text}");
    drop(first);
    fs::write(dir.join("lock"), "99999999999999999999\n stale").unwrap();
    Lock::acquire(&dir).unwrap();
    let pid = fs::read_to_string(dir.join("lock")).unwrap();
    assert_eq!(pid, format!("{}\n", std::process::id()));
}
