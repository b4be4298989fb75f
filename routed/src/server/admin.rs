// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket of operators: HTTP/1.1, reading only, JSON under `/api/v1/`.
//!
//! | path | answer |
//! |---|---|
//! | `status` | [`Status`] |
//! | `bgp/peers` | list of [`BgpPeer`] |
//! | `bgp/routes?prefix=&longer=&family=&from=&rejected=` | list of [`BgpRoute`] |
//! | `bgp/why?prefix=` | [`BgpWhy`] |
//! | `routes` | list of [`Route`] |
//! | `workloads` | list of [`Workload`] |
//! | `ipam` | list of [`IpamBlock`] |
//! | `policies` | list of [`Policy`] |
//! | `policies/show?name=` | [`PolicyDetail`] |
//! | `version` | [`Version`] |
//!
//! Errors are [`ErrorBody`]. Who may read is the business of the socket's file mode.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bgp::types::{Family, Prefix};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::api::{
    BgpPeer, BgpRoute, BgpWhy, ErrorBody, ErrorDetail, IpamBlock, Kind, List, Policy, PolicyDetail,
    Route, Status, Version, Workload,
};
use super::connections::{self, Heard};
use super::listen::{self, BindError};

/// A question must be answered within this time.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Times of a connection.
const LIMITS: Limits =
    Limits { head: Duration::from_secs(10), connection: Duration::from_secs(60) };
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Where the answers come from: whoever owns the state. Lists are sorted by peer address, prefix, workload or name.
///
/// All methods are cancel-safe: a client may go away at any time.
pub trait AdminApi: Clone + Send + Sync + 'static {
    /// One screen.
    fn status(&self) -> impl Future<Output = Result<Status, ApiError>> + Send;
    /// Sessions.
    fn bgp_peers(&self) -> impl Future<Output = Result<Vec<BgpPeer>, ApiError>> + Send;
    /// Paths.
    fn bgp_routes(
        &self,
        query: RouteQuery,
    ) -> impl Future<Output = Result<Vec<BgpRoute>, ApiError>> + Send;
    /// The decision for one prefix.
    fn bgp_why(&self, prefix: Prefix) -> impl Future<Output = Result<BgpWhy, ApiError>> + Send;
    /// Kernel routes.
    fn routes(&self) -> impl Future<Output = Result<Vec<Route>, ApiError>> + Send;
    /// Workloads.
    fn workloads(&self) -> impl Future<Output = Result<Vec<Workload>, ApiError>> + Send;
    /// Blocks.
    fn ipam(&self) -> impl Future<Output = Result<Vec<IpamBlock>, ApiError>> + Send;
    /// Policies.
    fn policies(&self) -> impl Future<Output = Result<Vec<Policy>, ApiError>> + Send;
    /// One policy, named `NAME` or `NAMESPACE/NAME`.
    fn policy(&self, name: String) -> impl Future<Output = Result<PolicyDetail, ApiError>> + Send;
}

/// Which paths are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteQuery {
    /// Only these prefixes.
    pub target: Option<RouteTarget>,
    /// With a target prefix: also everything inside it.
    pub longer: bool,
    /// Only this family.
    pub family: Option<Family>,
    /// Only what the peer of this name or address sent, before the loc-rib.
    pub from: Option<String>,
    /// What the import rules refused.
    pub rejected: bool,
}

/// A prefix, or an address that stands for the longest prefix around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// Exactly this prefix.
    Prefix(Prefix),
    /// The longest match.
    Address(IpAddr),
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// The question makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// Whoever knows cannot answer now.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "notFound"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "badRequest"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        failure(status, code, self.to_string())
    }
}

/// The listening socket of operators.
#[derive(Debug)]
pub struct AdminServer {
    listener: UnixListener,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A request's head must be complete within this time.
    head: Duration,
    /// A connection ends after this time, whatever it does.
    connection: Duration,
}

impl AdminServer {
    /// Opens the socket, for the daemon's user and group. Must be called inside a runtime.
    ///
    /// # Errors
    /// Another daemon answers there, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
        Ok(Self { listener: listen::bind(path, mode)?, limits: LIMITS })
    }

    /// Serves connections until cancelled.
    pub async fn run(self, api: impl AdminApi, cancel: CancellationToken) {
        let (router, limits) = (router(api), self.limits);
        connections::serve(self.listener, cancel, move |stream, heard| {
            connection(stream, heard, router.clone(), limits)
        })
        .await;
    }
}

async fn connection(stream: UnixStream, heard: Heard, router: Router, limits: Limits) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        heard.set();
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(limits.connection, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection broke"),
        Err(_) => tracing::debug!("admin connection took too long"),
    }
}

fn router<A: AdminApi>(api: A) -> Router {
    let v1 = Router::new()
        .route("/status", get(|State(a): State<A>| object(async move { a.status().await })))
        .route("/bgp/peers", get(|State(a): State<A>| list(async move { a.bgp_peers().await })))
        .route("/bgp/routes", get(bgp_routes::<A>))
        .route("/bgp/why", get(bgp_why::<A>))
        .route("/routes", get(|State(a): State<A>| list(async move { a.routes().await })))
        .route("/workloads", get(|State(a): State<A>| list(async move { a.workloads().await })))
        .route("/ipam", get(|State(a): State<A>| list(async move { a.ipam().await })))
        .route("/policies", get(|State(a): State<A>| list(async move { a.policies().await })))
        .route("/policies/show", get(policy::<A>))
        .route("/version", get(version));
    Router::new()
        .nest("/api/v1", v1)
        .fallback(|| async { ApiError::NotFound("no such path".into()) })
        .method_not_allowed_fallback(|| async {
            let message = "only GET is allowed".to_owned();
            failure(StatusCode::METHOD_NOT_ALLOWED, "methodNotAllowed", message)
        })
        .with_state(api)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRouteQuery {
    prefix: Option<String>,
    longer: Option<bool>,
    family: Option<String>,
    from: Option<String>,
    rejected: Option<bool>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

async fn bgp_routes<A: AdminApi>(
    State(api): State<A>,
    query: Asked<RawRouteQuery>,
) -> Result<Response, ApiError> {
    let query = RouteQuery::try_from(asked(query)?)?;
    Ok(list(async move { api.bgp_routes(query).await }).await)
}

impl TryFrom<RawRouteQuery> for RouteQuery {
    type Error = ApiError;

    fn try_from(raw: RawRouteQuery) -> Result<Self, ApiError> {
        let target = raw.prefix.as_deref().map(parse_target).transpose()?;
        let longer = raw.longer.unwrap_or_default();
        if longer && !matches!(target, Some(RouteTarget::Prefix(_))) {
            return Err(ApiError::BadRequest("longer needs a prefix".into()));
        }
        let family = match raw.family.as_deref() {
            None => None,
            Some("ipv4") => Some(Family::Ipv4Unicast),
            Some("ipv6") => Some(Family::Ipv6Unicast),
            Some(other) => {
                return Err(ApiError::BadRequest(format!(
                    "family {other:?} is neither \"ipv4\" nor \"ipv6\""
                )));
            }
        };
        let rejected = raw.rejected.unwrap_or_default();
        Ok(Self { target, longer, family, from: raw.from, rejected })
    }
}

fn parse_target(text: &str) -> Result<RouteTarget, ApiError> {
    match text.parse() {
        Ok(address) => Ok(RouteTarget::Address(address)),
        Err(_) => parse_prefix(text).map(RouteTarget::Prefix),
    }
}

fn parse_prefix(text: &str) -> Result<Prefix, ApiError> {
    text.parse().map_err(|e| ApiError::BadRequest(format!("prefix {text:?}: {e}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyQuery {
    prefix: String,
}

async fn bgp_why<A: AdminApi>(
    State(api): State<A>,
    query: Asked<WhyQuery>,
) -> Result<Response, ApiError> {
    let prefix = parse_prefix(&asked(query)?.prefix)?;
    Ok(object(async move { api.bgp_why(prefix).await }).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyQuery {
    name: String,
}

async fn policy<A: AdminApi>(
    State(api): State<A>,
    query: Asked<PolicyQuery>,
) -> Result<Response, ApiError> {
    let name = asked(query)?.name;
    Ok(object(async move { api.policy(name).await }).await)
}

async fn version() -> Json<Version> {
    let own = env!("CARGO_PKG_VERSION").to_owned();
    let cni_protocol = cni_plugin::rpc::Version::CURRENT.to_string();
    Json(Version { client: own.clone(), daemon: Some(own), cni_protocol })
}

fn asked<T>(query: Asked<T>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|e| ApiError::BadRequest(e.body_text()))
}

async fn object<T: Serialize>(answer: impl Future<Output = Result<T, ApiError>>) -> Response {
    match timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::Unavailable("no answer in time".into()).into_response(),
    }
}

async fn list<T: Kind + Serialize>(
    answer: impl Future<Output = Result<Vec<T>, ApiError>>,
) -> Response {
    object(async { answer.await.map(List::new) }).await
}

fn failure(status: StatusCode, code: &str, message: String) -> Response {
    let error = ErrorDetail { code: code.to_owned(), message, details: Vec::new() };
    (status, Json(ErrorBody { error })).into_response()
}

#[cfg(test)]
mod tests;
