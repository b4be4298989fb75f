// SPDX-License-Identifier: MIT OR Apache-2.0
use std::path::PathBuf;

use rustix::fs::Mode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::listen;
use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A server that reads one byte, is busy until `finish`, and answers the byte.
struct Server {
    _dir: TempDir,
    path: PathBuf,
    finish: Arc<Notify>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("s");
        let listener = listen::bind(&path, Mode::RUSR | Mode::WUSR).unwrap();
        let (finish, cancel) = (Arc::new(Notify::new()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let busy = Arc::clone(&finish);
        tasks.spawn(serve(listener, cancel.clone(), move |mut stream, heard| {
            let busy = Arc::clone(&busy);
            async move {
                let Ok(byte) = stream.read_u8().await else { return };
                heard.set();
                assert_ne!(byte, b'!', "a connection may panic");
                busy.notified().await;
                let _ = stream.write_u8(byte).await;
            }
        }));
        Self { _dir: dir, path, finish, cancel, tasks }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    async fn busy(&self) -> UnixStream {
        let mut stream = self.connect().await;
        stream.write_u8(b'x').await.unwrap();
        stream
    }
}

async fn is_closed(stream: &mut UnixStream) -> bool {
    matches!(timeout(DEADLINE, stream.read_u8()).await, Ok(Err(_)))
}

#[tokio::test]
async fn oldest_idle_connection_makes_room() {
    let server = Server::start();
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(server.connect().await);
    }
    let mut one_more = server.busy().await;
    let mut oldest = idle.remove(0);
    assert!(is_closed(&mut oldest).await);
    server.finish.notify_one();
    assert_eq!(timeout(DEADLINE, one_more.read_u8()).await.unwrap().unwrap(), b'x');
    // All others are still there.
    for mut stream in idle {
        stream.write_u8(b'y').await.unwrap();
        server.finish.notify_one();
        assert_eq!(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap(), b'y');
    }
}

#[tokio::test]
async fn a_thousand_idle_connections_keep_nobody_out() {
    let server = Server::start();
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect().await);
    }
    let mut client = server.busy().await;
    server.finish.notify_one();
    assert_eq!(timeout(DEADLINE, client.read_u8()).await.unwrap().unwrap(), b'x');
    let mut open = 0;
    for stream in &idle {
        let mut byte = [0];
        open += usize::from(
            stream.try_read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert!(open < MAX_CONNECTIONS, "{open} are open");
}

#[tokio::test]
async fn requests_in_a_burst_are_never_sacrificed() {
    let server = Server::start();
    let mut clients = JoinSet::new();
    // Without a pause for the server: all of them wait in the queue of the kernel.
    for _ in 0..MAX_CONNECTIONS * 3 {
        let mut stream = std::os::unix::net::UnixStream::connect(&server.path).unwrap();
        std::io::Write::write_all(&mut stream, b"x").unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = UnixStream::from_std(stream).unwrap();
        clients.spawn(async move { timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap() });
    }
    let mut answered = 0;
    while answered < MAX_CONNECTIONS * 3 {
        server.finish.notify_one();
        tokio::select! {
            biased;
            Some(byte) = clients.join_next() => {
                assert_eq!(byte.unwrap(), b'x');
                answered += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn slow_client_has_its_chance() {
    let server = Server::start();
    let mut slow = server.connect().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(server.connect().await);
    }
    // Nobody is closed at once; then the oldest that still says nothing is.
    slow.write_u8(b'x').await.unwrap();
    server.finish.notify_one();
    assert_eq!(timeout(DEADLINE, slow.read_u8()).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn request_that_is_worked_on_outlives_idle_connections() {
    let server = Server::start();
    let mut busy = server.busy().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS * 2 {
        idle.push(server.connect().await);
    }
    for mut stream in idle.drain(..MAX_CONNECTIONS) {
        assert!(is_closed(&mut stream).await);
    }
    server.finish.notify_one();
    assert_eq!(timeout(DEADLINE, busy.read_u8()).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn panic_of_a_connection_ends_only_that() {
    let server = Server::start();
    let mut bad = server.connect().await;
    bad.write_u8(b'!').await.unwrap();
    assert!(is_closed(&mut bad).await);
    let mut good = server.busy().await;
    server.finish.notify_one();
    assert_eq!(timeout(DEADLINE, good.read_u8()).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn cancelling_closes_everything() {
    let mut server = Server::start();
    let mut idle = server.connect().await;
    let mut busy = server.busy().await;
    server.cancel.cancel();
    timeout(DEADLINE, server.tasks.join_next()).await.unwrap();
    assert!(is_closed(&mut idle).await && is_closed(&mut busy).await);
    assert!(UnixStream::connect(&server.path).await.is_err());
}

#[tokio::test]
async fn socket_of_a_dead_daemon_is_replaced_and_that_of_a_living_one_is_not() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new().unwrap();
    let path = dir.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
    let living = listen::bind(&path, mode).unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    let refused = listen::bind(&path, mode);
    assert!(matches!(refused, Err(listen::BindError::InUse { .. })), "{refused:?}");
    drop(living);
    listen::bind(&path, mode).unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let absent = listen::bind(&dir.path().join("no/such/dir/s"), mode);
    assert!(matches!(absent, Err(listen::BindError::Io { .. })), "{absent:?}");
}
