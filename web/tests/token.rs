//! Where the command line sends its token, from outside.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

/// Answers every request with `answer` and keeps what was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, asked) = (listener.local_addr().expect("it is bound"), Arc::<Mutex<Vec<String>>>::default());
        let (answer, heard) = (answer.into(), Arc::clone(&asked));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (mut connection, mut request) = (connection.expect("a client"), Vec::new());
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if connection.read(&mut byte).expect("a request") == 0 {
                        break;
                    }
                    request.extend(byte);
                }
                heard.lock().expect("no panic").push(String::from_utf8(request).expect("headers are text"));
                connection.write_all(answer.as_bytes()).expect("the client reads");
            }
        });
        Self { address, asked }
    }

    fn lists_nothing() -> Self {
        Self::start("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"items\":[]}")
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn token() -> String {
    format!("tmk_{}", "7".repeat(64))
}

fn tidemark(server: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    command.env_clear().env("TIDEMARK_TOKEN", token()).envs(variables.iter().copied());
    command
        .args(["--server", server, "-o", "json"])
        .args(arguments)
        .args(["store", "list"])
        .output()
        .expect("the program runs")
}

#[test]
fn the_token_goes_through_no_proxy_of_the_environment() {
    let (server, proxy) = (Server::lists_nothing(), Server::lists_nothing());
    let named = format!("http://{}", proxy.address);
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let ended = tidemark(&format!("http://{}", server.address), &[], &[(variable, &named)]);
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(proxy.asked(), Vec::<String>::new(), "{variable}");
    }
    let asked = server.asked();
    assert!(asked.len() == 4 && asked.iter().all(|request| request.contains(&token())), "{asked:?}");
}

#[test]
fn the_token_does_not_follow_a_redirect() {
    let other = Server::lists_nothing();
    let away = format!(
        "HTTP/1.1 307 Away\r\nlocation: http://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        other.address
    );
    let ended = tidemark(&format!("http://{}", Server::start(away).address), &[], &[]);
    assert!(!ended.status.success() && other.asked().is_empty(), "{ended:?}");
}

#[test]
fn the_token_goes_to_another_host_in_plain_text_only_where_that_is_said() {
    let server = Server::lists_nothing();
    // An address that leads here and is not one of this host's own.
    let elsewhere = format!("http://0.0.0.0:{}", server.address.port());
    for variables in [&[][..], &[("TIDEMARK_UNENCRYPTED", "false")]] {
        let ended = tidemark(&elsewhere, &[], variables);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(2) && said.contains("TM-CLI-0010") && !said.contains(&token()), "{said}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    assert!(tidemark(&elsewhere, &["--unencrypted"], &[]).status.success());
    assert!(tidemark(&elsewhere, &[], &[("TIDEMARK_UNENCRYPTED", "true")]).status.success());
    assert_eq!(server.asked().len(), 2);
}
