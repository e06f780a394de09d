//! HTTP on a loopback address: JSON-RPC by a POST to any path; the status page, the status and
//! `/metrics` by a GET.
//!
//! Any local process that may open a connection may command the relay. A web page in a local
//! browser could do so too, so requests are checked: without permission a page can neither send
//! `application/json` to another origin, nor send a `Host` of this machine if it was loaded under
//! its own name.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::accept::Slots;
use super::files;
use super::handler::{Handler, busy};
use crate::config::Problem;
use crate::control::asker::Asker;
use crate::control::metrics::Asked;
use crate::control::page::{self, Feed};
use crate::limits;
use crate::rpc::json::{self, Style};
use crate::rpc::{Params, Request, Value};

/// The listener, bound but not served yet.
#[derive(Debug)]
pub(super) struct Http {
    listener: TcpListener,
}

impl Http {
    pub(super) fn make(address: SocketAddr) -> Result<Self, Problem> {
        let listener = StdListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listener = listener.map_err(|error| {
            let what = format!("cannot listen on {address} ({error})");
            Problem::of(
                &files::name("http"),
                what,
                "name another port, or stop the program that uses it",
            )
        })?;
        Ok(Self { listener })
    }

    pub(super) async fn serve(self, handler: Handler) {
        let feed = Feed::new();
        tokio::spawn(feed.clone().run(handler.commands().clone()));
        let router = Router::new().fallback(answer).with_state((handler, feed));
        let listener = Bounded { listener: self.listener, slots: Slots::new("http") };
        // Never returns: our listener reports no errors.
        let _ = axum::serve(listener, router.into_make_service_with_connect_info::<From>()).await;
    }
}

async fn answer(
    State((handler, feed)): State<(Handler, Feed)>,
    ConnectInfo(from): ConnectInfo<From>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = Get::of(&method, uri.path());
    let judged = judge_origin(&headers).and_then(|()| match asked {
        Some(_) => judge_site(&headers),
        None => judge_request(&method, &headers),
    });
    if let Err((status, why)) = judged {
        return (status, format!("{why}\n")).into_response();
    }
    match asked {
        Some(Get::Metrics) => return metrics(&handler, &uri, &headers),
        Some(Get::Page) => return page::page(),
        Some(Get::Status) => return status(&handler).await,
        Some(Get::Events) => {
            let answer = page::events(&feed);
            from.is_stream.store(answer.status().is_success(), Ordering::Relaxed);
            return answer;
        }
        None => {}
    }
    let body = to_bytes(body, limits::STREAM_REQUEST_BYTES_MAX);
    let body = match timeout(Duration::from_secs(limits::HALF_REQUEST_S), body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "it is too long\n").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "it is incomplete\n").into_response(),
    };
    let handler = handler.asked_by(Asker::Http(from.address));
    let (text, _) = handler.answer_json(json::request(&body), Style::Compact).await;
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// What a GET asks for.
#[derive(Clone, Copy, Debug)]
enum Get {
    Page,
    Status,
    Events,
    Metrics,
}

impl Get {
    fn of(method: &Method, path: &str) -> Option<Self> {
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/") => Some(Self::Page),
            (&Method::GET | &Method::HEAD, "/status") => Some(Self::Status),
            (&Method::GET, "/status/events") => Some(Self::Events),
            (&Method::GET, "/metrics") => Some(Self::Metrics),
            _ => None,
        }
    }
}

/// Answers a request for the status.
async fn status(handler: &Handler) -> Response {
    let max = [limits::STATUS_DESTINATIONS_MAX, limits::STATUS_DESTINATIONS_IN_ALL_MAX];
    let params = Params::Positional(max.map(Value::from).into());
    let method = "strowger.status".into();
    let request = Request { method, params, id: None, reply_name: None };
    match handler.answer(request).await {
        Ok(status) => page::status(format!("{}\n", json::line(&status))),
        Err(fault) => {
            let why = format!("{}: {}\n", fault.message, fault.reasons.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

/// Answers a request for the metrics, piece by piece.
fn metrics(handler: &Handler, uri: &Uri, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = match Asked::read(uri.query().unwrap_or_default(), accept) {
        Ok(asked) => asked,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    let Some(mut pieces) = handler.metrics(asked) else {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", busy())).into_response();
    };
    let pieces = poll_fn(move |context| pieces.poll_recv(context));
    let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, asked.content_type())], body).into_response()
}

/// Refuses requests of web pages of other origins.
fn judge_origin(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if !text(HOST).is_some_and(is_loopback) {
        return Err((StatusCode::FORBIDDEN, "Host must be localhost or a loopback address"));
    }
    let origin = text(ORIGIN).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    if !origin.is_none_or(is_loopback) {
        return Err((StatusCode::FORBIDDEN, "Origin must be a loopback address"));
    }
    Ok(())
}

/// Refuses what a page of another site made a browser load: it learns nothing from that, but it could
/// open one stream after the other. Links to us may be anywhere. Programs send no such fields.
fn judge_site(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let site = text("sec-fetch-site");
    let is_link = text("sec-fetch-dest") == Some("document");
    if site.is_none_or(|site| ["same-origin", "none"].contains(&site)) || is_link {
        return Ok(());
    }
    Err((StatusCode::FORBIDDEN, "a page of another site asks for it"))
}

/// Refuses what is no JSON-RPC request, and what a page could have made a browser send without asking.
fn judge_request(method: &Method, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    if method != Method::POST {
        let why = "send a JSON-RPC request by POST, or GET / /status /status/events /metrics";
        return Err((StatusCode::METHOD_NOT_ALLOWED, why));
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let kind = text(CONTENT_TYPE).unwrap_or("").split(';').next().unwrap_or("").trim();
    if !["application/json", "application/json-rpc"].iter().any(|is| kind.eq_ignore_ascii_case(is))
    {
        let why = "send Content-Type: application/json";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    Ok(())
}

/// `localhost`, `127.0.0.1:8060`, `[::1]:8060`.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, _)) => inner,
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where a connection comes from, and what it is used for.
#[derive(Clone, Debug)]
struct From {
    address: SocketAddr,
    is_stream: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, Bounded>> for From {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self { address: *stream.remote_addr(), is_stream: Arc::clone(&stream.io().is_stream) }
    }
}

/// A listener with a limit on open connections.
struct Bounded {
    listener: TcpListener,
    slots: Slots,
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let Some(permit) = self.slots.take() else { continue };
                    let idle = Duration::from_secs(limits::CONTROL_IDLE_S);
                    return (Timed::new(stream, permit, idle), from);
                }
                Err(error) => self.slots.failed(&error).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that is closed if nothing is read or written for too long.
struct Timed {
    stream: TcpStream,
    /// When it is closed unless data moves, and when it is closed in any case.
    end: Pin<Box<Sleep>>,
    last: Instant,
    /// It carries events, for as long as they are read.
    is_stream: Arc<AtomicBool>,
    _permit: OwnedSemaphorePermit,
}

impl Timed {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, idle: Duration) -> Self {
        let end = Box::pin(sleep(PATIENCE));
        let last = Instant::now() + idle;
        Self { stream, end, last, is_stream: Arc::default(), _permit: permit }
    }

    /// Returns the result of the connection, or an error if the time is over.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let end = Instant::now() + PATIENCE;
            // Relaxed: it is set by the task that runs the connection, or before an event is written.
            let is_stream = self.is_stream.load(Ordering::Relaxed);
            self.end.as_mut().reset(if is_stream { end } else { end.min(self.last) });
            return polled;
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.in_time(context, polled)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// As long as a command may take, plus a margin: the connection is silent while it runs.
const PATIENCE: Duration =
    Duration::from_secs(limits::COMMAND_TIME_MAX_S + limits::REPLY_TIME_MAX_S);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn what_a_get_asks_for() {
        for (method, path, wants) in [
            ("GET", "/", "Some(Page)"),
            ("HEAD", "/", "Some(Page)"),
            ("GET", "/status", "Some(Status)"),
            ("HEAD", "/status", "Some(Status)"),
            ("GET", "/status/events", "Some(Events)"),
            ("HEAD", "/status/events", "None"),
            ("GET", "/metrics", "Some(Metrics)"),
            ("POST", "/", "None"),
            ("PUT", "/status", "None"),
            ("DELETE", "/status/events", "None"),
            ("GET", "/index.html", "None"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(format!("{:?}", Get::of(&method, path)), wants, "{method} {path}");
        }
    }

    #[test]
    fn pages_of_other_sites_get_nothing() {
        for (site, to, wants) in [
            (None, None, None),
            (Some("none"), Some("document"), None),
            (Some("same-origin"), Some("empty"), None),
            (Some("cross-site"), Some("document"), None),
            (Some("cross-site"), Some("empty"), Some(403)),
            (Some("cross-site"), Some("iframe"), Some(403)),
            (Some("same-site"), Some("image"), Some(403)),
            (Some("cross-site"), None, Some(403)),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-site", site), ("sec-fetch-dest", to)] {
                value.map(|value| headers.insert(name, value.parse().unwrap()));
            }
            let judged = judge_site(&headers).err().map(|(status, _)| status.as_u16());
            assert_eq!(judged, wants, "{site:?} {to:?}");
        }
    }

    /// A stream of events outlives the time after which any other connection is closed.
    #[test]
    fn a_stream_goes_on_while_it_is_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let slots = Slots::new("test");
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut ends = Vec::new();
            for _ in 0..2 {
                let far = TcpStream::connect(address).await.unwrap();
                let (near, _) = listener.accept().await.unwrap();
                let idle = Duration::from_millis(200);
                ends.push((Timed::new(near, slots.take().unwrap(), idle), far));
            }
            ends[0].0.is_stream.store(true, Ordering::Relaxed);
            // Reads nothing from one of them, after a byte was written to it.
            let mut read = async |at: usize| {
                let (near, _) = &mut ends[at];
                let mut buffer = [0];
                near.write_all(b"x").await.unwrap();
                timeout(Duration::from_secs(1), near.read(&mut buffer)).await
            };
            // The second is closed, and the first, which is older, is not.
            assert!(matches!(read(1).await, Ok(Err(_))));
            assert!(read(0).await.is_err());
        });
    }

    #[test]
    fn who_is_heard() {
        let judged = |method: &str, rows: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in rows {
                headers.insert(*name, value.parse().unwrap());
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let judged = judge_origin(&headers).and_then(|()| judge_request(&method, &headers));
            judged.err().map(|(status, _)| status.as_u16())
        };
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", "127.0.0.1:8060");
        for (method, rows, wants) in [
            ("POST", vec![host, json], None),
            ("POST", vec![("host", "localhost"), json], None),
            ("POST", vec![("host", "[::1]:1"), json, ("origin", "http://localhost:3000")], None),
            ("GET", vec![host, json], Some(405)),
            ("POST", vec![json], Some(403)),
            ("POST", vec![("host", "evil.example.com:8060"), json], Some(403)),
            ("POST", vec![("host", "127.0.0.1.evil.example"), json], Some(403)),
            ("POST", vec![host, json, ("origin", "https://evil.example.com")], Some(403)),
            ("POST", vec![host, json, ("origin", "null")], Some(403)),
            ("POST", vec![host], Some(415)),
            ("POST", vec![host, ("content-type", "text/plain")], Some(415)),
        ] {
            assert_eq!(judged(method, &rows), wants, "{method} {rows:?}");
        }
    }
}
