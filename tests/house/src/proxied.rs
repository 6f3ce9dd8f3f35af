//! Going by the proxy that a program's environment names, as its libraries would: what the servers of these tests do.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A tunnel to `whom`, which is a host and port. The error is what the proxy said.
pub fn tunnel(whom: &str) -> io::Result<BufReader<TcpStream>> {
    let mut proxy = ask(&format!("CONNECT {whom} HTTP/1.1\r\nhost: {whom}\r\nconnection: close\r\n\r\n"))?;
    let head = head(&mut proxy)?;
    if head.starts_with("HTTP/1.1 200") {
        return Ok(proxy);
    }
    let mut why = String::new();
    proxy.read_to_string(&mut why)?;
    Err(io::Error::other(head + &why))
}

/// What `whom` says when it is greeted: in a tunnel, or for a URL by a plain request that lies about whom it is for.
pub fn greet(whom: &str) -> io::Result<String> {
    let mut said = String::new();
    if !whom.starts_with("http://") {
        let mut tunnel = tunnel(whom)?;
        tunnel.get_mut().write_all(b"hello\n")?;
        tunnel.read_line(&mut said)?;
        return Ok(said.trim().to_owned());
    }
    let lies = "host: inside.example\r\nproxy-authorization: Basic canary\r\nconnection: close, x-own\r\nx-own: canary";
    let mut proxy = ask(&format!("GET {whom} HTTP/1.1\r\n{lies}\r\n\r\n"))?;
    let head = head(&mut proxy)?;
    proxy.read_to_string(&mut said)?;
    if head.starts_with("HTTP/1.1 200") { Ok(said) } else { Err(io::Error::other(head + &said)) }
}

fn ask(request: &str) -> io::Result<BufReader<TcpStream>> {
    #[expect(clippy::disallowed_methods, reason = "this is where programs look for their proxy")]
    let proxy = env::var("HTTPS_PROXY").map_err(io::Error::other)?;
    let stream = TcpStream::connect(proxy.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(request.as_bytes())?;
    Ok(stream)
}

fn head(from: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}
