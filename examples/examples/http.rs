//! A small HTTP server whose every answer comes from an instance that has never seen another
//! request: of a function that starts at once, or of a site that has prepared itself before, and
//! starts from a snapshot.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example http                        # asks itself some questions, and ends
//! cargo run --release -p minirt-examples --example http -- --serve 127.0.0.1:8080  # `/` and `/metrics` have figures
//! cargo run --release -p minirt-examples --example http -- --load 5 16         # for 5 seconds, over 16 connections
//! ```

#[path = "http/live.rs"]
mod live;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, server::conn::http1};
use hyper_util::rt::TokioIo;
use minirt::{Config, Engine, Instance, InstancePre, Linker, Module, Result, Store, Trap};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The function that is served. It finds the request's path at 0x1000, and leaves its answer at
/// 0x2000.
const FUNCTION: &str = r#"(module
  (memory (export "memory") 2)
  (data (i32.const 0x100) "visit number 0 of this instance\n")
  (global $visits (mut i32) (i32.const 0))
  (func $letter (param $at i32) (result i32) (local $c i32)
    (local.set $c (i32.load8_u offset=0x1000 (local.get $at)))
    (i32.sub (local.get $c)
      (i32.mul (i32.const 32) (i32.lt_u (i32.sub (local.get $c) (i32.const 0x61)) (i32.const 26)))))
  (func $shout (param $length i32) (result i32) (local $at i32)
    (loop $next
      (i32.store8 offset=0x2000 (local.get $at) (call $letter (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $length))))
    (i32.store8 offset=0x2000 (local.get $at) (i32.const 10))
    (i32.add (local.get $at) (i32.const 1)))
  (func $visits (result i32)
    (memory.copy (i32.const 0x2000) (i32.const 0x100) (i32.const 32))
    (i32.store8 (i32.const 0x200d) (i32.add (i32.const 0x30) (global.get $visits)))
    (i32.const 32))
  (func (export "answer") (param $length i32) (result i32)
    (global.set $visits (i32.add (global.get $visits) (i32.const 1)))
    (block $trap (block $spin (block $visits (block $shout
      (br_table $visits $spin $trap $shout (i32.sub (i32.load8_u (i32.const 0x1001)) (i32.const 0x31))))
        (return (call $shout (local.get $length))))
        (return (call $visits)))
        (loop $again (br $again)))
        unreachable))"#;

/// How often the clock ticks, and how many ticks a function may run.
const TICK: Duration = Duration::from_millis(10);
const TICKS: u64 = 50;

/// The function, ready to be instantiated.
struct Function {
    engine: Engine,
    pre: InstancePre<()>,
}

impl Function {
    fn new(engine: &Engine) -> Result<Self> {
        let pre = Linker::new(engine).instantiate_pre(&Module::new(engine, FUNCTION)?)?;
        Ok(Self { engine: engine.clone(), pre })
    }

    /// A store, an instance, an answer; and all of it is gone.
    fn answer(&self, path: &str) -> Result<Vec<u8>> {
        let mut store = store(&self.engine);
        let instance = self.pre.instantiate(&mut store)?;
        let memory = instance.get_memory(&store, "memory").expect("the function exports its memory");
        memory.write(&mut store, 0x1000, path.as_bytes())?;
        let length = instance.get_typed_func::<u32, u32>(&store, "answer")?.call(&mut store, path.len() as u32)?;
        let mut answer = vec![0; length as usize];
        memory.read(&store, 0x2000, &mut answer)?;
        Ok(answer)
    }
}

/// A guest in C that parses some hundred templates before it serves. That happened once: instances
/// start from a snapshot of what it left, so a request pays for its page alone.
struct Site {
    engine: Engine,
    pre: InstancePre<()>,
    /// Where requests go.
    buffer: usize,
}

impl Site {
    fn new(engine: &Engine) -> Result<Self> {
        let module = Module::new(engine, include_bytes!("../guests/requests/page.wasm"))?;
        let mut linker = Linker::new(engine);
        // Its C library imports functions that write and end a program. This guest calls none of
        // them.
        linker.define_unknown_imports_as_traps(&module)?;
        let mut store = store(engine);
        let instance = linker.instantiate(&mut store, &module)?;
        for name in ["_initialize", "setup"] {
            instance.get_typed_func::<(), ()>(&store, name)?.call(&mut store, ())?;
        }
        let buffer = instance.get_typed_func::<(), u32>(&store, "buffer")?.call(&mut store, ())? as usize;
        let snapshot = instance.snapshot(&mut store)?;
        Ok(Self { engine: engine.clone(), pre: linker.instantiate_pre(snapshot.module())?, buffer })
    }

    fn page(&self, title: &str) -> Result<Vec<u8>> {
        let mut store = store(&self.engine);
        let instance: Instance = self.pre.instantiate(&mut store)?;
        let memory = instance.get_memory(&store, "memory").expect("the guest exports its memory");
        let request = format!("list\ntitle={title}\nlang=en\nmenu+=home\nmenu+=shop\nitem+=one\nitem+=two & three\n");
        memory.write(&mut store, self.buffer, request.as_bytes())?;
        let serve = instance.get_typed_func::<u32, u64>(&store, "serve")?;
        let place = serve.call(&mut store, request.len() as u32)?;
        let mut page = vec![0; place as u32 as usize];
        memory.read(&store, (place >> 32) as usize, &mut page)?;
        Ok(page)
    }
}

/// A store whose guest may run for so many ticks.
fn store(engine: &Engine) -> Store<()> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(TICKS);
    store
}

/// Everything that is served.
struct Served {
    function: Function,
    site: Site,
}

impl Served {
    fn new() -> Result<Self> {
        let engine = Engine::new(Config::new().epoch_interruption(true))?;
        let clock = engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                clock.increment_epoch();
            }
        });
        Ok(Self { function: Function::new(&engine)?, site: Site::new(&engine)? })
    }
}

/// One request. A function that fails is its author's trouble, not the server's.
async fn respond(served: Arc<Served>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let answer = match path {
        "/" => Ok(live::page(&served.function.engine.stats())),
        "/metrics" => live::metrics(&served.function.engine),
        "/native" => Ok(b"/NATIVE\n".to_vec()), // The floor: the same answer without a function.
        path if path.len() > 1000 => Ok(b"that is too long\n".to_vec()),
        path => match path.strip_prefix("/page/") {
            Some(title) => served.site.page(title),
            None => served.function.answer(path),
        },
    };
    let (status, body) = answer.map_or_else(failure, |body| (StatusCode::OK, body));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = match path {
        "/metrics" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        path if path == "/" || path.starts_with("/page/") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn failure(error: minirt::Error) -> (StatusCode, Vec<u8>) {
    let what = match error.downcast_ref() {
        Some(Trap::Interrupt) => "it took too long".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.to_string(),
    };
    (StatusCode::INTERNAL_SERVER_ERROR, format!("the function failed: {what}\n").into_bytes())
}

/// Serves for ever, on one thread.
fn serve(listener: TcpListener, served: Arc<Served>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await; // It was one connection's trouble, or there are too many for now.
                continue;
            };
            let served = served.clone();
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| respond(served.clone(), request));
            tokio::task::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served = Arc::new(Served::new()?);
    if let ["--serve", address] = words[..] {
        return serve(TcpListener::bind(address)?, served);
    }
    // On a port that the system chooses; the server ends with the program.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || serve(listener, served).expect("the server goes on"));
    match words[..] {
        [] => show(address),
        ["--load", seconds, connections] => load(address, seconds.parse()?, connections.parse()?),
        _ => anyhow::bail!("usage: http [--serve ADDRESS | --load SECONDS CONNECTIONS]"),
    }
}

// The other side.

/// A connection that stays open.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status and the body of the answer.
    fn get(&mut self, path: &str) -> Result<(u16, String)> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(' ') {
                Some(("HTTP/1.1", rest)) => status = rest[..3].parse()?,
                Some(("content-length:", number)) => length = number.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body)?))
    }
}

/// Questions and answers: what one request leaves behind, no other finds.
fn show(address: SocketAddr) -> Result<()> {
    let mut client = Client::new(address)?;
    for path in ["/hello", "/1-visits", "/1-visits", "/2-spin", "/3-trap", "/1-visits", "/page/Q&A", "/native"] {
        let (status, body) = client.get(path)?;
        print!("{path}: {status} {body}");
    }
    let (status, body) = client.get("/")?;
    println!("/: {status}, a page of {} figures", body.matches("<tr>").count());
    let (status, body) = client.get("/metrics")?;
    print!("/metrics: {status}\n{body}");
    Ok(())
}

/// As many requests as there can be, one after the other on each connection.
fn load(address: SocketAddr, seconds: u64, connections: usize) -> Result<()> {
    for path in ["/hello", "/page/LOAD", "/native"] {
        let until = Instant::now() + Duration::from_secs(seconds);
        let work = |_| std::thread::spawn(move || ask_until(address, path, until));
        let threads: Vec<_> = (0..connections).map(work).collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("no client panics"));
        let mut times: Vec<Duration> = times.collect::<Result<Vec<_>>>()?.concat();
        times.sort();
        let rate = times.len() as u64 / seconds.max(1);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{path}: {rate} requests a second, p50 {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
    }
    Ok(())
}

fn ask_until(address: SocketAddr, path: &str, until: Instant) -> Result<Vec<Duration>> {
    let mut client = Client::new(address)?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let (status, body) = client.get(path)?;
        times.push(began.elapsed());
        let right = match path.strip_prefix("/page/") {
            Some(title) => body.contains(&format!("<h1>{title}</h1>")) && body.ends_with("</html>\n"),
            None => body == format!("{}\n", path.to_uppercase()),
        };
        anyhow::ensure!(status == 200 && right, "{status} {body}");
    }
    Ok(times)
}
