// SPDX-License-Identifier: MIT OR Apache-2.0
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::client::{self, ClientError};
use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// Answers with little, remembers what it was asked, and fails on demand.
#[derive(Clone)]
struct Fake {
    failure: Option<ApiError>,
    asked: watch::Sender<Arc<RouteQuery>>,
    /// While true, workloads are not answered.
    is_slow: watch::Sender<bool>,
}

impl Fake {
    fn new(failure: Option<ApiError>) -> Self {
        let asked = watch::Sender::new(Arc::default());
        Self { failure, asked, is_slow: watch::Sender::new(false) }
    }

    fn give<T>(&self, value: T) -> Result<T, ApiError> {
        self.failure.clone().map_or(Ok(value), Err)
    }
}

impl AdminApi for Fake {
    async fn status(&self) -> Result<Status, ApiError> {
        self.give(Status { node: "r1n1".into(), ..Status::default() })
    }

    async fn bgp_peers(&self) -> Result<Vec<BgpPeer>, ApiError> {
        self.give(Vec::new())
    }

    async fn bgp_routes(&self, query: RouteQuery) -> Result<Vec<BgpRoute>, ApiError> {
        self.asked.send_replace(Arc::new(query));
        self.give(Vec::new())
    }

    async fn bgp_why(&self, prefix: Prefix) -> Result<BgpWhy, ApiError> {
        self.give(BgpWhy { prefix: prefix.to_string(), steps: Vec::new() })
    }

    async fn routes(&self) -> Result<Vec<Route>, ApiError> {
        self.give(Vec::new())
    }

    async fn workloads(&self) -> Result<Vec<Workload>, ApiError> {
        self.is_slow.subscribe().wait_for(|slow| !slow).await.unwrap();
        self.give(Vec::new())
    }

    async fn ipam(&self) -> Result<Vec<IpamBlock>, ApiError> {
        self.give(vec![IpamBlock {
            pool: "rack1-v4".into(),
            cidr: "10.64.1.0/26".into(),
            total: 64,
            in_use: 12,
            reserved: 1,
            cooling: 2,
            free: 49,
        }])
    }

    async fn policies(&self) -> Result<Vec<Policy>, ApiError> {
        self.give(Vec::new())
    }

    async fn policy(&self, name: String) -> Result<PolicyDetail, ApiError> {
        Err(ApiError::NotFound(format!("no policy {name}")))
    }
}

struct Server {
    dir: TempDir,
    path: PathBuf,
    tasks: JoinSet<()>,
}

impl Server {
    fn start(api: Fake) -> Self {
        Self::start_with(api, LIMITS)
    }

    fn start_with(api: Fake, limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("routed.sock");
        let mut server = AdminServer::bind(&path).unwrap();
        server.limits = limits;
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(api, CancellationToken::new()));
        Self { dir, path, tasks }
    }

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        get_from(&self.path, path, DEADLINE).await
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Sends bytes and returns all that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may answer and hang up before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut text = Vec::new();
        let _ = timeout(DEADLINE, stream.read_to_end(&mut text)).await.expect("an end");
        String::from_utf8(text).unwrap()
    }

    async fn serves_others(&self) {
        assert_eq!(self.get("/api/v1/status").await.unwrap()["node"], "r1n1");
    }
}

async fn get_from(socket: &Path, path: &str, patience: Duration) -> Result<Value, ClientError> {
    let (socket, path) = (socket.to_owned(), path.to_owned());
    tokio::task::spawn_blocking(move || client::get(&socket, &path, patience)).await.unwrap()
}

#[tokio::test]
async fn every_path_answers_with_its_kind() {
    let server = Server::start(Fake::new(None));
    let lists = [
        ("bgp/peers", "BgpPeerList"),
        ("bgp/routes", "BgpRouteList"),
        ("routes", "RouteList"),
        ("workloads", "WorkloadList"),
        ("ipam", "IpamBlockList"),
        ("policies", "PolicyList"),
    ];
    for (path, kind) in lists {
        let list = server.get(&format!("/api/v1/{path}")).await.unwrap();
        assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("routed.dev/v1"), &json!(kind)));
        assert!(list["items"].is_array(), "{list}");
    }
    let ipam = server.get("/api/v1/ipam").await.unwrap();
    let block = json!({"pool": "rack1-v4", "cidr": "10.64.1.0/26", "total": 64, "inUse": 12,
        "reserved": 1, "cooling": 2, "free": 49});
    assert_eq!(ipam["items"], json!([block]));
    let why = server.get("/api/v1/bgp/why?prefix=fd00:64:1::%2F122").await.unwrap();
    assert_eq!(why, json!({"prefix": "fd00:64:1::/122", "steps": []}));
    let version = server.get("/api/v1/version").await.unwrap();
    assert_eq!(version["daemon"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["cniProtocol"], cni_plugin::rpc::Version::CURRENT.to_string());
    server.serves_others().await;
}

#[tokio::test]
async fn query_of_routes_arrives_parsed() {
    let api = Fake::new(None);
    let server = Server::start(api.clone());
    let path =
        "/api/v1/bgp/routes?prefix=10.64.0.0%2F16&longer=true&family=ipv4&from=tor1a&rejected=true";
    server.get(path).await.unwrap();
    let expected = RouteQuery {
        target: Some(RouteTarget::Prefix("10.64.0.0/16".parse().unwrap())),
        longer: true,
        family: Some(Family::Ipv4Unicast),
        from: Some("tor1a".into()),
        rejected: true,
    };
    assert_eq!(**api.asked.borrow(), expected);
    server.get("/api/v1/bgp/routes?prefix=fd00::1").await.unwrap();
    let address = Some(RouteTarget::Address("fd00::1".parse().unwrap()));
    assert_eq!(**api.asked.borrow(), RouteQuery { target: address, ..RouteQuery::default() });
    server.get("/api/v1/bgp/routes?").await.unwrap();
    assert_eq!(**api.asked.borrow(), RouteQuery::default());
}

#[tokio::test]
async fn questions_that_make_no_sense_are_400() {
    let server = Server::start(Fake::new(None));
    let cases = [
        "bgp/routes?prefix=10.0.0.0/33",
        "bgp/routes?longer=true",
        "bgp/routes?prefix=10.0.0.1&longer=true",
        "bgp/routes?longer=maybe",
        "bgp/routes?family=ipx",
        "bgp/routes?form=tor1a",
        "bgp/why",
        "bgp/why?prefix=ten",
        "policies/show",
    ];
    for path in cases {
        let error = server.get(&format!("/api/v1/{path}")).await.unwrap_err();
        let ClientError::Api { status, error } = error else { panic!("{path}: {error}") };
        assert_eq!((status, error.code.as_str()), (400, "badRequest"), "{path}");
    }
}

#[tokio::test]
async fn failures_keep_their_meaning() {
    let cases = [
        (ApiError::NotFound("x".into()), 404, "notFound"),
        (ApiError::BadRequest("x".into()), 400, "badRequest"),
        (ApiError::Unavailable("x".into()), 503, "unavailable"),
    ];
    for (failure, expected, code) in cases {
        let server = Server::start(Fake::new(Some(failure)));
        let error = server.get("/api/v1/status").await.unwrap_err();
        assert_eq!(error.code(), code);
        let ClientError::Api { status, error } = error else { panic!("{error}") };
        assert_eq!((status, error.message.as_str()), (expected, "x"));
    }
    let server = Server::start(Fake::new(None));
    for path in ["/", "/api/v1/", "/api/v1/nothing", "/api/v2/status", "/api/v1/../v1/status"] {
        let error = server.get(path).await.unwrap_err();
        assert!(matches!(error, ClientError::Api { status: 404, .. }), "{path}: {error}");
    }
    let error = server.get("/api/v1/policies/show?name=shop%2Fapi-in").await.unwrap_err();
    assert_eq!(error.to_string(), "no policy shop/api-in");
}

#[tokio::test]
async fn only_get_is_allowed() {
    let server = Server::start(Fake::new(None));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = format!("{method} /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        assert!(answer.ends_with(r#""message":"only GET is allowed"}}"#), "{answer}");
    }
}

#[tokio::test]
async fn garbage_is_refused_and_others_served() {
    let server = Server::start(Fake::new(None));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1024 * 1024));
    let header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1024 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(2000));
    for bytes in
        [&b"\xff\xff\xff\xff\0\0\0\0"[..], long.as_bytes(), header.as_bytes(), many.as_bytes()]
    {
        let answer = server.raw(bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    server.serves_others().await;
}

#[tokio::test]
async fn a_thousand_idle_connections_keep_nobody_out() {
    let server = Server::start(Fake::new(None));
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect().await);
    }
    let begun = Instant::now();
    server.serves_others().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn head_larger_than_the_buffer_is_refused() {
    let server = Server::start(Fake::new(None));
    let head = format!("GET /api/v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(32 * 1024));
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn slow_head_is_given_up() {
    let limits = Limits { head: Duration::from_millis(100), ..LIMITS };
    let server = Server::start_with(Fake::new(None), limits);
    for begun in ["", "G", "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n"] {
        // `raw` itself does not wait as long as a connection may last.
        server.raw(begun.as_bytes()).await;
    }
    server.serves_others().await;
}

#[tokio::test]
async fn connection_that_lasts_too_long_is_given_up() {
    let limits = Limits { connection: Duration::from_millis(100), ..LIMITS };
    let started = Instant::now();
    let server = Server::start_with(Fake::new(None), limits);
    server.raw(b"GET /api/v1/status HTTP/1.1\r\n").await;
    assert!(started.elapsed() < LIMITS.head, "{:?}", started.elapsed());
}

#[tokio::test]
async fn question_outlives_a_flood_of_idle_connections() {
    let api = Fake::new(None);
    let server = Server::start(api.clone());
    let flood = async {
        let mut idle = Vec::new();
        for _ in 0..200 {
            idle.push(server.connect().await);
        }
        let mut byte = [0];
        let mut first = idle.swap_remove(0);
        assert_eq!(timeout(DEADLINE, first.read(&mut byte)).await.unwrap().unwrap(), 0);
        api.is_slow.send_replace(false);
    };
    api.is_slow.send_replace(true);
    let mut asking = server.connect().await;
    asking.write_all(b"GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    flood.await;
    let mut answer = String::new();
    timeout(DEADLINE, asking.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn client_tells_why_there_is_no_answer() {
    let dir = TempDir::new().unwrap();
    let absent = get_from(&dir.path().join("absent"), "/", DEADLINE).await.unwrap_err();
    assert!(matches!(absent, ClientError::Unreachable { .. }), "{absent}");

    let server = Server::start(Fake::new(None));
    let Server { dir, path, mut tasks } = server;
    tasks.shutdown().await;
    let refused = get_from(&path, "/", DEADLINE).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unreachable { .. }), "{refused}");
    drop(dir);

    let dir = TempDir::new().unwrap();
    let path = dir.path().join("silent");
    let silent = UnixListener::bind(&path).unwrap();
    let late = get_from(&path, "/", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(late, ClientError::Timeout { .. }), "{late}");
    drop(silent);

    let path = dir.path().join("other");
    let other = UnixListener::bind(&path).unwrap();
    let answer = async {
        for text in ["hello", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", ""] {
            let (mut stream, _) = other.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    };
    let ask = async {
        for _ in 0..3 {
            let error = get_from(&path, "/", DEADLINE).await.unwrap_err();
            assert!(matches!(error, ClientError::Protocol(_)), "{error}");
        }
    };
    tokio::join!(answer, ask);
}

#[tokio::test]
async fn socket_is_for_user_and_group() {
    use std::os::unix::fs::PermissionsExt;

    let server = Server::start(Fake::new(None));
    let mode = std::fs::metadata(&server.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}
