//! A server of functions: each request is answered by a fresh instance, which forgets it.
//!
//! ```sh
//! cargo run --release -p minirt-examples --example http            # serves until it is ended; says where
//! cargo run --release -p minirt-examples --example http -- --load  # measures itself over loopback
//! cargo run --release -p minirt-examples --example http -- --floor # the same without WebAssembly
//! cargo run --release -p minirt-examples --example http -- --check # a few requests; only the answers matter
//! ```

use minirt::{Engine, InstancePre, Linker, Module, Result, Store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tiny_http::{Request, Response, Server, StatusCode};

/// Reverses the text that the host puts at `room`, and counts its calls: always the first.
const FUNCTION: &str = r#"(module
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "calls") (result i32) (global.get $calls))
  (func (export "room") (result i32) (i32.const 1024))
  (func (export "answer") (param $len i32) (local $i i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $len))
        (then
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (i32.store8
            (i32.sub (i32.add (i32.const 32768) (local.get $len)) (local.get $i))
            (i32.load8_u (i32.add (i32.const 1023) (local.get $i))))
          (br $next)))))
  (func (export "result") (result i32) (i32.const 32768)))"#;

/// The longest path that is answered, in bytes.
const LONGEST: usize = 8192;
const CLIENTS: usize = 4;

fn main() -> Result<()> {
    let option = std::env::args().nth(1).unwrap_or_default();
    let function = if option == "--floor" { None } else { Some(compile()?) };
    let server = Server::http("127.0.0.1:0").map_err(minirt::Error::from_boxed)?;
    let address = server.server_addr().to_ip().expect("it listens on an address");
    let requests = match option.as_str() {
        "--check" => 25,
        "--load" | "--floor" => 25_000,
        _ => {
            println!("listening on http://{address}");
            serve(&server, function.as_ref());
            return Ok(());
        }
    };
    let (times, elapsed) = std::thread::scope(|scope| {
        let workers = [(); CLIENTS].map(|()| scope.spawn(|| serve(&server, function.as_ref())));
        let measured = load(address, requests);
        workers.iter().for_each(|_| server.unblock());
        measured
    })?;
    println!(
        "{} requests, each answered by {}",
        times.len(),
        if function.is_some() { "a new instance" } else { "the host" }
    );
    if option != "--check" {
        report(times, elapsed);
    }
    Ok(())
}

fn compile() -> Result<InstancePre<()>> {
    let engine = Engine::default();
    Linker::new(&engine).instantiate_pre(&Module::new(&engine, FUNCTION)?)
}

/// Answers requests until somebody unblocks the server.
fn serve(server: &Server, function: Option<&InstancePre<()>>) {
    while let Ok(request) = server.recv() {
        respond(request, function);
    }
}

fn respond(request: Request, function: Option<&InstancePre<()>>) {
    let path = request.url().trim_start_matches('/').to_owned();
    let answer = match function {
        _ if path.len() > LONGEST => Err((414, "the path is too long".to_owned())),
        Some(function) => answer(function, &path).map_err(|error| (500, format!("{error:#}"))),
        None => Ok(path.bytes().rev().collect()),
    };
    let response = match answer {
        Ok(bytes) => Response::from_data(bytes),
        Err((code, text)) => Response::from_string(text).with_status_code(StatusCode(code)),
    };
    // A client that has gone needs no answer.
    drop(request.respond(response));
}

fn answer(function: &InstancePre<()>, text: &str) -> Result<Vec<u8>> {
    let mut store = Store::new(function.module().engine(), ());
    let instance = function.instantiate(&mut store)?;
    let memory = instance.get_memory(&store, "memory").expect("it is exported");
    let room = instance.get_typed_func::<(), u32>(&store, "room")?.call(&mut store, ())?;
    memory.write(&mut store, room as usize, text.as_bytes())?;
    instance.get_typed_func::<u32, ()>(&store, "answer")?.call(&mut store, text.len() as u32)?;
    let result = instance.get_typed_func::<(), u32>(&store, "result")?.call(&mut store, ())?;
    let mut bytes = vec![0; text.len()];
    memory.read(&store, result as usize, &mut bytes)?;
    let calls = instance.get_typed_func::<(), i32>(&store, "calls")?.call(&mut store, ())?;
    assert_eq!(calls, 1, "a fresh instance has not been called before");
    Ok(bytes)
}

/// Sends requests over a few connections, checks the answers, and says how long each took and all together.
fn load(address: SocketAddr, requests: usize) -> Result<(Vec<Duration>, Duration)> {
    let began = Instant::now();
    let times = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || client(address, n, requests))).collect();
        let times = clients.into_iter().map(|client| client.join().expect("no client panics"));
        times.collect::<Result<Vec<_>>>()
    })?;
    Ok((times.concat(), began.elapsed()))
}

fn client(address: SocketAddr, client: usize, requests: usize) -> Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = BufReader::new(stream);
    let mut times = Vec::with_capacity(requests);
    for n in 0..requests {
        let path = format!("client-{client}-asks-{n}");
        let began = Instant::now();
        stream.get_mut().write_all(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let body = response(&mut stream)?;
        times.push(began.elapsed());
        if !body.iter().rev().eq(path.as_bytes()) {
            return Err(minirt::Error::msg(format!("{path}: {}", String::from_utf8_lossy(&body))));
        }
    }
    Ok(times)
}

/// The body of a response that says how long it is.
fn response(stream: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let (mut line, mut len) = (String::new(), 0);
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn report(mut times: Vec<Duration>, elapsed: Duration) {
    times.sort_unstable();
    println!("{:.0} requests a second", times.len() as f64 / elapsed.as_secs_f64());
    for percent in [50.0, 90.0, 99.0, 99.9] {
        let at = (times.len() as f64 * percent / 100.0) as usize;
        println!("{percent} %: {:?}", times[at.min(times.len() - 1)]);
    }
}
