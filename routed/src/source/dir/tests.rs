// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

const NODE: &str = "apiVersion: routed.dev/v1\nkind: NodeConfig\nspec: { blocks: [] }\n";

fn config_dir() -> (TempDir, PathBuf, PathBuf) {
    let dir = TempDir::new().unwrap();
    let (config, state) = (dir.path().join("config"), dir.path().join("state"));
    fs::create_dir_all(config.join("policies")).unwrap();
    fs::write(config.join("node.yaml"), NODE).unwrap();
    (dir, config, state)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Whether the watch reports nothing for a good while.
async fn is_calm(watch: &mut Directory) -> bool {
    timeout(Duration::from_millis(300), watch.changed()).await.is_err()
}

#[tokio::test]
async fn a_change_of_any_kind_is_noticed() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir);
    assert!(watch.is_active());
    assert!(is_calm(&mut watch).await);
    for name in ["a", "b", "c"] {
        std::os::unix::fs::symlink("..", dir.join("policies").join(name)).unwrap();
    }
    soon(watch.changed()).await;
    fs::write(dir.join("node.yaml"), "# other").unwrap();
    soon(watch.changed()).await;
    fs::write(dir.join("policies/.new"), "#").unwrap();
    fs::rename(dir.join("policies/.new"), dir.join("policies/new.yaml")).unwrap();
    soon(watch.changed()).await;
    fs::remove_file(dir.join("policies/new.yaml")).unwrap();
    soon(watch.changed()).await;
    fs::create_dir_all(dir.join("policies/deep/er")).unwrap();
    soon(watch.changed()).await;
    fs::write(dir.join("policies/deep/er/a.yaml"), "#").unwrap();
    soon(watch.changed()).await;
    assert!(is_calm(&mut watch).await);
}

#[tokio::test]
async fn a_burst_is_one_change() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir);
    for n in 0..50 {
        fs::write(dir.join(format!("policies/{n}.yaml")), "#").unwrap();
    }
    soon(watch.changed()).await;
    assert!(is_calm(&mut watch).await);
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir);
    let mut file = File::create(dir.join("policies/slow.yaml")).unwrap();
    file.write_all(b"half").unwrap();
    assert!(is_calm(&mut watch).await);
    file.write_all(b"whole").unwrap();
    assert!(is_calm(&mut watch).await);
    drop(file);
    soon(watch.changed()).await;
}

#[tokio::test]
async fn files_that_are_no_documents_are_not_waited_for() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir);
    for name in [".node.yaml.swp", ".new.yaml", "editor.log", "yaml"] {
        let mut open = File::create(dir.join("policies").join(name)).unwrap();
        open.write_all(b"half").unwrap();
        fs::write(dir.join("node.yaml"), NODE).unwrap();
        soon(watch.changed()).await;
    }
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_still_watched() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir);
    fs::rename(&dir, dir.with_extension("old")).unwrap();
    soon(watch.changed()).await;
    fs::create_dir(&dir).unwrap();
    soon(watch.changed()).await;
    fs::write(dir.join("node.yaml"), NODE).unwrap();
    soon(watch.changed()).await;
}

#[tokio::test]
async fn without_a_directory_nothing_is_watched() {
    let (_guard, dir, _) = config_dir();
    let mut watch = Directory::watch(&dir.join("none"));
    assert!(!watch.is_active());
    assert!(is_calm(&mut watch).await);
    assert!(!watch.disturbed());
}

#[test]
fn a_bad_change_leaves_the_good_configuration_in_force() {
    let (_guard, dir, state) = config_dir();
    let mut reader = Reader::new(&dir, &state, "host");
    assert_eq!(reader.start().generation, 1);
    fs::write(dir.join("node.yaml"), "kind: [").unwrap();
    assert!(!reader.reload());
    assert_eq!(reader.state().errors.len(), 1);
    assert_eq!(reader.state().generation, 1);
    assert!(reader.state().loaded.is_some());
    fs::write(dir.join("node.yaml"), NODE).unwrap();
    assert!(!reader.reload(), "the same as before");
    assert!(reader.state().errors.is_empty());
    fs::write(
        dir.join("node.yaml"),
        NODE.replace("NodeConfig", "NodeConfig\nmetadata: { name: n }"),
    )
    .unwrap();
    assert!(reader.reload());
    assert_eq!(reader.state().loaded.as_ref().unwrap().config.node.name, "n");
}

#[test]
fn the_last_good_configuration_survives_a_start_with_a_bad_file() {
    let (_guard, dir, state) = config_dir();
    Reader::new(&dir, &state, "host").start();
    fs::write(dir.join("policies/bad.yaml"), "kind: Polcy\napiVersion: v1").unwrap();
    let mut reader = Reader::new(&dir, &state, "host");
    let found = reader.start();
    assert_eq!((found.origin, found.generation), (Origin::LastGood, 1));
    assert_eq!(found.errors.len(), 1);
    assert!(found.loaded.is_some());
    fs::remove_file(dir.join("policies/bad.yaml")).unwrap();
    assert!(!reader.reload(), "the same as the copy");
    assert_eq!(reader.state().origin, Origin::Directory);
    assert!(reader.state().errors.is_empty());
}

#[test]
fn a_first_start_with_a_bad_file_has_nothing_in_force() {
    let (_guard, dir, state) = config_dir();
    fs::write(dir.join("node.yaml"), "kind: [").unwrap();
    let mut reader = Reader::new(&dir, &state, "host");
    assert!(reader.start().loaded.is_none());
    assert_eq!(reader.state().errors.len(), 1);
}

struct Running {
    state: channel::Receiver<State>,
    reload: Arc<Notify>,
    cancel: CancellationToken,
    task: tokio::task::JoinSet<()>,
}

fn start(dir: &Path, state: &Path) -> Running {
    let mut reader = Reader::new(dir, state, "host");
    let (out, state) = channel::channel(reader.start().clone());
    let (reload, cancel) = (Arc::new(Notify::new()), CancellationToken::new());
    let mut task = tokio::task::JoinSet::new();
    let watch = Directory::watch(dir);
    task.spawn(run(reader, watch, Arc::clone(&reload), out, cancel.clone()));
    Running { state, reload, cancel, task }
}

#[tokio::test]
async fn changes_come_into_force_by_themselves() {
    let (_guard, dir, state) = config_dir();
    let mut running = start(&dir, &state);
    let labelled = NODE.replace("NodeConfig", "NodeConfig\nmetadata: { name: n }");
    fs::write(dir.join("node.yaml"), labelled).unwrap();
    let in_force = running.state.wait_for(|state| state.generation == 2);
    assert_eq!(soon(in_force).await.unwrap().loaded.as_ref().unwrap().config.node.name, "n");
    fs::write(dir.join("node.yaml"), "kind: [").unwrap();
    let refused = running.state.wait_for(|state| !state.errors.is_empty());
    assert!(soon(refused).await.unwrap().loaded.is_some());
    running.cancel.cancel();
    soon(running.task.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_reload_that_is_asked_for_waits_for_nobody() {
    let (_guard, dir, state) = config_dir();
    let mut running = start(&dir, &state);
    let mut open = File::create(dir.join("policies/open.yaml")).unwrap();
    open.write_all(b"# never closed").unwrap();
    running.reload.notify_one();
    let in_force = running.state.wait_for(|state| state.generation == 2);
    drop(soon(in_force).await.unwrap());
    running.cancel.cancel();
}

/// Fault 95: a file rewritten in place over and over is never taken while it is half.
#[tokio::test]
async fn half_a_file_never_comes_into_force() {
    let (_guard, dir, state) = config_dir();
    let mut running = start(&dir, &state);
    let pool = |n: usize| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: p{n} }}\n\
             spec: {{ cidr: 10.{n}.0.0/16 }}\n---\n"
        )
    };
    let path = dir.join("pools.yaml");
    for _ in 0..2 {
        let mut file = File::create(&path).unwrap();
        for n in 0..4 {
            file.write_all(pool(n).as_bytes()).unwrap();
            let taken = timeout(Duration::from_millis(150), running.state.changed()).await;
            assert!(taken.is_err(), "taken with {} pools of 4", n + 1);
        }
        drop(file);
        soon(running.state.changed()).await.unwrap();
        fs::remove_file(&path).unwrap();
        soon(running.state.changed()).await.unwrap();
    }
    fs::write(&path, (0..4).map(pool).collect::<String>()).unwrap();
    let whole = |state: &State| state.loaded.as_ref().unwrap().config.pools.len() == 4;
    drop(soon(running.state.wait_for(whole)).await.unwrap());
    running.cancel.cancel();
}
