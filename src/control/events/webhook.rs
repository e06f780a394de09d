//! Posts events to a URL: `{"events":[…]}`.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;

use super::Deliver;
use crate::config::EventsConfig;

pub(super) struct Webhook {
    url: String,
    agent: Agent,
}

impl Webhook {
    pub(super) fn of(config: &EventsConfig) -> Option<Self> {
        let url = config.webhook.clone()?;
        Some(Self { url, agent: agent(config.timeout) })
    }
}

fn agent(timeout: Duration) -> Agent {
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let agent = Agent::config_builder()
        .timeout_global(Some(timeout))
        .user_agent("strowger")
        // Where the operator said, and nowhere else.
        .max_redirects(0)
        .tls_config(tls)
        .build();
    agent.into()
}

impl Deliver for Webhook {
    const NAME: &'static str = "events-webhook";
    const TRIES: u32 = 3;

    fn deliver(&mut self, events: &[String]) -> Result<(), String> {
        let body = format!("{{\"events\":[{}]}}", events.join(","));
        let request = self.agent.post(&self.url).header("Content-Type", "application/json");
        match request.send(body) {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("the webhook answered {}", response.status())),
            Err(error) => Err(format!("the webhook cannot be reached: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one request; returns its body.
    fn answer_with(listener: &TcpListener, status: &str) -> String {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn events_are_posted_and_only_a_2xx_is_success() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let config = EventsConfig { webhook: Some(url), ..EventsConfig::default() };
        let events = [r#"{"set":1}"#, r#"{"set":2}"#].map(str::to_owned);
        for (status, wants) in [
            ("204 No Content", Ok(())),
            ("302 Found", Err("the webhook answered 302 Found")),
            ("500 Internal Server Error", Err("500")),
        ] {
            let mut webhook = Webhook::of(&config).unwrap();
            thread::scope(|scope| {
                let server = scope.spawn(|| answer_with(&listener, status));
                let result = webhook.deliver(&events);
                match (&result, wants) {
                    (Ok(()), Ok(())) => {}
                    (Err(said), Err(wants)) => assert!(said.contains(wants), "{said}"),
                    _ => panic!("{status}: {result:?}"),
                }
                assert_eq!(server.join().unwrap(), r#"{"events":[{"set":1},{"set":2}]}"#);
            });
        }
        drop(listener);
        let error = Webhook::of(&config).unwrap().deliver(&events).unwrap_err();
        assert!(error.starts_with("the webhook cannot be reached: "), "{error}");
    }
}
