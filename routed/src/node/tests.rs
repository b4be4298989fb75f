// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn is_bug(result: Result<()>) -> bool {
    result.is_err_and(|error| error.is::<Panicked>())
}

#[tokio::test]
async fn a_panic_in_a_task_ends_the_daemon_as_a_bug() {
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(watched(async { panic!("in a task") }, cancel.clone()));
    cancel.cancelled().await;
    assert!(is_bug(end(tasks, Vec::new(), false).await));
}

#[tokio::test]
async fn a_panic_of_a_lane_ends_the_daemon_as_a_bug() {
    let cancel = CancellationToken::new();
    let lane = lane::start("test", cancel.clone(), || async { panic!("in a lane") }).unwrap();
    cancel.cancelled().await;
    assert!(is_bug(end(JoinSet::new(), vec![lane], false).await));
}

#[tokio::test]
async fn a_task_that_ends_by_itself_ends_nothing_else() {
    let cancel = CancellationToken::new();
    watched(async {}, cancel.clone()).await;
    assert!(!cancel.is_cancelled());
    assert!(end(JoinSet::new(), Vec::new(), true).await.is_ok());
}
